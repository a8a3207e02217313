"""Errors for the user: one line each, without traceback."""

import os


class UserError(Exception):
    """A mistake of the user; the message is one sentence: what was given, what is allowed, what to do."""

    exit_status = 2


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error means that memory ran out; allocators raise different types."""
    text = str(error).lower()
    # "a primitive" is in the message of oneDNN when an allocation fails
    words = (
        *("out of memory", "can't allocate memory", "not enough memory", "bad_alloc", "could not create a primitive"),
        "insufficient memory",  # OpenCV
    )
    return isinstance(error, MemoryError) or any(word in text for word in words)


class ImageError(UserError):
    """An image file or folder that cannot be used."""


class TooLargeError(ImageError):
    """An image that exceeds the memory limit."""


def format_path(path: str | os.PathLike[str]) -> str:
    """Format a path for a message, with line breaks and unprintable characters escaped."""
    text = os.fspath(path)
    return text if text.isprintable() else repr(text)
