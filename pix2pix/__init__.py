"""pix2pix: train a network on pairs of images, and translate images of any size with it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pix2pix.inference.translator import load as load

__version__ = "0.2.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """Import `load` on demand, so that importing the package does not import torch."""
    if name == "load":
        from pix2pix.inference.translator import load

        return load
    raise AttributeError(f"module 'pix2pix' has no attribute {name!r}")
