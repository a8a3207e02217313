import pytest

from pix2pix.networks import tiled


@pytest.fixture
def short_of_memory(monkeypatch):
    """Next to nothing is kept, nor ever the whole image translated."""
    monkeypatch.setattr(tiled, "MEMORY_BUDGET", 0)
    monkeypatch.setattr(tiled, "free_memory", lambda device: 0)
