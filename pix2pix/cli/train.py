"""`python train.py [PRESET.yaml] --option value ...`: train a translator."""

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pix2pix.cli.run_folder import RUN_FILES, open_monitor
from pix2pix.cli.sentences import changes, conclusion, introduction
from pix2pix.errors import UserError
from pix2pix.lock import locked
from pix2pix.options import (
    Parsed,
    Pix2PixOptions,
    check_resume,
    from_dict,
    load_yaml,
    parse,
    refuse_painter,
    speedups,
)

if TYPE_CHECKING:
    from pix2pix.data.records import Pair
    from pix2pix.data.survey import Seen
    from pix2pix.data.training_set import TrainingSet
    from pix2pix.methods.pix2pix import Pix2Pix
    from pix2pix.training import Progress


def train(argv: Sequence[str]) -> int:
    """Train, or continue, the run that the arguments name; return the exit status."""
    refuse_painter(argv)
    parsed = parse(argv, Pix2PixOptions, program="train.py")
    if parsed.value("dry_run") and parsed.value("resume"):
        raise UserError("--dry_run tries the options of a new run: leave --resume out")
    folder = Path(parsed.value("checkpoints_dir")) / parsed.value("name")
    resuming = parsed.value("resume")
    if not resuming:
        _ = parsed.options  # every mistake in them is told before anything is touched
    if resuming and not folder.is_dir():
        raise UserError(f"there is no run {folder} to resume; leave --resume out to begin it, or mend --name")
    from pix2pix import ranks

    ranks.agree(parsed.given)
    if parsed.value("dry_run"):
        return _train(parsed.options, None, None, [])
    try:
        with ExitStack() as held:
            ranks.by_first(lambda: _hold(folder, held))
            return _resume(parsed, folder) if resuming else _begin(parsed, folder)
    except OSError as error:
        raise _told(error) from error
    except UserError as error:
        raise _with_a_way_on(error) from error


def _hold(folder: Path, held: ExitStack) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    held.enter_context(locked(folder))


def _told(error: OSError) -> UserError:
    """Say what the system refused: the file that it names, or else anything from a full disk to too many files."""
    from pix2pix.images import shown

    what = f"{shown(error.filename)} cannot be used" if error.filename else "the run cannot go on"
    return UserError(f"{what}: {error.strerror or error}")


def _with_a_way_on(error: UserError) -> UserError:
    """Tell how to go on without an image that went bad while the run trained."""
    from pix2pix.images import ImageError

    return UserError(f"{error}; or leave it out by --resume --skip_bad") if isinstance(error, ImageError) else error


def _begin(parsed: Parsed[Pix2PixOptions], folder: Path) -> int:
    """Start a run in a folder that has none, or whose old one may go."""
    from pix2pix import ranks

    old = ranks.by_first(lambda: [path for pattern in RUN_FILES for path in folder.glob(pattern)])
    if old and not parsed.value("overwrite"):
        raise UserError(
            f"{folder} holds a run already; continue it with --resume, replace it with --overwrite, "
            "or choose another --name"
        )
    return _train(parsed.options, folder, None, [], replaced=old)


def _resume(parsed: Parsed[Pix2PixOptions], folder: Path) -> int:
    """Continue from the newest checkpoint that is whole, or from the start where none was written yet."""
    from pix2pix import checkpoint, ranks

    content, complaints = checkpoint.newest_sound(folder)
    if len(set(found := ranks.gather(content and content["step"]))) > 1:
        raise UserError(
            f"{folder} holds checkpoints of different steps on different machines ({', '.join(map(str, found))}): "
            "give a --checkpoints_dir that all of them share"
        )
    if content is not None:
        stored = from_dict(Pix2PixOptions, content["options"], "the checkpoint's options")
        complaints = [f"{complaint}: skipped" for complaint in complaints]
    elif complaints:
        raise UserError(f"no checkpoint in {folder} is whole: {complaints[0]}; begin anew with --overwrite")
    else:
        file = folder / "options.yaml"
        if not file.is_file():
            raise UserError(f"{folder} holds no run to resume; leave --resume out to begin it, or mend --name")
        stored = from_dict(Pix2PixOptions, load_yaml(str(file)), str(file))
        complaints = [f"{folder} has no checkpoint yet: beginning at step 1"]
    options = check_resume(stored, parsed.given)
    return _train(options, folder, content, complaints, read_again=parsed.given.get("skip_bad", False))


def _train(
    options: Pix2PixOptions,
    folder: Path | None,
    content: dict[str, Any] | None,
    remarks: list[str],
    replaced: Sequence[Path] = (),
    read_again: bool = False,
) -> int:
    """Build what the options say, put the checkpoint's content into it, and train. Without a folder: one dry step.

    A run that is resumed reads its pairs again only where it is told to leave out what went bad since.
    """
    from pix2pix import ranks
    from pix2pix.methods import METHODS
    from pix2pix.methods.feature_losses import feature_losses
    from pix2pix.runtime import Runtime
    from pix2pix.training import Progress, fit, resume

    run = options.run
    fast, synchronised = speedups(run.fast), options.train.sync_batchnorm
    runtime = Runtime(run.device, run.precision, fast, compiled=run.compile, sync_batchnorm=synchronised)
    features = feature_losses(options, runtime)  # first: what they lack is told before every pair is read
    data = ranks.by_first(lambda: _data(options, content, read_again))
    options = _with_steps(options, len(data.train), dry=folder is None)
    method = METHODS[options.model](options, data.codec, runtime, features=features)
    progress = resume(method, content, options) if content is not None else Progress()
    _check_ends(options, progress.step)
    method.description |= {"pairs": len(data.train), "skipped": data.skipped}
    remarks = [*remarks, *changes(content, len(data.train), ranks.count())] if content is not None else remarks
    batches, validation, cached = _batches(
        options, data, method, progress, folder, lambda sentence: monitor.say(sentence)
    )

    with ExitStack() as stack:
        stack.enter_context(closing(batches))
        monitor = open_monitor(options, folder if ranks.is_first() else None, replaced, progress.step, stack)
        for sentence in [*remarks, *introduction(options, data, method, progress, cached)]:
            monitor.say(sentence)
        received = fit(method, batches, validation, options, monitor, folder, progress)
        monitor.say(conclusion(options, folder, progress.step, received is not None))
    return 128 + received if received is not None else 0


def _data(options: Pix2PixOptions, content: dict[str, Any] | None, read_again: bool) -> "TrainingSet":
    """Open the pairs: all are read once before a run begins; one that is resumed keeps what was found then."""
    from tqdm import tqdm

    from pix2pix.data.training_set import open_training_set, reopen_training_set
    from pix2pix.methods.base import codec_of

    def progress(seen: "Iterable[Seen]", count: int, phase: str) -> "Iterable[Seen]":
        return tqdm(seen, desc=f"reading every pair of {phase}", total=count, unit="pair", disable=None)

    if content is not None:
        description = content["description"]
        found = open_training_set(options.data, progress) if read_again else None
        skipped = found.skipped if found else description.get("skipped", {})
        reopened = reopen_training_set(options.data, codec_of(description), skipped)
        return reopened._replace(faults=found.faults) if found else reopened
    return open_training_set(options.data, progress)


def _batches(
    options: Pix2PixOptions,
    data: "TrainingSet",
    method: "Pix2Pix",
    progress: "Progress",
    folder: Path | None,
    say: Callable[[str], None],
) -> "tuple[Generator[Pair, None, None], Callable[[], Iterator[Pair]], str]":
    """Return this process's training batches after those made, its validation pairs, and a phrase naming the cache.

    Without a folder, in a dry run, there is one validation pair.
    """
    from pix2pix import ranks
    from pix2pix.data.augment import Augment, resized
    from pix2pix.data.batches import evaluation_pairs, training_batches
    from pix2pix.data.caching import open_cache

    given, device = options.data, method.runtime.device
    augment = Augment(given.preprocess, given.crop_size, given.flip, options.run.seed, data.codec, given.augment)
    sizes: dict[str, Any] = dict(preprocess=given.preprocess, load_size=given.load_size, crop_size=given.crop_size)
    first = resized(data.train.read(0), **sizes, training=True, codec=data.codec)
    augment.try_on(first)
    part: dict[str, Any] = {"rank": ranks.rank(), "ranks": ranks.count()}
    cache, said = open_cache(given, len(data.train), first, data.codec, device, folder)
    batches = training_batches(
        data.train,
        data.codec,
        augment,
        **sizes,
        multiple=method.multiple,
        batch_size=options.train.batch_size,
        seed=options.run.seed,
        start_step=progress.step,
        shown=progress.shown,
        **part,
        num_workers=given.num_workers,
        cache=cache,
        pinned=device.type == "cuda",
        say=say,
    )
    limit = 1 if folder is None else None
    return batches, lambda: evaluation_pairs(data.val, data.codec, **sizes, **part, limit=limit), said


def _check_ends(options: Pix2PixOptions, step: int) -> None:
    """Refuse an end that lies behind."""
    for name, end in (("steps", options.train.steps), ("stop_at", options.run.stop_at)):
        if end is not None and end < step:
            raise UserError(f"--{name} {end} lies behind: the run is at step {step}; give more, or leave it out")


def _with_steps(options: Pix2PixOptions, images: int, *, dry: bool) -> Pix2PixOptions:
    """Say in steps how long the run is, so that the checkpoint knows without its data."""
    from pix2pix import ranks

    epochs = options.train.n_epochs + options.train.n_epochs_decay
    steps = 1 if dry else options.train.steps or math.ceil(epochs * images / (options.train.batch_size * ranks.count()))
    return options.model_copy(update={"train": options.train.model_copy(update={"steps": steps})})
