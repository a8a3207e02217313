import pytest

from pix2pix.tiling import translation


@pytest.fixture
def short_of_memory(monkeypatch):
    """Next to nothing is kept, nor ever the whole image translated."""
    monkeypatch.setattr(translation, "BUDGET", 0)
    monkeypatch.setattr(translation, "free_memory", lambda device: 0)
