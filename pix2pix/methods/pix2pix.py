"""Isola, Zhu, Zhou, Efros: Image-to-image translation with conditional adversarial networks, 2017.

G* = arg min_G max_D  L_cGAN(G, D) + lambda L_L1(G)   (equation 4)
L_cGAN(G, D) = E[log D(x, y)] + E[log(1 - D(x, G(x, z)))]   (equation 1), where z is dropout
L_L2, a perceptual and a style loss can be added to L_L1: see perceptual_loss.py.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from pix2pix import metrics
from pix2pix.config.pix2pix import NetworkOptions, Pix2PixOptions
from pix2pix.data.batch import PairBatch
from pix2pix.errors import UserError
from pix2pix.losses import adversarial, pixel
from pix2pix.methods.base import (
    Scalars,
    Styles,
    Translation,
    ValidationReport,
    WeightedLoss,
    add_prefix,
    check_no_styles,
    load_codec,
    sum_losses,
    translate,
)
from pix2pix.methods.perceptual_loss import (
    PerceptualLoss,
    build_perceptual_loss,
    check_backbone_input,
    to_backbone_input,
)
from pix2pix.networks.init import build_generator, initialize_weights
from pix2pix.networks.norm import NormKind
from pix2pix.networks.patchgan import PatchGAN
from pix2pix.runtime.cuda_graph import recordable
from pix2pix.runtime.device import Runtime
from pix2pix.runtime.optim import linear_decay


def choose_norm(network: NetworkOptions, batch_size: int) -> NormKind:
    """Return the norm of --norm; "auto" is the paper's rule: BatchNorm for batches, InstanceNorm for single pairs."""
    if network.norm == "auto":
        return "batch" if batch_size > 1 else "instance"
    return network.norm


class Pix2Pix:
    """A generator G, a discriminator D (none with --gan_mode none), their optimizers and their update.

    `description` holds the codec of the pairs: see `describe_codec`. With `training` false there is G alone, for
    weights that are about to be loaded. `perceptual` is the loss of the backbone's features, if it was built before.

    Raises:
        UserError: the networks cannot take the crop, or the backbone's weights or layers cannot be used.
    """

    def __init__(
        self,
        options: Pix2PixOptions,
        runtime: Runtime,
        description: Mapping[str, Any],
        *,
        training: bool = True,
        perceptual: PerceptualLoss | None = None,
    ):
        self.options, self.runtime, self.codec = options, runtime, load_codec(description)
        input_nc, self.output_nc = self.codec.source.nc, self.codec.target.nc
        network, train, loss = options.network, options.train, options.loss
        self.norm = choose_norm(network, train.batch_size)
        self.statistics, self.dropout = options.test.norm_stats, options.test.dropout == "on"

        self.generator = build_generator(
            network.generator,
            input_nc,
            self.output_nc,
            ngf=network.ngf,
            norm=self.norm,
            upsample=network.upsample,
            dropout=network.use_dropout,
        )
        self.multiple: int = self.generator.multiple
        self._check_crop(self.multiple, "--generator " + network.generator)
        self.networks: dict[str, nn.Module] = {"G": self.generator}
        self.discriminator: PatchGAN | None = None
        if training and loss.gan_mode != "none":
            nc = input_nc + self.output_nc if loss.conditional else self.output_nc
            self.discriminator = PatchGAN(nc, patch=network.patch, ndf=network.ndf, norm=self.norm)
            self._check_crop(1, f"--patch {network.patch}", self.discriminator.smallest)
            self.networks["D"] = self.discriminator

        self.optimizers: dict[str, Optimizer] = {}
        random = torch.Generator().manual_seed(options.run.seed)
        for name, module in self.networks.items():
            if training:
                initialize_weights(module, network.init_type, network.init_gain, random)
            runtime.prepare(module, trained=not training)  # in place
            if training:
                self.optimizers[name] = runtime.adam(module, train.lr, (train.beta1, train.beta2))
        self.perceptual = perceptual or (build_perceptual_loss(options, runtime) if training else None)

        self.description = dict(description) | {
            "method": "pix2pix",
            "norm": self.norm,
            "multiple": self.multiple,
            "direction": options.data.direction,
        }
        if self.perceptual is not None:
            check_backbone_input(self.codec.target)
            self.description["features"] = self.perceptual.description

    @recordable
    def training_step(self, batch: PairBatch) -> Scalars:
        """Update D, then G, on one batch: the two steps of section 3.3."""
        self._check_size(batch)
        x, y = self.runtime.to_device(batch.source), self.runtime.to_device(batch.target)
        loss, terms, scalars = self.options.loss, list[WeightedLoss](), Scalars()
        with self.runtime.autocast():
            output = self.generator(x)

        if self.discriminator is not None and loss.gan_mode != "none":
            # D: max_D  log D(x, y) + log(1 - D(x, G(x, z)))
            real = torch.cat([x, y], dim=1) if loss.conditional else y
            fake = torch.cat([x, output], dim=1) if loss.conditional else output
            with self.runtime.autocast():
                if "one_pass" in self.runtime.fast and self.norm != "batch":  # this norm keeps images independent
                    real_logits, fake_logits = self.discriminator(torch.cat([real, fake.detach()])).chunk(2)
                else:
                    real_logits, fake_logits = self.discriminator(real), self.discriminator(fake.detach())
            loss_d = adversarial.discriminator_loss(real_logits, fake_logits, loss.gan_mode)
            scalars["grad_norm/D"] = self.runtime.update(self.optimizers["D"], loss_d, "loss/D")
            scalars["loss/D"] = loss_d.detach()
            scalars["D/real"] = real_logits.detach().float().sigmoid().mean()
            scalars["D/fake"] = fake_logits.detach().float().sigmoid().mean()

            # G: min_G  -log D(x, G(x, z)), with the updated D
            with self.runtime.autocast():
                logits = self.discriminator(fake)
            g_gan = adversarial.generator_loss(logits, loss.gan_mode)
            terms.append(WeightedLoss("G_gan", loss.lambda_gan, g_gan))

        # + lambda L_L1(G), and what else is switched on
        if loss.lambda_l1 > 0:
            terms.append(WeightedLoss("G_l1", loss.lambda_l1, pixel.l1(output, y)))
        if loss.lambda_l2 > 0:
            terms.append(WeightedLoss("G_l2", loss.lambda_l2, pixel.l2(output, y)))
        if self.perceptual is not None:
            images = (to_backbone_input(self.codec.target, image, x) for image in (output, y))
            terms += self.perceptual.terms(*images)

        loss_g, values = sum_losses(terms)
        scalars["grad_norm/G"] = self.runtime.update(self.optimizers["G"], loss_g, "loss/G")
        return scalars | add_prefix("loss", values | {"G": loss_g})

    @torch.no_grad()
    def validation_step(self, batch: PairBatch) -> ValidationReport:
        """Translate a pair's source as at test time and compare it with the target."""
        x, y = batch.source, batch.target
        output = translate(self, x, name=batch.name[0]).cpu()
        scalars = {
            "val/l1": metrics.l1(output, y).mean(),
            "val/psnr": metrics.psnr(output, y).mean(),
            "val/ssim": metrics.ssim(output, y).mean(),
        }
        source, target = self.codec
        row = [source.picture(x, x), target.picture(output, x), target.picture(y, x)]
        return ValidationReport(scalars, {"val/source | output | target": row})

    def translation(self, styles: Styles | None) -> Translation:
        """Return G: x to G(x, z).

        Raises:
            UserError: styles are given.
        """
        check_no_styles("pix2pix", styles)
        return Translation(self.generator, self.generator.stages())

    def learning_rate(self, step: int, total_steps: int) -> float:
        """Keep the rate constant, then decay it linearly; the rate of the last step is above 0."""
        train = self.options.train
        if train.lr_policy == "constant":
            return train.lr
        return train.lr * linear_decay(step, total_steps, train.n_epochs / (train.n_epochs + train.n_epochs_decay))

    def _check_crop(self, multiple: int, option: str, smallest: int = 1) -> None:
        """Refuse a crop that a network cannot take, before any training."""
        data = self.options.data
        if data.preprocess not in ("resize_and_crop", "crop", "scale_width_and_crop"):
            return
        height, width = data.crop_size
        if height % multiple or width % multiple or min(height, width) < smallest:
            needed = f"multiples of {multiple}" if multiple > 1 else f"{smallest} at least"
            raise UserError(
                f"crop_size {height}x{width} does not fit {option}, which needs {needed}; "
                "choose another --crop_size, or a smaller network with --generator or --patch"
            )

    def _check_size(self, batch: PairBatch) -> None:
        """Refuse images too small for D: without a crop they have sizes of their own."""
        height, width = batch.source.shape[-2:]
        if self.discriminator is not None and min(height, width) < self.discriminator.smallest:
            raise UserError(
                f"{', '.join(batch.name)}: {height}x{width} is too small for --patch {self.options.network.patch}, "
                f"which needs {self.discriminator.smallest} at least; choose a smaller --patch or larger images"
            )
