"""Training from photographs: what the style methods need."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pix2pix.cli.sentences import of_machine, of_processes, of_steps
from pix2pix.cli.training_kinds import Supply
from pix2pix.options import AdainOptions, JohnsonOptions, TrainedOnPhotos

if TYPE_CHECKING:
    from pix2pix.data.photos import PhotoData
    from pix2pix.methods.base import Method
    from pix2pix.runtime import Runtime
    from pix2pix.training import Progress


@dataclass(frozen=True)
class TrainingOnPhotos:
    """A style method and its photographs, with style pictures if it learns from many."""

    options: TrainedOnPhotos
    method: "Method[Any]"
    data: "PhotoData"
    runtime: "Runtime"

    @classmethod
    def opened(
        cls,
        options: TrainedOnPhotos,
        runtime: "Runtime",
        content: dict[str, Any] | None,
        *,
        read_again: bool,
        dry: bool,
    ) -> Self:
        """Build the method and open the photographs, as `open_training`."""
        from pix2pix import ranks
        from pix2pix.methods import METHODS

        description = None if content is None else content["description"]
        # First: what it lacks is told before every photo is read.
        method: Method[Any] = METHODS[options.model](options, runtime, description)
        data = ranks.by_first(lambda: _data(options, description, read_again))
        if dry:
            options = options.model_copy(update={"train": options.train.model_copy(update={"steps": 1})})
        return cls(options, method, data, runtime)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many photographs there are to learn from, and style pictures."""
        styles = self.data.styles
        return {"photos": len(self.data.train)} | ({} if styles is None else {"paintings": len(styles)})

    @property
    def skipped(self) -> Mapping[str, Sequence[str]]:
        """The names of the pictures that are left out."""
        return self.data.skipped

    def supply(self, progress: "Progress", folder: Path | None, say: Callable[[str], None]) -> Supply:
        """Begin to load photographs."""
        from pix2pix import ranks
        from pix2pix.data.photo_batches import evaluation_photos, photo_batches

        options, part = self.options, {"rank": ranks.rank(), "ranks": ranks.count()}
        batches = photo_batches(
            self.data,
            options.data,
            batch_size=options.train.batch_size,
            seed=options.run.seed,
            start_step=progress.step,
            shown=progress.shown,
            **part,
            pinned=self.runtime.device.type == "cuda",
        )

        def validation() -> Iterable[Any]:
            return evaluation_photos(self.data, options.data, **part, limit=1 if folder is None else None)

        return Supply(batches, validation, self._introduction(progress))

    def _introduction(self, progress: "Progress") -> list[str]:
        """Say what is trained on what; `progress` is what was made before."""
        options, data = self.options, self.data
        norm = options.network.norm if isinstance(options, JohnsonOptions) else "instance"
        sizes = [
            f"{name} {sum(w.numel() for w in network.parameters()) / 1e6:.3f} M parameters"
            for name, network in self.method.networks.items()
        ]
        return [
            *(f"left out: {fault}" for fault in data.faults),
            f"train: {data.train.layout}: {len(data.train)} photos",
            f"val: {data.val.layout}: {len(data.val)} photos" if len(data.val) else "val: none, so no best checkpoint",
            *self._of_styles(),
            f"networks: {', '.join(sizes)}",
            *([] if isinstance(options, AdainOptions) else [f"norm: {norm}"]),
            self._of_losses(),
            *of_machine(options, self.runtime),
            *of_processes(options, "photos", norm, self.runtime),
            of_steps(options, progress, len(data.train)),
        ]

    def _of_styles(self) -> list[str]:
        from pix2pix.images import shown

        if self.data.styles is not None:
            return [f"styles: {len(self.data.styles)} pictures in {shown(self.data.styles.root)}"]
        names = self.method.description["styles"]
        return [f"style{'s' * (len(names) > 1)}: {', '.join(map(shown, names))}"]

    def _of_losses(self) -> str:
        """Say what is minimised, and what it looks at."""
        told, features, loss = self.method.description["features"], self.options.features, self.options.loss
        parts = [
            f"{loss.content_weight:g} content of {told['content_layers'].replace(',', ', ')}",
            f"{self.options.beta:g} style ({features.style_loss}) of {told['style_layers'].replace(',', ', ')}",
            *([f"{loss.lambda_tv:g} total variation"] if loss.lambda_tv else []),
        ]
        smoothed = ", smoothed" if features.smoothing else ""
        return f"loss: {' + '.join(parts)}; features: {features.backbone}{smoothed}, weights {told['weights']}"


def _data(options: TrainedOnPhotos, description: Mapping[str, Any] | None, read_again: bool) -> "PhotoData":
    """Open the photographs: all are read once before a run begins; one that is resumed keeps what was found then."""
    from tqdm import tqdm

    from pix2pix.data.photos import open_photo_data, reopen_photo_data

    def progress(told: Iterable[str | None], count: int, phase: str) -> Iterable[str | None]:
        return tqdm(told, desc=f"reading every picture of {phase}", total=count, unit="picture", disable=None)

    if description is None or read_again:
        return open_photo_data(options.data, progress)
    return reopen_photo_data(options.data, description["skipped"])
