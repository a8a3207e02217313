"""Open the data of a training and build its method: pairs, or photos and style images."""

import math
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, TypeVar

from pix2pix.cli.console import describe_machine, describe_processes, describe_steps
from pix2pix.config.parse import PairTrainingOptions, PhotoTrainingOptions, TrainingOptions
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.config.segmenter import SegmenterOptions
from pix2pix.config.style import AdainOptions, JohnsonOptions

if TYPE_CHECKING:
    from pix2pix.data.codec import ImageCodec
    from pix2pix.data.photos import PhotoData
    from pix2pix.data.validate import PairCheck, TrainingSet
    from pix2pix.methods.base import Method
    from pix2pix.methods.pix2pix import Pix2Pix
    from pix2pix.methods.segmenter import Segmenter
    from pix2pix.runtime.device import Runtime
    from pix2pix.training.checkpointing import TrainState


class DataSource(NamedTuple):
    """The batches of this process from the next step on, the validation batches, and messages about the training."""

    batches: Generator[Any, None, None]
    validation: Callable[[], Iterable[Any]]
    introduction: list[str]


class TrainingSetup(Protocol):
    """A method and its data."""

    @property
    def options(self) -> TrainingOptions:
        """All options, including the number of steps."""
        ...

    @property
    def method(self) -> "Method[Any]":
        """The method to train."""
        ...

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of training images by kind; a batch counts the first kind."""
        ...

    @property
    def skipped(self) -> Mapping[str, Sequence[str]]:
        """The names of skipped faulty images, by phase."""
        ...

    def load(self, state: "TrainState", folder: Path | None, say: Callable[[str], None]) -> DataSource:
        """Start loading; `say` receives messages while loading. Without a folder, in a dry run, validation is short."""
        ...


def open_training_setup(
    options: TrainingOptions, runtime: "Runtime", content: dict[str, Any] | None, *, read_again: bool, dry_run: bool
) -> TrainingSetup:
    """Open the data and build the method; a checkpoint's content has the results of the validation of the data.

    All images are validated before a run starts, and for a resumed run again with `read_again`.

    Raises:
        UserError: options, images or weights do not fit each other.
    """
    if isinstance(options, PairTrainingOptions):
        return PairTraining.open(options, runtime, content, read_again=read_again, dry_run=dry_run)

    return PhotoTraining.open(options, runtime, content, read_again=read_again, dry_run=dry_run)


@dataclass(frozen=True)
class PhotoTraining:
    """A style method with its photos, and style images for AdaIN."""

    options: PhotoTrainingOptions
    method: "Method[Any]"
    data: "PhotoData"
    runtime: "Runtime"

    @classmethod
    def open(
        cls,
        options: PhotoTrainingOptions,
        runtime: "Runtime",
        content: dict[str, Any] | None,
        *,
        read_again: bool,
        dry_run: bool,
    ) -> Self:
        """Build the method and open the photos, as `open_training_setup`."""
        from pix2pix import distributed
        from pix2pix.methods import METHODS

        description = None if content is None else content["description"]
        # first, so that its errors come before all photos are read
        method: Method[Any] = METHODS[options.model](options, runtime, description)
        data = distributed.run_on_main(lambda: _open_photos(options, description, read_again))
        if dry_run:
            options = options.model_copy(update={"train": options.train.model_copy(update={"steps": 1})})
        return cls(options, method, data, runtime)

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of training photos, and of style images."""
        styles = self.data.styles
        return {"photos": len(self.data.train)} | ({} if styles is None else {"paintings": len(styles)})

    @property
    def skipped(self) -> Mapping[str, Sequence[str]]:
        """The names of skipped images."""
        return self.data.skipped

    def load(self, state: "TrainState", folder: Path | None, say: Callable[[str], None]) -> DataSource:
        """Start loading photos."""
        from pix2pix import distributed
        from pix2pix.data.photos import iterate_photos, photo_batches

        options, part = self.options, {"rank": distributed.rank(), "ranks": distributed.world_size()}
        batches = photo_batches(
            self.data,
            options.data,
            batch_size=options.train.batch_size,
            seed=options.run.seed,
            start_step=state.step,
            shown=state.shown,
            **part,
            pinned=self.runtime.device.type == "cuda",
        )

        def validation() -> Iterable[Any]:
            return iterate_photos(self.data, options.data, **part, limit=1 if folder is None else None)

        return DataSource(batches, validation, self._describe(state))

    def _describe(self, state: "TrainState") -> list[str]:
        """Describe the data, networks, losses and device, a line each."""
        options, data = self.options, self.data
        norm = options.network.norm if isinstance(options, JohnsonOptions) else "instance"
        sizes = [
            f"{name} {sum(w.numel() for w in network.parameters()) / 1e6:.3f} M parameters"
            for name, network in self.method.networks.items()
        ]
        return [
            *(f"skipped: {fault}" for fault in data.faults),
            f"train: {data.train.layout}: {len(data.train)} photos",
            f"val: {data.val.layout}: {len(data.val)} photos" if len(data.val) else "val: none, so no best checkpoint",
            *self._describe_styles(),
            f"networks: {', '.join(sizes)}",
            *([] if isinstance(options, AdainOptions) else [f"norm: {norm}"]),
            self._describe_losses(),
            *describe_machine(options, self.runtime),
            *describe_processes(options, "photos", norm, self.runtime),
            describe_steps(options, state, len(data.train)),
        ]

    def _describe_styles(self) -> list[str]:
        from pix2pix.errors import format_path

        if self.data.styles is not None:
            return [f"styles: {len(self.data.styles)} images in {format_path(self.data.styles.root)}"]
        names = self.method.description["styles"]
        return [f"style{'s' * (len(names) > 1)}: {', '.join(map(format_path, names))}"]

    def _describe_losses(self) -> str:
        """Describe the weighted losses and their features."""
        described, features, loss = self.method.description["features"], self.options.features, self.options.loss
        parts = [
            f"{loss.content_weight:g} content of {described['content_layers'].replace(',', ', ')}",
            f"{self.options.beta:g} style ({features.style_loss}) of {described['style_layers'].replace(',', ', ')}",
            *([f"{loss.lambda_tv:g} total variation"] if loss.lambda_tv else []),
        ]
        smoothed = ", smoothed" if features.smoothing else ""
        return f"loss: {' + '.join(parts)}; features: {features.backbone}{smoothed}, weights {described['weights']}"


def _open_photos(options: PhotoTrainingOptions, description: Mapping[str, Any] | None, read_again: bool) -> "PhotoData":
    """Open the photos: validate all for a new run, or use the results that a checkpoint has."""
    from tqdm import tqdm

    from pix2pix.data.photos import open_photo_data, reopen_photo_data

    def progress(results: Iterable[str | None], count: int, phase: str) -> Iterable[str | None]:
        return tqdm(results, desc=f"reading every image of {phase}", total=count, unit="image", disable=None)

    if description is None or read_again:
        return open_photo_data(options.data, progress)
    return reopen_photo_data(options.data, description["skipped"])


AnyPairs = TypeVar("AnyPairs", Pix2PixOptions, SegmenterOptions)


@dataclass(frozen=True)
class PairTraining:
    """Pix2pix or a segmenter with its pairs."""

    options: PairTrainingOptions
    method: "Pix2Pix | Segmenter"
    data: "TrainingSet"

    @classmethod
    def open(
        cls,
        options: PairTrainingOptions,
        runtime: "Runtime",
        content: dict[str, Any] | None,
        *,
        read_again: bool,
        dry_run: bool,
    ) -> Self:
        """Open the pairs and build the method, as `open_training_setup`."""
        from pix2pix import distributed
        from pix2pix.methods.base import describe_codec
        from pix2pix.methods.perceptual_loss import build_perceptual_loss
        from pix2pix.methods.pix2pix import Pix2Pix
        from pix2pix.methods.segmenter import Segmenter

        if isinstance(options, SegmenterOptions):
            data = distributed.run_on_main(lambda: _use_classes(_open_pairs(options, content, read_again)))
            description = describe_codec(data.codec)
            if content is not None:
                description["palette"] = content["description"]["palette"]
            options = _with_steps(options, len(data.train), dry_run=dry_run)
            return cls(options, Segmenter(options, runtime, description), data)
        perceptual = build_perceptual_loss(options, runtime)  # first, so that its errors come early
        data = distributed.run_on_main(lambda: _open_pairs(options, content, read_again))
        options = _with_steps(options, len(data.train), dry_run=dry_run)
        return cls(options, Pix2Pix(options, runtime, describe_codec(data.codec), perceptual=perceptual), data)

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of training pairs."""
        return {"pairs": len(self.data.train)}

    @property
    def skipped(self) -> Mapping[str, Sequence[str]]:
        """The names of skipped pairs."""
        return self.data.skipped

    def load(self, state: "TrainState", folder: Path | None, say: Callable[[str], None]) -> DataSource:
        """Start loading pairs, with the cache that the options choose."""
        from pix2pix import distributed
        from pix2pix.data.cache import open_cache
        from pix2pix.data.loader import iterate_pairs, training_batches
        from pix2pix.data.transforms import Augment, resize_pair

        options, data, given = self.options, self.data, self.options.data
        device = self.method.runtime.device
        augment = Augment(given.preprocess, given.crop_size, given.flip, options.run.seed, data.codec, given.augment)
        sizes: dict[str, Any] = dict(preprocess=given.preprocess, load_size=given.load_size, crop_size=given.crop_size)
        first = resize_pair(data.train.read(0), **sizes, training=True, codec=data.codec)
        augment.try_on(first)
        part: dict[str, Any] = {"rank": distributed.rank(), "ranks": distributed.world_size()}
        cache, cached = open_cache(given, len(data.train), first, data.codec, device, folder)
        batches = training_batches(
            data.train,
            data.codec,
            augment,
            **sizes,
            multiple=self.method.multiple,
            batch_size=options.train.batch_size,
            seed=options.run.seed,
            start_step=state.step,
            shown=state.shown,
            **part,
            num_workers=given.num_workers,
            loader_timeout=given.loader_timeout,
            cache=cache,
            pinned=device.type == "cuda",
            say=say,
        )
        limit = 1 if folder is None else None

        def validation() -> Iterable[Any]:
            return iterate_pairs(data.val, data.codec, **sizes, **part, limit=limit)

        return DataSource(batches, validation, self._describe(state, cached))

    def _describe(self, state: "TrainState", cached: str) -> list[str]:
        """Describe the data, cache, networks, norm, losses and device, a line each."""
        options, data, method = self.options, self.data, self.method
        train, network = options.train, options.network
        sizes = {name: sum(w.numel() for w in module.parameters()) / 1e6 for name, module in method.networks.items()}
        discriminator = _describe_discriminator(options, sizes)
        batch = f"the batch size is {train.batch_size}"
        reason = f"{batch} (--norm auto, the paper's rule)" if network.norm == "auto" else "of --norm"
        return [
            *(f"skipped: {fault}" for fault in data.faults),
            *data.remarks,
            f"train: {data.train.layout}: {len(data.train)} pairs",
            f"val: {data.val.layout}: {len(data.val)} pairs" if len(data.val) else "val: none, so no best checkpoint",
            f"cache: {cached}",
            f"direction {options.data.direction}: {' to '.join(map(_describe_codec, data.codec))}",
            f"networks: G {network.generator} {sizes['G']:.3f} M parameters{discriminator}",
            f"norm: {method.norm}, because {reason}",
            *_describe_features(options, method.description.get("features")),
            *describe_machine(options, method.runtime),
            *describe_processes(options, "pairs", method.norm, method.runtime),
            describe_steps(options, state, len(data.train)),
        ]


def _describe_discriminator(options: PairTrainingOptions, sizes: Mapping[str, float]) -> str:
    """Describe D; `sizes` are millions of weights."""
    if isinstance(options, SegmenterOptions):
        return ""
    side = options.network.patch
    return f", D {side}x{side} PatchGAN {sizes['D']:.3f} M" if "D" in sizes else ", no D"


def _use_classes(data: "TrainingSet") -> "TrainingSet":
    """Encode targets as classes instead of colors."""
    codec = data.codec._replace(target=replace(data.codec.target, kind="classes"))
    return data._replace(train=data.train.of(codec), val=data.val.of(codec), codec=codec)


def _open_pairs(options: PairTrainingOptions, content: dict[str, Any] | None, read_again: bool) -> "TrainingSet":
    """Open the pairs: validate all for a new run, or use the results that a checkpoint has."""
    from tqdm import tqdm

    from pix2pix.data.validate import open_training_set, reopen_training_set
    from pix2pix.methods.base import load_codec

    def progress(checks: "Iterable[PairCheck]", count: int, phase: str) -> "Iterable[PairCheck]":
        return tqdm(checks, desc=f"reading every pair of {phase}", total=count, unit="pair", disable=None)

    if content is not None:
        description = content["description"]
        found = open_training_set(options.data, progress) if read_again else None
        skipped = found.skipped if found else description.get("skipped", {})
        reopened = reopen_training_set(options.data, load_codec(description), skipped)
        return reopened._replace(faults=found.faults) if found else reopened
    return open_training_set(options.data, progress)


def _with_steps(options: AnyPairs, images: int, *, dry_run: bool) -> AnyPairs:
    """Convert the length of the run from epochs to steps, for the checkpoint."""
    from pix2pix import distributed

    epochs = options.train.n_epochs + options.train.n_epochs_decay
    steps = (
        1
        if dry_run
        else options.train.steps or math.ceil(epochs * images / (options.train.batch_size * distributed.world_size()))
    )
    return options.model_copy(update={"train": options.train.model_copy(update={"steps": steps})})


def _describe_features(options: PairTrainingOptions, described: Mapping[str, str] | None) -> list[str]:
    """Describe the perceptual and style losses."""
    if described is None or not isinstance(options, Pix2PixOptions):
        return []
    features, loss = options.features, options.loss
    parts = []
    if loss.lambda_perceptual > 0:
        parts += [f"perceptual of {described['content_layers'].replace(',', ', ')}"]
    if loss.lambda_style > 0:
        target = f"that of {loss.style_image}" if loss.style_image else "each target's"
        parts += [f"style ({features.style_loss}, {target}) of {described['style_layers'].replace(',', ', ')}"]
    smoothed = ", smoothed" if features.smoothing else ""
    return [f"features: {features.backbone}{smoothed}, weights {described['weights']}: {'; '.join(parts)}"]


def _describe_codec(encoding: "ImageCodec") -> str:
    values = f"{encoding.channels} channel{'s' * (encoding.channels != 1)} of {encoding.dtype}"
    match encoding.kind:
        case "lightness":
            return f"L of {values}"
        case "chroma":
            return "a and b"
        case "onehot" | "classes":
            return f"labels of {len(encoding.palette)} classes, a channel each"
        case "labels":
            return f"labels of {values}" + (f", {len(encoding.palette)} colors" if encoding.palette else "")
    low, high = min(encoding.low), max(encoding.high)
    return values + ("" if (encoding.dtype, low, high) == ("uint8", 0, 255) else f" from {low:g} to {high:g}")
