"""The processes of one training, as torchrun starts them: which one this is, and what they tell each other.

Where there is one process, there is no process group, and everything here is the identity.
"""

from pix2pix.ranks.gradients import backward
from pix2pix.ranks.group import (
    ApartError,
    agree,
    asked,
    by_each,
    by_first,
    count,
    gather,
    is_first,
    joined,
    merged,
    own_device,
    rank,
    share,
)

__all__ = [
    "ApartError",
    "agree",
    "asked",
    "backward",
    "by_each",
    "by_first",
    "count",
    "gather",
    "is_first",
    "joined",
    "merged",
    "own_device",
    "rank",
    "share",
]
