"""Johnson, Alahi, Fei-Fei: Perceptual losses for real-time style transfer and super-resolution, 2016.

W* = arg min_W E_x[ lambda_c L_content(f_W(x), x) + lambda_s L_style(f_W(x), s) + lambda_tv L_TV(f_W(x)) ]
for one style s (equation 1). With instance norm, as Ulyanov, Vedaldi, Lempitsky (Instance normalization: the missing
ingredient for fast stylization, 2016) found better, or with the paper's batch norm.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pix2pix.config.style import JohnsonOptions
from pix2pix.data.batch import PhotoBatch
from pix2pix.methods.base import Scalars, Styles, ValidationReport, check_no_styles
from pix2pix.methods.perceptual_loss import DEVIATION, StyleNetworkLoss, load_style_images
from pix2pix.networks.canvas import Canvas, TensorCanvas
from pix2pix.networks.init import initialize_weights
from pix2pix.networks.norm import eval_mode
from pix2pix.networks.tiled import translate_tiled as translate_canvas
from pix2pix.networks.transformer_net import TransformerNet
from pix2pix.runtime.device import Runtime


class Johnson:
    """The network f_W, its loss, its optimiser and its update; without `training` the network alone.

    `description` is that of a checkpoint that is about to be loaded.

    Raises:
        UserError: the style picture or the weights of the backbone cannot be used, or crops are too small for it.
    """

    def __init__(
        self,
        options: JohnsonOptions,
        runtime: Runtime,
        description: Mapping[str, Any] | None = None,
        *,
        training: bool = True,
    ):
        network = options.network
        generator = TransformerNet(ngf=network.ngf, blocks=network.blocks, norm=network.norm, output=network.output)
        self.options, self.runtime = options, runtime
        self.multiple: int = generator.multiple
        self._stages = generator.stages  # called when translating: norms may have been folded since
        if training:
            initialize_weights(generator, "normal", DEVIATION, torch.Generator().manual_seed(options.run.seed))
        self.generator: nn.Module = runtime.prepare(generator, trained=not training)
        self.networks: dict[str, nn.Module] = {"G": self.generator}
        self.optimizers: dict[str, Optimizer] = {}
        self.description: dict[str, Any] = dict(description or {})
        if training:
            self._begin()

    @classmethod
    def restore(cls, options: JohnsonOptions, description: Mapping[str, Any], runtime: Runtime) -> Self:
        """Build it for weights that are about to be loaded, to translate."""
        return cls(options, runtime, description, training=False)

    def _begin(self) -> None:
        """Make what training needs."""
        options, runtime, given, train = self.options, self.runtime, self.options.loss, self.options.train
        longest = given.style_size or max(options.data.crop_size)
        (painting,) = load_style_images([Path(given.style_image)], longest, options.data.max_pixels, "style_image")
        self.loss = StyleNetworkLoss(options, runtime, [painting])
        self.optimizers["G"] = runtime.adam(self.generator, train.lr, (train.beta1, train.beta2))
        self._step = runtime.record(self._update)
        self.description |= {
            "method": "johnson",
            "styles": [painting.name],
            "style_pictures": [painting.preview()],
            "features": self.loss.description | {"style_image_sha256": painting.sha256},
        }

    def training_step(self, batch: PhotoBatch) -> Scalars:
        """Update f_W on one batch."""
        return self._step(self.runtime.to_device(batch.content))

    def _update(self, x: Tensor) -> Scalars:
        """Update f_W; it never waits for the device, so that it can be recorded."""
        with self.runtime.autocast():
            y = self.generator(x)
        loss, parts = self.loss(y, x, [0] * len(x))
        scalars = {f"loss/{name}": part for name, part in parts.items()} | {"loss/G": loss.detach()}
        scalars["grad_norm/G"] = self.runtime.update(self.optimizers["G"], loss, "loss/G")
        return scalars

    @torch.no_grad()
    def validation_step(self, batch: PhotoBatch) -> ValidationReport:
        """Paint a photograph as test time does, and tell its losses."""
        x = self.runtime.to_device(batch.content)
        y = self.translate(x, name=batch.name[0])
        loss, parts = self.loss(y, x, [0] * len(x))
        scalars = {f"val/{name}": part for name, part in parts.items()} | {"val/loss": loss}
        return ValidationReport(scalars, {"val/content | output": [x, y]})

    @torch.inference_mode()
    def translate(self, image: Tensor, *, styles: Styles | None = None, name: str = "", sample: int = 0) -> Tensor:
        """Paint (N, 3, H, W) in [-1, 1] of any size."""
        canvas = TensorCanvas(image.to(self.runtime.device), 3)
        self.translate_canvas(canvas, styles=styles, name=name, sample=sample)
        return canvas.output

    @torch.inference_mode()
    def translate_canvas(
        self, canvas: Canvas, *, styles: Styles | None = None, name: str = "", sample: int = 0
    ) -> None:
        """Do the same with an image that is read, and its painting that is written, by windows."""
        check_no_styles("johnson", styles)
        test, device, layout = self.options.test, self.runtime.device, self.runtime.layout
        statistics = test.statistics_of(self.options.network.norm)
        with eval_mode(self.generator, statistics=statistics, dropout=False), self.runtime.autocast():
            translate_canvas(self.generator, self._stages(), self.multiple, canvas, test.tile, device, layout)

    def learning_rate(self, step: int, total_steps: int) -> float:
        """Keep the rate constant, as the paper does."""
        return self.options.train.lr
