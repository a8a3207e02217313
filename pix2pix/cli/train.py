"""`python train.py [PRESET.yaml] --option value ...`: train a translator."""

import json
import math
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pix2pix.errors import UserError
from pix2pix.lock import locked
from pix2pix.options import Parsed, Pix2PixOptions, as_dict, check_resume, from_dict, load_yaml, parse, to_yaml

if TYPE_CHECKING:
    from pix2pix.data.pairs import Phase
    from pix2pix.data.records import Pairs
    from pix2pix.methods.pix2pix import Pix2Pix
    from pix2pix.monitor import Monitor
    from pix2pix.runtime import Runtime

# options.yaml goes last and comes first: whatever a killed process leaves can be resumed or overwritten.
RUN_FILES = (
    *("step_[0-9]*.pt", "latest", "best", "env.json", "train.log", "metrics.jsonl"),
    *("tb/events.out.tfevents.*", "options.yaml"),
)


def train(argv: Sequence[str]) -> int:
    """Train, or continue, the run that the arguments name; return the exit status."""
    parsed = parse(argv, Pix2PixOptions, program="train.py")
    if parsed.value("dry_run"):
        return _train(parsed.options, None, None, [])
    folder = Path(parsed.value("checkpoints_dir")) / parsed.value("name")
    resuming = parsed.value("resume")
    if not resuming:
        _ = parsed.options  # every mistake in them is told before anything is touched
    if resuming and not folder.is_dir():
        raise UserError(f"there is no run {folder} to resume; leave --resume out to begin it, or mend --name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            return _resume(parsed, folder) if resuming else _begin(parsed, folder)
    except OSError as error:
        raise UserError(f"the run folder {folder} cannot be written: {error.strerror or error}") from error


def _begin(parsed: Parsed[Pix2PixOptions], folder: Path) -> int:
    """Start a run in a folder that has none, or whose old one may go."""
    old = [path for pattern in RUN_FILES for path in folder.glob(pattern)]
    if old and not parsed.value("overwrite"):
        raise UserError(
            f"{folder} holds a run already; continue it with --resume, replace it with --overwrite, "
            "or choose another --name"
        )
    return _train(parsed.options, folder, None, [], replaced=old)


def _resume(parsed: Parsed[Pix2PixOptions], folder: Path) -> int:
    """Continue from the newest checkpoint that is whole, or from the start where none was written yet."""
    from pix2pix import checkpoint

    content, complaints = checkpoint.newest_sound(folder)
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
    return _train(check_resume(stored, parsed.given), folder, content, complaints)


def _train(
    options: Pix2PixOptions,
    folder: Path | None,
    content: dict[str, Any] | None,
    remarks: list[str],
    replaced: Sequence[Path] = (),
) -> int:
    """Build what the options say, put the checkpoint's content into it, and train. Without a folder: one dry step."""
    from pix2pix import checkpoint
    from pix2pix.data.batches import evaluation_pairs, training_batches
    from pix2pix.methods import METHODS
    from pix2pix.monitor import DryMonitor, RunMonitor
    from pix2pix.runtime import Runtime
    from pix2pix.training import Progress, fit, resume

    runtime = Runtime(options.run.device, options.run.precision)
    pairs = _open(options, "train")
    options = _with_steps(options, len(pairs), dry=folder is None)
    first = pairs.read(0)
    input_nc, output_nc = first.source.shape[2], first.target.shape[2]
    held_out = _open(options, "val", input_nc, output_nc)
    method = METHODS[options.model](options, input_nc, output_nc, runtime)
    progress = resume(method, content, options) if content is not None else Progress()
    _check_ends(options, progress.step)
    method.description["pairs"] = len(pairs)
    if content is not None and content["description"].get("pairs", len(pairs)) != len(pairs):
        then = content["description"]["pairs"]
        remarks = [*remarks, f"the data has changed: {then} training pairs then, {len(pairs)} now, and another order"]
    data = options.data

    with ExitStack() as stack:
        monitor: Monitor
        if folder is None:
            monitor = DryMonitor()
        else:
            checkpoint.sweep(folder)
            for path in replaced:
                path.unlink()
            _describe(options, folder)
            monitor = stack.enter_context(closing(RunMonitor(folder, progress.step, options.train.steps or 0)))
            monitor.hparams(_flat(options))
        for sentence in [*remarks, *_introduction(options, pairs, held_out, method, progress.step)]:
            monitor.say(sentence)
        batches = training_batches(
            pairs,
            preprocess=data.preprocess,
            load_size=data.load_size,
            crop_size=data.crop_size,
            flip=data.flip,
            multiple=method.multiple,
            batch_size=options.train.batch_size,
            seed=options.run.seed,
            start_step=progress.step,
            num_workers=data.num_workers,
        )
        stack.enter_context(closing(batches))
        limit = 1 if folder is None else None
        received = fit(
            method,
            batches,
            lambda: evaluation_pairs(
                held_out,
                preprocess=data.preprocess,
                load_size=data.load_size,
                crop_size=data.crop_size,
                limit=limit,
            ),
            options,
            monitor,
            folder,
            progress,
        )
        monitor.say(_conclusion(options, folder, progress.step, received is not None))
    return 128 + received if received is not None else 0


def _check_ends(options: Pix2PixOptions, step: int) -> None:
    """Refuse an end that lies behind."""
    for name, end in (("steps", options.train.steps), ("stop_at", options.run.stop_at)):
        if end is not None and end < step:
            raise UserError(f"--{name} {end} lies behind: the run is at step {step}; give more, or leave it out")


def _open(
    options: Pix2PixOptions, phase: "Phase", input_nc: int | None = None, output_nc: int | None = None
) -> "Pairs":
    """Open the pairs of a phase; with channels given, convert them as test.py does."""
    from pix2pix.data.pairs import open_pairs

    data = options.data
    return open_pairs(
        data.dataroot,
        phase,
        direction=data.direction,
        val_fraction=data.val_fraction,
        max_dataset_size=data.max_dataset_size if phase == "train" else None,
        input_nc=input_nc or data.input_nc,
        output_nc=output_nc or data.output_nc,
        size=data.load_size,
    )


def _with_steps(options: Pix2PixOptions, images: int, *, dry: bool) -> Pix2PixOptions:
    """Say in steps how long the run is, so that the checkpoint knows without its data."""
    if images == 0:
        raise UserError(f"{options.data.dataroot} leaves no pair to train on; lower --val_fraction")
    epochs = options.train.n_epochs + options.train.n_epochs_decay
    steps = 1 if dry else options.train.steps or math.ceil(epochs * images / options.train.batch_size)
    return options.model_copy(update={"train": options.train.model_copy(update={"steps": steps})})


def _describe(options: Pix2PixOptions, folder: Path) -> None:
    """Write options.yaml and env.json."""
    from pix2pix.environment import environment

    temporary = folder / ".options.yaml.tmp"
    temporary.write_text(to_yaml(options), encoding="utf-8")
    temporary.replace(folder / "options.yaml")
    command = {"command": shlex.join(sys.argv)}
    (folder / "env.json").write_text(json.dumps(command | environment(), indent=2) + "\n", encoding="utf-8")


def _introduction(
    options: Pix2PixOptions, pairs: "Pairs", held_out: "Pairs", method: "Pix2Pix", step: int
) -> list[str]:
    train, network = options.train, options.network
    sizes = {name: sum(w.numel() for w in module.parameters()) / 1e6 for name, module in method.networks.items()}
    judge = f", D {network.patch}x{network.patch} PatchGAN {sizes['D']:.3f} M" if "D" in sizes else ", no D"
    batch = f"the batch size is {train.batch_size}"
    reason = f"{batch}, and the paper's rule is --norm auto" if network.norm == "auto" else "--norm says so"
    epochs = (train.steps or 0) * train.batch_size / len(pairs)
    return [
        f"train: {pairs.layout}: {len(pairs)} pairs",
        f"val: {held_out.layout}: {len(held_out)} pairs" if len(held_out) else "val: none, so no best checkpoint",
        f"direction {options.data.direction}: {method.description['input_nc']} channels to "
        f"{method.description['output_nc']}",
        f"networks: G {network.generator} {sizes['G']:.3f} M parameters{judge}",
        f"norm: {method.norm}, because {reason}",
        f"device {method.runtime.device}, {options.run.precision}, seed {options.run.seed}{_slow(method.runtime)}",
        f"steps: {step + 1} to {train.steps} ({epochs:.1f} epochs)"
        + (f", stopping at {options.run.stop_at}" if options.run.stop_at else ""),
    ]


def _slow(runtime: "Runtime") -> str:
    """Warn of bfloat16 on a processor that only emulates it: measured at 256 pixels, a step took 12 times as long."""
    import torch

    processor = torch.backends.cpu.get_cpu_capability()
    if runtime.device.type == "cpu" and runtime.precision == "bf16" and not processor.startswith("AVX512"):
        return f" (this processor, {processor}, has no bfloat16 arithmetic: --precision fp32 is many times as fast)"
    return ""


def _conclusion(options: Pix2PixOptions, folder: Path | None, step: int, interrupted: bool) -> str:
    run = options.run
    where = "" if run.checkpoints_dir == "checkpoints" else f" --checkpoints_dir {shlex.quote(run.checkpoints_dir)}"
    name = f"--name {shlex.quote(run.name)}{where}"
    if folder is None:
        return "dry run: one training step and one validation step went well; nothing was written"
    if interrupted or step < (options.train.steps or 0):
        return f"stopped after step {step}, which is saved; go on with: python train.py {name} --resume"
    return f"done: {step} steps in {folder}; now: python test.py {name}"


def _flat(options: Pix2PixOptions) -> dict[str, str | int | float | bool]:
    """Return the options as TensorBoard takes them: one level, no None."""
    groups = as_dict(options)
    leaves = {name: value for group in groups.values() if isinstance(group, dict) for name, value in group.items()}
    return {name: value for name, value in leaves.items() if value is not None}
