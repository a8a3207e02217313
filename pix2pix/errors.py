"""The one exception for mistakes that a user can mend, and how to know want of memory."""


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
