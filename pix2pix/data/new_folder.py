"""A folder of new data: all of it, or nothing."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pix2pix.errors import UserError
from pix2pix.images import shown

PARTIAL = ".partial"  # holds what a new folder will hold, until all of it is there


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give a folder to fill, whose content is `out`'s in the end; if anything fails, `out` and above are as they were.

    Who is killed leaves PARTIAL in `out`: by that, an unfinished data set is told from a whole one.

    Raises:
        UserError: `out` is no empty folder, or cannot be written.
    """
    filling = out / PARTIAL
    missing: list[Path] = []
    try:
        missing += [place for place in (out, *out.parents) if not place.exists()]
        if filling.is_dir():
            raise UserError(
                f"--out {shown(out)} holds {PARTIAL}: a command was broken off there, or still writes; "
                "delete the folder when none does, or choose another"
            )
        if not missing and (not out.is_dir() or any(out.iterdir())):
            raise UserError(
                f"--out {shown(out)} exists and is no empty folder; choose another, nothing is written over"
            )
        filling.mkdir(parents=True)
    except OSError as error:
        _remove_empty(missing)
        raise UserError(f"--out {shown(out)} cannot be written: {error.strerror}") from error
    try:
        yield filling
        for child in list(filling.iterdir()):
            child.rename(out / child.name)
        filling.rmdir()
    except BaseException:
        shutil.rmtree(out if missing else filling, ignore_errors=True)
        _remove_empty(missing)
        raise


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders, the innermost first, where they are there and no other command has filled them by now."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()
