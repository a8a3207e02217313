"""The one training loop, and what it saves and resumes."""

from pix2pix.training.loop import fit
from pix2pix.training.progress import Progress
from pix2pix.training.saving import resume, save
from pix2pix.training.validation import validate

__all__ = ["Progress", "fit", "resume", "save", "validate"]
