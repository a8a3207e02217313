"""One process per run folder."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pix2pix.errors import UserError

_SECONDS = 1  # to wait: a worker just forked from a process that was killed since holds the lock for a moment


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder`/run.lock, and name this process and its host in `folder`/LOCK, which a second process quotes.

    The system releases it however the process ends, and filelock closes it in the workers that are forked.

    Raises:
        UserError: another process holds it.
    """
    from filelock import FileLock, Timeout  # here: --help does without it

    lock, holder = FileLock(folder / "run.lock", timeout=_SECONDS), folder / "LOCK"
    try:
        lock.acquire()
    except Timeout:
        name = holder.read_text(encoding="utf-8").strip() if holder.is_file() else ""
        raise UserError(
            f"{folder} is being trained by {name or 'another process'}; wait for it, stop it, or choose another --name"
        ) from None
    try:
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        yield
    finally:
        lock.release()
