"""One process per run folder."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pix2pix.errors import UserError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder`/LOCK, which tells the holder's process and host. The system releases it however the process ends.

    Raises:
        UserError: another process holds it.
    """
    with (folder / "LOCK").open("a+", encoding="utf-8") as file:
        try:
            # Not flock: that is inherited by the loader's workers, who outlive a killed trainer by seconds.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise UserError(
                f"{folder} is being trained by {holder}; wait for it, stop it, or choose another --name"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield
