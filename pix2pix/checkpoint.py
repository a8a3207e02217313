"""Checkpoint files: written atomically, with a checksum, and loaded without running code.

A file is the output of torch.save followed by 40 bytes: a marker and the SHA-256 of all bytes before it. In a run
folder `latest` and `best` are text files with the name of a checkpoint `step_XXXXXXXX.pt`.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from pix2pix.errors import UserError


def hash_file(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


FORMAT = 1
_MARK = b"SHA-256:"
_TRAILER = len(_MARK) + hashlib.sha256().digest_size


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, of another format, or cannot be written."""


class _HashingWriter:
    """A file for torch.save that hashes what is written."""

    def __init__(self, file: IO[bytes]):
        self.file = file
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def checkpoint_path(folder: Path, step: int) -> Path:
    """Return the path of the checkpoint of a step."""
    return folder / f"step_{step:08d}.pt"


def list_steps(folder: Path) -> list[int]:
    """Return the steps of the checkpoints in a folder, in ascending order."""
    found = (re.fullmatch(r"step_(\d{8,})\.pt", path.name) for path in folder.iterdir())
    return sorted(int(match[1]) for match in found if match)


def save_file(path: Path, content: dict[str, Any]) -> None:
    """Write `content` (tensors and plain values) atomically: `path` is always the old file or the complete new one.

    Raises:
        CheckpointError: the disk is full or not writable; no partial file is left.
    """
    needed = sum(tensor.numel() * tensor.element_size() for tensor in _iterate_tensors(content))
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise CheckpointError(f"{path} needs {needed} bytes and the disk has {free} free; make room, then --resume")
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            writer = _HashingWriter(file)
            torch.save({"format": FORMAT, **content}, writer)  # type: ignore[arg-type]  # write and flush suffice
            file.write(_MARK + writer.sha256.digest())
            _flush(file)
        _publish(temporary, path)
    except (OSError, RuntimeError) as error:  # torch reports a failed write as RuntimeError
        temporary.unlink(missing_ok=True)
        raise CheckpointError(
            f"{path} cannot be written ({_format_cause(error)}); older checkpoints are unchanged"
        ) from error


def load_file(path: Path) -> dict[str, Any]:
    """Load a checkpoint to the CPU, with tensors memory-mapped from the file.

    Raises:
        CheckpointError: the file is missing, truncated, altered, of another program, or of a newer format.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - _TRAILER))
            trailer = file.read()
            if size < _TRAILER or not trailer.startswith(_MARK):
                raise CheckpointError(f"{path} is truncated or was not written by this program; use another checkpoint")
            if _compute_sha256(file, size - _TRAILER) != trailer[len(_MARK) :]:
                raise CheckpointError(f"{path} is damaged: its SHA-256 does not match; use another checkpoint")
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except CheckpointError:
        raise
    except FileNotFoundError:
        raise CheckpointError(
            f"there is no checkpoint {path}; train first, or correct --name or --checkpoints_dir"
        ) from None
    except Exception as error:  # torch's unpickler raises many types for invalid bytes
        raise CheckpointError(f"{path} cannot be read as a checkpoint ({_format_cause(error)})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        got = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(f"{path} has format {got}; this version supports format {FORMAT}")
    return content


def set_pointer(folder: Path, pointer: str, step: int) -> None:
    """Set `latest` or `best` to the checkpoint of `step`."""
    temporary = folder / f".{pointer}.tmp"
    with temporary.open("w", encoding="ascii") as file:
        file.write(checkpoint_path(folder, step).name + "\n")
        _flush(file)
    _publish(temporary, folder / pointer)


def read_pointer(folder: Path, pointer: str) -> Path | None:
    """Return the checkpoint that `latest` or `best` names, or None."""
    try:
        name = (folder / pointer).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return folder / name if re.fullmatch(r"step_\d{8,}\.pt", name) else None


def resolve(folder: Path, epoch: str) -> Path:
    """Return the checkpoint of a run folder for "latest", "best" or a step number.

    Raises:
        CheckpointError: there is none; lists the existing ones.
    """
    if not folder.is_dir():
        siblings = sorted(path.parent.name for path in folder.parent.glob("*/options.yaml"))
        known = f"existing runs: {', '.join(siblings[:8])}" if siblings else "no run exists yet"
        raise CheckpointError(f"there is no run {folder}; {known}")
    path = checkpoint_path(folder, int(epoch)) if epoch.isdecimal() else read_pointer(folder, epoch)
    if path is None or not path.is_file():
        pointers = [name for name in ("latest", "best") if (target := read_pointer(folder, name)) and target.is_file()]
        present = ", ".join([*pointers, *map(str, list_steps(folder))]) or "none"
        raise CheckpointError(f"{folder} has no checkpoint {epoch!r}; present: {present}")
    return path


def load_newest_valid(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """Load the newest intact checkpoint, or None, and return the errors of damaged newer ones."""
    complaints: list[str] = []
    for step in reversed(list_steps(folder)):
        try:
            return load_file(checkpoint_path(folder, step)), complaints
        except CheckpointError as error:
            complaints.append(str(error))
    return None, complaints


def prune(folder: Path, keep: int) -> None:
    """Delete all checkpoints except the newest `keep` and `best`."""
    best, latest = read_pointer(folder, "best"), read_pointer(folder, "latest")
    paths = [checkpoint_path(folder, step) for step in list_steps(folder)]
    if latest in paths:  # later ones are damaged, and the resumed run started before them
        paths = paths[: paths.index(latest) + 1]
    for path in paths[:-keep]:
        if path != best:
            path.unlink(missing_ok=True)


def remove_temporary_files(folder: Path) -> None:
    """Delete temporary files of a killed run."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def load_weights(network: nn.Module, state: dict[str, Tensor], label: str) -> None:
    """Load a state dict into a network.

    Raises:
        CheckpointError: names or shapes differ; lists the first five differences.
    """
    check_state_dict(network.state_dict(), state, label)
    network.load_state_dict(state)


def check_state_dict(expected: dict[str, Tensor], got: dict[str, Tensor], label: str) -> None:
    """Check that two state dicts have the same names and shapes.

    Raises:
        CheckpointError: they differ; lists the first five differences.
    """
    lines = list_differences(expected, got)
    if lines:
        more = f" and {len(lines) - 5} more" if len(lines) > 5 else ""
        raise CheckpointError(f"the checkpoint does not fit network {label}: {'; '.join(lines[:5])}{more}")


def list_differences(expected: dict[str, Tensor], got: dict[str, Tensor]) -> list[str]:
    """Return the differences between two state dicts in names and shapes, a line each."""
    lines = [f"{key} is missing" for key in expected.keys() - got.keys()]
    lines += [f"{key} is not of this network" for key in got.keys() - expected.keys()]
    lines += [
        f"{key} has shape {tuple(got[key].shape)}, not {tuple(expected[key].shape)}"
        for key in expected.keys() & got.keys()
        if expected[key].shape != got[key].shape
    ]
    return sorted(lines)


def _flush(file: IO[Any]) -> None:
    """Flush a file to the disk."""
    file.flush()
    os.fsync(file.fileno())


def _publish(temporary: Path, path: Path) -> None:
    """Rename a flushed file to its final name, and flush the folder."""
    os.replace(temporary, path)
    if os.name == "posix":  # Windows cannot open folders
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _format_cause(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _compute_sha256(file: IO[bytes], size: int) -> bytes:
    sha256 = hashlib.sha256()
    file.seek(0)
    while size > 0 and (block := file.read(min(size, 1 << 22))):
        sha256.update(block)
        size -= len(block)
    return sha256.digest()


def _iterate_tensors(content: Any) -> Iterator[Tensor]:
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, dict | list | tuple):
        values: Sequence[Any] = list(content.values()) if isinstance(content, dict) else content
        for value in values:
            yield from _iterate_tensors(value)
