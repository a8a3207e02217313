"""Training from pairs: what pix2pix needs, and the segmenter."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pix2pix.cli.sentences import of_machine, of_processes, of_steps
from pix2pix.cli.training_kinds import Supply
from pix2pix.options import Pix2PixOptions, SegmenterOptions, TrainedOnPairs

if TYPE_CHECKING:
    from pix2pix.data.survey import Seen
    from pix2pix.data.training_set import TrainingSet
    from pix2pix.images import Encoding
    from pix2pix.methods.pix2pix import Pix2Pix
    from pix2pix.methods.segmenter import Segmenter
    from pix2pix.runtime import Runtime
    from pix2pix.training import Progress

AnyPairs = TypeVar("AnyPairs", Pix2PixOptions, SegmenterOptions)


@dataclass(frozen=True)
class TrainingOnPairs:
    """Pix2pix, or a segmenter, and its pairs."""

    options: TrainedOnPairs
    method: "Pix2Pix | Segmenter"
    data: "TrainingSet"

    @classmethod
    def opened(
        cls,
        options: TrainedOnPairs,
        runtime: "Runtime",
        content: dict[str, Any] | None,
        *,
        read_again: bool,
        dry: bool,
    ) -> Self:
        """Open the pairs and build the method, as `open_training`."""
        from pix2pix import ranks
        from pix2pix.methods.feature_losses import feature_losses
        from pix2pix.methods.pix2pix import Pix2Pix
        from pix2pix.methods.segmenter import Segmenter, classes_of

        if isinstance(options, SegmenterOptions):
            data = ranks.by_first(lambda: _of_classes(_data(options, content, read_again)))
            palette = classes_of(options, data.codec, content and content["description"])
            options = _with_steps(options, len(data.train), dry=dry)
            return cls(options, Segmenter(options, data.codec, runtime, palette), data)
        features = feature_losses(options, runtime)  # first: what they lack is told before every pair is read
        data = ranks.by_first(lambda: _data(options, content, read_again))
        options = _with_steps(options, len(data.train), dry=dry)
        return cls(options, Pix2Pix(options, data.codec, runtime, features=features), data)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many pairs there are to learn from."""
        return {"pairs": len(self.data.train)}

    @property
    def skipped(self) -> Mapping[str, Sequence[str]]:
        """The names of the pairs that are left out."""
        return self.data.skipped

    def supply(self, progress: "Progress", folder: Path | None, say: Callable[[str], None]) -> Supply:
        """Begin to load pairs, and keep them as the options say."""
        from pix2pix import ranks
        from pix2pix.data.augment import Augment, resized
        from pix2pix.data.batches import evaluation_pairs, training_batches
        from pix2pix.data.caching import open_cache

        options, data, given = self.options, self.data, self.options.data
        device = self.method.runtime.device
        augment = Augment(given.preprocess, given.crop_size, given.flip, options.run.seed, data.codec, given.augment)
        sizes: dict[str, Any] = dict(preprocess=given.preprocess, load_size=given.load_size, crop_size=given.crop_size)
        first = resized(data.train.read(0), **sizes, training=True, codec=data.codec)
        augment.try_on(first)
        part: dict[str, Any] = {"rank": ranks.rank(), "ranks": ranks.count()}
        cache, cached = open_cache(given, len(data.train), first, data.codec, device, folder)
        batches = training_batches(
            data.train,
            data.codec,
            augment,
            **sizes,
            multiple=self.method.multiple,
            batch_size=options.train.batch_size,
            seed=options.run.seed,
            start_step=progress.step,
            shown=progress.shown,
            **part,
            num_workers=given.num_workers,
            loader_timeout=given.loader_timeout,
            cache=cache,
            pinned=device.type == "cuda",
            say=say,
        )
        limit = 1 if folder is None else None

        def validation() -> Iterable[Any]:
            return evaluation_pairs(data.val, data.codec, **sizes, **part, limit=limit)

        return Supply(batches, validation, self._introduction(progress, cached))

    def _introduction(self, progress: "Progress", cached: str) -> list[str]:
        """Say what is trained on what; `progress` is what was made before, `cached` says where pairs are kept."""
        options, data, method = self.options, self.data, self.method
        train, network = options.train, options.network
        sizes = {name: sum(w.numel() for w in module.parameters()) / 1e6 for name, module in method.networks.items()}
        judge = _judge(options, sizes)
        batch = f"the batch size is {train.batch_size}"
        reason = f"{batch}, and the paper's rule is --norm auto" if network.norm == "auto" else "--norm says so"
        return [
            *(f"left out: {fault}" for fault in data.faults),
            *data.remarks,
            f"train: {data.train.layout}: {len(data.train)} pairs",
            f"val: {data.val.layout}: {len(data.val)} pairs" if len(data.val) else "val: none, so no best checkpoint",
            f"cache: {cached}",
            f"direction {options.data.direction}: {_in_words(data.codec.source)} to {_in_words(data.codec.target)}",
            f"networks: G {network.generator} {sizes['G']:.3f} M parameters{judge}",
            f"norm: {method.norm}, because {reason}",
            *_of_features(options, method.description.get("features")),
            *of_machine(options, method.runtime),
            *of_processes(options, "pairs", method.norm, method.runtime),
            of_steps(options, progress, len(data.train)),
        ]


def _judge(options: TrainedOnPairs, sizes: Mapping[str, float]) -> str:
    """Say what else there is beside G, of so many million weights."""
    if isinstance(options, SegmenterOptions):
        return ""
    side = options.network.patch
    return f", D {side}x{side} PatchGAN {sizes['D']:.3f} M" if "D" in sizes else ", no D"


def _of_classes(data: "TrainingSet") -> "TrainingSet":
    """Let targets be classes, not colours."""
    codec = data.codec._replace(target=replace(data.codec.target, kind="classes"))
    return data._replace(train=data.train.of(codec), val=data.val.of(codec), codec=codec)


def _data(options: TrainedOnPairs, content: dict[str, Any] | None, read_again: bool) -> "TrainingSet":
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


def _with_steps(options: AnyPairs, images: int, *, dry: bool) -> AnyPairs:
    """Say in steps how long the run is, so that the checkpoint knows without its data."""
    from pix2pix import ranks

    epochs = options.train.n_epochs + options.train.n_epochs_decay
    steps = 1 if dry else options.train.steps or math.ceil(epochs * images / (options.train.batch_size * ranks.count()))
    return options.model_copy(update={"train": options.train.model_copy(update={"steps": steps})})


def _of_features(options: TrainedOnPairs, told: Mapping[str, str] | None) -> list[str]:
    """Say what the losses on features look at, as the method describes them."""
    if told is None or not isinstance(options, Pix2PixOptions):
        return []
    features, loss = options.features, options.loss
    ways = []
    if loss.lambda_perceptual > 0:
        ways += [f"perceptual of {told['content_layers'].replace(',', ', ')}"]
    if loss.lambda_style > 0:
        target = f"that of {loss.style_image}" if loss.style_image else "each target's"
        ways += [f"style ({features.style_loss}, {target}) of {told['style_layers'].replace(',', ', ')}"]
    smoothed = ", smoothed" if features.smoothing else ""
    return [f"features: {features.backbone}{smoothed}, weights {told['weights']}: {'; '.join(ways)}"]


def _in_words(encoding: "Encoding") -> str:
    values = f"{encoding.channels} channel{'s' * (encoding.channels != 1)} of {encoding.dtype}"
    match encoding.kind:
        case "lightness":
            return f"L of {values}"
        case "chroma":
            return "a and b"
        case "onehot" | "classes":
            return f"labels of {len(encoding.palette)} classes, a channel each"
        case "labels":
            return f"labels of {values}" + (f", {len(encoding.palette)} colours" if encoding.palette else "")
    low, high = min(encoding.low), max(encoding.high)
    return values + ("" if (encoding.dtype, low, high) == ("uint8", 0, 255) else f" from {low:g} to {high:g}")
