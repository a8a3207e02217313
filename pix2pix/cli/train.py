"""`python train.py [PRESET.yaml] --option value ...`: train a translator, or resume a training."""

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
from pix2pix.errors import ImageError, UserError, format_path


def train(argv: Sequence[str]) -> int:
    """Parse the command line and train; return the exit status."""
    return train_with_options(parse(argv, select_training_options(argv), program="train.py"))


def train_with_options(parsed: ParsedOptions[TrainingOptions]) -> int:
    """Start a new run, resume one, or make a dry run; return the exit status."""
    dry_run, resume = parsed.value("dry_run"), parsed.value("resume")
    folder = Path(parsed.value("checkpoints_dir")) / parsed.value("name")
    if dry_run and resume:
        raise UserError("--dry_run is for new runs: leave --resume out")
    if resume and not folder.is_dir():
        raise UserError(f"there is no run {folder} to resume; leave --resume out to start it, or correct --name")
    if not resume:
        _ = parsed.options  # raises errors before anything is written
    from pix2pix import distributed

    distributed.check_same_options(parsed.given)
    if dry_run:
        return _train(parsed.options, folder=None)
    try:
        with ExitStack() as lock:
            distributed.run_on_main(lambda: _lock(folder, lock))
            return _resume_run(parsed, folder) if resume else _start_run(parsed, folder)
    except OSError as error:
        subject = f"{format_path(error.filename)} cannot be used" if error.filename else "the run cannot continue"
        raise UserError(f"{subject}: {error.strerror or error}") from error
    except ImageError as error:
        raise UserError(f"{error}; or skip it with --resume --skip_bad") from error


def _lock(folder: Path, lock: ExitStack) -> None:
    from pix2pix.training.checkpointing import lock_folder

    folder.mkdir(parents=True, exist_ok=True)
    lock.enter_context(lock_folder(folder))


def _start_run(parsed: ParsedOptions[TrainingOptions], folder: Path) -> int:
    """Start a run in an empty folder, or replace an old run with --overwrite."""
    from pix2pix import distributed
    from pix2pix.training.logging import RUN_FILES

    old = distributed.run_on_main(lambda: [path for pattern in RUN_FILES for path in folder.glob(pattern)])
    if old and not parsed.value("overwrite"):
        raise UserError(
            f"{folder} holds a run already; continue it with --resume, replace it with --overwrite, "
            "or choose another --name"
        )
    return _train(parsed.options, folder, replaced=old)


def _resume_run(parsed: ParsedOptions[TrainingOptions], folder: Path) -> int:
    """Continue from the newest intact checkpoint, or from step 1 if there is no checkpoint yet."""
    from pix2pix import checkpoint, distributed

    content, messages = checkpoint.load_newest_valid(folder)
    if len(set(steps := distributed.gather(content and content["step"]))) > 1:
        raise UserError(
            f"{folder} has checkpoints of different steps on different machines ({', '.join(map(str, steps))}): "
            "give a --checkpoints_dir that all of them share"
        )
    if content is not None:
        stored = load_stored_options(content["options"], "the checkpoint's options")
        messages = [f"{message}: skipped" for message in messages]
    elif messages:
        raise UserError(f"no checkpoint in {folder} is intact: {messages[0]}; start again with --overwrite")
    else:
        file = folder / "options.yaml"
        if not file.is_file():
            raise UserError(f"{folder} has no run to resume; leave --resume out to start it, or correct --name")
        stored = load_stored_options(load_yaml(str(file)), str(file))
        messages = [f"{folder} has no checkpoint yet: starting at step 1"]
    options = check_resume(stored, parsed.given)
    return _train(options, folder, content, messages, read_again=parsed.given.get("skip_bad", False))


def _train(
    options: TrainingOptions,
    folder: Path | None,
    content: dict[str, Any] | None = None,
    messages: Sequence[str] = (),
    replaced: Sequence[Path] = (),
    read_again: bool = False,
) -> int:
    """Build runtime, method, data and logger, and train from a checkpoint's content if there is one.

    No `folder` means a dry run. `replaced` are the files of an old run. A resumed run validates its images again only
    with `read_again`.
    """
    from pix2pix import distributed
    from pix2pix.cli.training_setup import open_training_setup
    from pix2pix.runtime.device import Runtime
    from pix2pix.training.checkpointing import TrainState, load_checkpoint
    from pix2pix.training.logging import open_logger
    from pix2pix.training.loop import fit

    run = options.run
    sync_batchnorm = get_values(options).get("sync_batchnorm", False)
    runtime = Runtime(
        run.device, run.precision, parse_speedups(run.fast), compiled=run.compile, sync_batchnorm=sync_batchnorm
    )
    setup = open_training_setup(options, runtime, content, read_again=read_again, dry_run=folder is None)
    options, method = setup.options, setup.method
    state = load_checkpoint(method, content, options) if content is not None else TrainState()
    for name, end in (("steps", options.train.steps), ("stop_at_step", run.stop_at_step)):
        if end is not None and end < state.step:
            raise UserError(
                f"--{name} {end} is in the past: the run is at step {state.step}; give more, or leave it out"
            )
    if content is not None:
        messages = [*messages, *describe_changes(content, setup.counts, distributed.world_size())]
    method.description |= {**setup.counts, "skipped": setup.skipped}
    batches, validation, introduction = setup.load(state, folder, lambda message: logger.info(message))

    with ExitStack() as stack:
        stack.enter_context(closing(batches))
        logger = open_logger(options, folder if distributed.is_main() else None, replaced, state.step, stack)
        for message in [*messages, *introduction]:
            logger.info(message)
        received = fit(method, batches, validation, options, logger, folder, state)
        logger.info(describe_end(options, folder, state.step, received is not None))
    return 128 + received if received is not None else 0
