"""`python train.py [PRESET.yaml] --option value ...`: train a translator."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from pix2pix.cli.console import describe_changes, describe_end
from pix2pix.config.base import get_values
from pix2pix.config.compare import check_resume
from pix2pix.config.parse import ParsedOptions, TrainingOptions, load_stored_options, parse, select_training_options
from pix2pix.config.types import parse_speedups
from pix2pix.config.yaml import load_yaml
from pix2pix.errors import UserError


def train(argv: Sequence[str]) -> int:
    """Train, or continue, the run that the arguments name; return the exit status."""
    return train_with_options(parse(argv, select_training_options(argv), program="train.py"))


def train_with_options(parsed: ParsedOptions[TrainingOptions]) -> int:
    """Train, or continue, the run that these options name; return the exit status."""
    if parsed.value("dry_run") and parsed.value("resume"):
        raise UserError("--dry_run tries the options of a new run: leave --resume out")
    folder = Path(parsed.value("checkpoints_dir")) / parsed.value("name")
    resuming = parsed.value("resume")
    if not resuming:
        _ = parsed.options  # every mistake in them is told before anything is touched
    if resuming and not folder.is_dir():
        raise UserError(f"there is no run {folder} to resume; leave --resume out to begin it, or mend --name")
    from pix2pix import distributed

    distributed.check_same_options(parsed.given)
    if parsed.value("dry_run"):
        return _train(parsed.options, None, None, [])
    try:
        with ExitStack() as held:
            distributed.run_on_main(lambda: _hold(folder, held))
            return _resume(parsed, folder) if resuming else _begin(parsed, folder)
    except OSError as error:
        raise _told(error) from error
    except UserError as error:
        raise _with_a_way_on(error) from error


def _hold(folder: Path, held: ExitStack) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    from pix2pix.training.checkpointing import lock_folder

    held.enter_context(lock_folder(folder))


def _told(error: OSError) -> UserError:
    """Say what the system refused: the file that it names, or else anything from a full disk to too many files."""
    from pix2pix.errors import format_path

    what = f"{format_path(error.filename)} cannot be used" if error.filename else "the run cannot go on"
    return UserError(f"{what}: {error.strerror or error}")


def _with_a_way_on(error: UserError) -> UserError:
    """Tell how to go on without an image that went bad while the run trained."""
    from pix2pix.errors import ImageError

    return UserError(f"{error}; or leave it out by --resume --skip_bad") if isinstance(error, ImageError) else error


def _begin(parsed: ParsedOptions[TrainingOptions], folder: Path) -> int:
    """Start a run in a folder that has none, or whose old one may go."""
    from pix2pix import distributed
    from pix2pix.training.logging import RUN_FILES

    old = distributed.run_on_main(lambda: [path for pattern in RUN_FILES for path in folder.glob(pattern)])
    if old and not parsed.value("overwrite"):
        raise UserError(
            f"{folder} holds a run already; continue it with --resume, replace it with --overwrite, "
            "or choose another --name"
        )
    return _train(parsed.options, folder, None, [], replaced=old)


def _resume(parsed: ParsedOptions[TrainingOptions], folder: Path) -> int:
    """Continue from the newest checkpoint that is whole, or from the start where none was written yet."""
    from pix2pix import checkpoint, distributed

    content, complaints = checkpoint.load_newest_valid(folder)
    if len(set(found := distributed.gather(content and content["step"]))) > 1:
        raise UserError(
            f"{folder} holds checkpoints of different steps on different machines ({', '.join(map(str, found))}): "
            "give a --checkpoints_dir that all of them share"
        )
    if content is not None:
        stored = load_stored_options(content["options"], "the checkpoint's options")
        complaints = [f"{complaint}: skipped" for complaint in complaints]
    elif complaints:
        raise UserError(f"no checkpoint in {folder} is whole: {complaints[0]}; begin anew with --overwrite")
    else:
        file = folder / "options.yaml"
        if not file.is_file():
            raise UserError(f"{folder} holds no run to resume; leave --resume out to begin it, or mend --name")
        stored = load_stored_options(load_yaml(str(file)), str(file))
        complaints = [f"{folder} has no checkpoint yet: beginning at step 1"]
    options = check_resume(stored, parsed.given)
    return _train(options, folder, content, complaints, read_again=parsed.given.get("skip_bad", False))


def _train(
    options: TrainingOptions,
    folder: Path | None,
    content: dict[str, Any] | None,
    remarks: list[str],
    replaced: Sequence[Path] = (),
    read_again: bool = False,
) -> int:
    """Build what the options say, put the checkpoint's content into it, and train. Without a folder: one dry step.

    A run that is resumed reads its images again only where it is told to leave out what went bad since.
    """
    from pix2pix import distributed
    from pix2pix.cli.training_setup import open_training_setup
    from pix2pix.runtime.device import Runtime
    from pix2pix.training.checkpointing import TrainState, load_checkpoint
    from pix2pix.training.logging import open_logger
    from pix2pix.training.loop import fit

    run = options.run
    fast, synchronised = parse_speedups(run.fast), get_values(options).get("sync_batchnorm", False)
    runtime = Runtime(run.device, run.precision, fast, compiled=run.compile, sync_batchnorm=synchronised)
    training = open_training_setup(options, runtime, content, read_again=read_again, dry=folder is None)
    options, method = training.options, training.method
    progress = load_checkpoint(method, content, options) if content is not None else TrainState()
    _check_ends(options, progress.step)
    method.description |= {**training.counts, "skipped": training.skipped}
    remarks = (
        [*remarks, *describe_changes(content, training.counts, distributed.world_size())]
        if content is not None
        else remarks
    )
    batches, validation, introduction = training.supply(progress, folder, lambda sentence: logger.info(sentence))

    with ExitStack() as stack:
        stack.enter_context(closing(batches))
        logger = open_logger(options, folder if distributed.is_main() else None, replaced, progress.step, stack)
        for sentence in [*remarks, *introduction]:
            logger.info(sentence)
        received = fit(method, batches, validation, options, logger, folder, progress)
        logger.info(describe_end(options, folder, progress.step, received is not None))
    return 128 + received if received is not None else 0


def _check_ends(options: TrainingOptions, step: int) -> None:
    """Refuse an end that lies behind."""
    for name, end in (("steps", options.train.steps), ("stop_at_step", options.run.stop_at_step)):
        if end is not None and end < step:
            raise UserError(f"--{name} {end} lies behind: the run is at step {step}; give more, or leave it out")
