"""The one training loop, and what it saves and resumes."""

from pix2pix.training.loop import fit
from pix2pix.training.progress import Progress
from pix2pix.training.saving import keep_networks, resume, save
from pix2pix.training.validation import validate

__all__ = ["Progress", "fit", "keep_networks", "resume", "save", "validate"]
