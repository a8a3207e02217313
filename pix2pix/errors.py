"""The errors that a user can act on."""

import os


class UserError(Exception):
    """One sentence: what was got, what is allowed, what to do. The command line prints it and exits with the status."""

    exit_status = 2


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether there was no memory, of the machine or of an accelerator: allocators raise types of their own."""
    text = str(error).lower()
    # "a primitive" is what oneDNN says where it finds no room for its own copies
    words = (
        *("out of memory", "can't allocate memory", "not enough memory", "bad_alloc", "could not create a primitive"),
        "insufficient memory",  # OpenCV
    )
    return isinstance(error, MemoryError) or any(word in text for word in words)


class ImageError(UserError):
    """An image file or folder that cannot be used as it is."""


class TooLargeError(ImageError):
    """An image that takes more memory than is allowed for one."""


def format_path(path: str | os.PathLike[str]) -> str:
    """The path as it goes into a one-line message: escaped where it holds a line break or another unprintable."""
    text = os.fspath(path)
    return text if text.isprintable() else repr(text)
