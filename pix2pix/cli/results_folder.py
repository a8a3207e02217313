"""The folder of results: made anew by all processes, and put in place of the old one when all went well."""

import re
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from pix2pix.errors import UserError

if TYPE_CHECKING:
    from pix2pix.gallery import GalleryItem

_RESULTS = r"(preview_)?(source|target|content|style(_\d+)?|output(_\d+)?)|grid\.png|(translation|metrics)\.json"


class Task(NamedTuple):
    """A row of the page: how to read its images, and what to make of them in a folder."""

    read: Callable[[], Any]
    make: "Callable[[Any, Path], GalleryItem]"


def written(
    tasks: Sequence[Task], folder: Path, *, skip_bad: bool, finish: "Callable[[Path, Sequence[GalleryItem]], None]"
) -> "list[GalleryItem]":
    """Do every task in a new folder, each process its share, and let that replace the results of an earlier test.

    `finish` adds to it, in the first process, what is about all items.

    Raises:
        UserError: an image cannot be used, or all are left out; the earlier results stay.
    """
    from pix2pix import ranks

    with ExitStack() as made:
        new = ranks.by_first(lambda: _made_new(folder, made))
        items = _items(tasks, new, skip_bad)
        if ranks.is_first():
            finish(new, items)
            _replace(folder, new)
    return items


def counted(items: "Sequence[GalleryItem]", tasks: Sequence[Task]) -> str:
    """Say how many images there are."""
    return str(len(items)) + (f", {len(tasks) - len(items)} left out" if len(items) < len(tasks) else "")


def _made_new(folder: Path, made: ExitStack) -> Path:
    """Make a folder for new results inside that of the old ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".new-*"):  # by a test that was killed
        shutil.rmtree(left)
    return Path(made.enter_context(TemporaryDirectory(prefix=".new-", dir=folder)))


def _items(tasks: Sequence[Task], folder: Path, skip_bad: bool) -> "list[GalleryItem]":
    """Do every task, each process its share; with --skip_bad, tell those that cannot be used and go on."""
    from tqdm import tqdm

    from pix2pix import ranks

    share: list[GalleryItem | None] = []
    faults: list[str] = []
    for task in tqdm(tasks[ranks.rank() :: ranks.count()], unit="image", disable=None):
        try:
            seen = task.read()
        except UserError as error:
            if not skip_bad:
                raise
            faults.append(f"left out: {error}")
            tqdm.write(faults[-1], file=sys.stderr)
            share.append(None)
            continue
        share.append(task.make(seen, folder))
    for fault in (fault for others in ranks.gather(faults)[1:] for fault in others):
        print(fault, file=sys.stderr)
    items = [item for item in ranks.merged(ranks.gather(share)) if item is not None]
    if not items:
        raise UserError("--skip_bad left no image to translate")
    return items


def _replace(folder: Path, new: Path) -> None:
    """Move what lies in `new` into `folder` in place of the images and page of an earlier test; all else stays.

    Files go first, and replace their like: what tells that the folder holds results is there at every moment.
    """
    paths = sorted(new.iterdir(), key=lambda path: path.is_dir())
    kept = {path.name for path in paths if path.is_file()}
    for old in folder.iterdir():
        if re.fullmatch(_RESULTS, old.name) and old.name not in kept:
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    for path in paths:
        path.replace(folder / path.name)
