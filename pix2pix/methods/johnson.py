"""Johnson, Alahi, Fei-Fei: Perceptual losses for real-time style transfer and super-resolution, 2016.

W* = arg min_W E_x[ lambda_c L_content(f_W(x), x) + lambda_s L_style(f_W(x), s) + lambda_tv L_TV(f_W(x)) ]
for one style s (equation 1). The default is instance norm, which Ulyanov, Vedaldi, Lempitsky (Instance normalization:
the missing ingredient for fast stylization, 2016) found better than the paper's batch norm.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from pix2pix.config.style import JohnsonOptions
from pix2pix.data.batch import PhotoBatch
from pix2pix.methods.base import (
    Scalars,
    Styles,
    Translation,
    ValidationReport,
    add_prefix,
    check_no_styles,
    translate,
)
from pix2pix.methods.style_network_loss import INIT_STD, StyleNetworkLoss, load_style_images
from pix2pix.networks.init import initialize_weights
from pix2pix.networks.transformer_net import TransformerNet
from pix2pix.runtime.cuda_graph import recordable
from pix2pix.runtime.device import Runtime


class Johnson:
    """The network f_W, its loss, its optimizer and its update; without `training` the network alone.

    `description` is that of a checkpoint whose weights are about to be loaded.

    Raises:
        UserError: the style image or the backbone's weights cannot be used, or crops are too small for the layers.
    """

    output_nc = 3

    def __init__(
        self,
        options: JohnsonOptions,
        runtime: Runtime,
        description: Mapping[str, Any] | None = None,
        *,
        training: bool = True,
    ):
        self.options, self.runtime = options, runtime
        network, train, loss = options.network, options.train, options.loss
        self.statistics, self.dropout = options.test.resolve_norm_stats(network.norm), False
        generator = TransformerNet(ngf=network.ngf, blocks=network.blocks, norm=network.norm, output=network.output)
        self.multiple: int = generator.multiple
        if training:
            initialize_weights(generator, "normal", INIT_STD, torch.Generator().manual_seed(options.run.seed))
        self.generator = runtime.prepare(generator, trained=not training)
        self.networks: dict[str, nn.Module] = {"G": self.generator}
        self.optimizers: dict[str, Optimizer] = {}
        self.description: dict[str, Any] = dict(description or {})
        if training:
            longest = loss.style_size or max(options.data.crop_size)
            (style,) = load_style_images([Path(loss.style_image)], longest, options.data.max_pixels, "style_image")
            self.loss = StyleNetworkLoss(options, runtime, [style])
            self.optimizers["G"] = runtime.adam(self.generator, train.lr, (train.beta1, train.beta2))
            self.description |= {
                "method": "johnson",
                "styles": [style.name],
                "style_pictures": [style.thumbnail()],
                "features": self.loss.description | {"style_image_sha256": style.sha256},
            }

    @recordable
    def training_step(self, batch: PhotoBatch) -> Scalars:
        """Update f_W on one batch of photos."""
        x = self.runtime.to_device(batch.content)
        with self.runtime.autocast():
            y = self.generator(x)
        loss, values = self.loss(y, x, [0] * len(x))
        norm = self.runtime.update(self.optimizers["G"], loss, "loss/G")
        return add_prefix("loss", values | {"G": loss}) | {"grad_norm/G": norm}

    @torch.no_grad()
    def validation_step(self, batch: PhotoBatch) -> ValidationReport:
        """Stylize a photo as at test time, and compute its losses."""
        x = self.runtime.to_device(batch.content)
        y = translate(self, x, name=batch.name[0])
        loss, values = self.loss(y, x, [0] * len(x))
        return ValidationReport(add_prefix("val", values | {"loss": loss}), {"val/content | output": [x, y]})

    def translation(self, styles: Styles | None) -> Translation:
        """Return the transformation network, the paper's f_W.

        Raises:
            UserError: styles are given.
        """
        check_no_styles("johnson", styles)
        return Translation(self.generator, self.generator.stages())

    def learning_rate(self, step: int, total_steps: int) -> float:
        """Keep the rate constant, as the paper does."""
        return self.options.train.lr
