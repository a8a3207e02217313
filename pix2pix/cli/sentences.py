"""What a training says of itself in words, at its beginning and at its end."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pix2pix.options import Pix2PixOptions

if TYPE_CHECKING:
    from pix2pix.data.training_set import TrainingSet
    from pix2pix.images import Encoding
    from pix2pix.methods.pix2pix import Pix2Pix
    from pix2pix.runtime import Runtime
    from pix2pix.training import Progress


def introduction(
    options: Pix2PixOptions, data: "TrainingSet", method: "Pix2Pix", progress: "Progress", cached: str
) -> list[str]:
    """Say what is trained on what; `progress` is what was made before, `cached` says where pairs are kept."""
    from pix2pix import ranks

    train, network = options.train, options.network
    sizes = {name: sum(w.numel() for w in module.parameters()) / 1e6 for name, module in method.networks.items()}
    judge = f", D {network.patch}x{network.patch} PatchGAN {sizes['D']:.3f} M" if "D" in sizes else ", no D"
    batch = f"the batch size is {train.batch_size}"
    reason = f"{batch}, and the paper's rule is --norm auto" if network.norm == "auto" else "--norm says so"
    to_come = ((train.steps or 0) - progress.step) * train.batch_size * ranks.count()
    epochs = (progress.shown + to_come) / len(data.train)
    left_out = [f"left out: {fault}" for fault in data.faults]
    return [
        *left_out,
        *data.remarks,
        f"train: {data.train.layout}: {len(data.train)} pairs",
        f"val: {data.val.layout}: {len(data.val)} pairs" if len(data.val) else "val: none, so no best checkpoint",
        f"cache: {cached}",
        f"direction {options.data.direction}: {_in_words(data.codec.source)} to {_in_words(data.codec.target)}",
        f"networks: G {network.generator} {sizes['G']:.3f} M parameters{judge}",
        f"norm: {method.norm}, because {reason}",
        *_of_features(options, method),
        f"device {method.runtime.device}, {options.run.precision}, seed {options.run.seed}{slow(method.runtime)}",
        f"fast: {ways(method.runtime)}",
        *_of_processes(options, method, ranks.count()),
        f"steps: {progress.step + 1} to {train.steps} ({epochs:.1f} epochs)"
        + (f", stopping at {options.run.stop_at}" if options.run.stop_at else ""),
    ]


def _of_features(options: Pix2PixOptions, method: "Pix2Pix") -> list[str]:
    """Say what the losses on features look at."""
    if method.features is None:
        return []
    told, features, loss = method.features.description, options.features, options.loss
    ways = []
    if loss.lambda_perceptual > 0:
        ways += [f"perceptual of {told['content_layers'].replace(',', ', ')}"]
    if loss.lambda_style > 0:
        target = f"that of {loss.style_image}" if loss.style_image else "each target's"
        ways += [f"style ({features.style_loss}, {target}) of {told['style_layers'].replace(',', ', ')}"]
    smoothed = ", smoothed" if features.smoothing else ""
    return [f"features: {features.backbone}{smoothed}, weights {told['weights']}: {'; '.join(ways)}"]


def _of_processes(options: Pix2PixOptions, method: "Pix2Pix", count: int) -> list[str]:
    """Say how many processes share a step, and what each does by itself."""
    if count == 1:
        return []
    batch_size = options.train.batch_size
    said = [f"processes: {count}, each with {batch_size} of the {batch_size * count} pairs in a step"]
    if method.norm == "batch" and not options.train.sync_batchnorm:
        way = "; --sync_batchnorm: by those of all" if method.runtime.device.type == "cuda" else ""
        said += [f"BatchNorm: each process normalises by its own pairs{way}"]
    return said


def changes(content: dict[str, Any], pairs: int, processes: int) -> list[str]:
    """Say what is no more as it was when the checkpoint was written: the number of pairs, and of processes."""
    said = []
    if (then := content["description"].get("pairs", pairs)) != pairs:
        said += [f"the data has changed: {then} training pairs then, {pairs} now, and another order"]
    if (then := content.get("processes", 1)) != processes:
        said += [
            f"the number of processes has changed: {then} then, {processes} now; a step has {processes}/{then} of the "
            "pairs that it had, in the same order"
        ]
    return said


def _in_words(encoding: "Encoding") -> str:
    values = f"{encoding.channels} channel{'s' * (encoding.channels != 1)} of {encoding.dtype}"
    match encoding.kind:
        case "lightness":
            return f"L of {values}"
        case "chroma":
            return "a and b"
        case "onehot":
            return f"labels of {len(encoding.palette)} classes, a channel each"
        case "labels":
            return f"labels of {values}" + (f", {len(encoding.palette)} colours" if encoding.palette else "")
    low, high = min(encoding.low), max(encoding.high)
    return values + ("" if (encoding.dtype, low, high) == ("uint8", 0, 255) else f" from {low:g} to {high:g}")


def slow(runtime: "Runtime") -> str:
    """Warn of bfloat16 on a processor that only emulates it: measured at 256 pixels, a step took 12 times as long."""
    import torch

    processor = torch.backends.cpu.get_cpu_capability()
    if runtime.device.type == "cpu" and runtime.precision == "bf16" and not processor.startswith("AVX512"):
        return f" (this processor, {processor}, has no bfloat16 arithmetic: --precision fp32 is many times as fast)"
    return ""


def ways(runtime: "Runtime") -> str:
    """Say what makes it fast."""
    names = ", ".join(["compiled"] * runtime.compiled + list(runtime.fast))
    return f"{names} (--fast none is without)" if runtime.fast else names or "nothing"


def conclusion(options: Pix2PixOptions, folder: Path | None, step: int, interrupted: bool) -> str:
    """Say how the run ended, and what to type next."""
    run = options.run
    where = "" if run.checkpoints_dir == "checkpoints" else f" --checkpoints_dir {shlex.quote(run.checkpoints_dir)}"
    name = f"--name {shlex.quote(run.name)}{where}"
    if folder is None:
        return "dry run: one training step and one validation step went well; nothing was written"
    if interrupted or step < (options.train.steps or 0):
        return f"stopped after step {step}, which is saved; go on with: python train.py {name} --resume"
    return f"done: {step} steps in {folder}; now: python test.py {name}"
