"""Isola, Zhu, Zhou, Efros: Image-to-image translation with conditional adversarial networks, 2017.

G* = arg min_G max_D  L_cGAN(G, D) + lambda L_L1(G)   (equation 4)
L_cGAN(G, D) = E[log D(x, y)] + E[log(1 - D(x, G(x, z)))]   (equation 1), where z is dropout
Beside L_L1 there may be L_L2, and a perceptual and a style loss: see feature_losses.py.
"""

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pix2pix import metrics
from pix2pix.config.pix2pix import NetworkOptions, Pix2PixOptions
from pix2pix.data.batch import PairBatch
from pix2pix.data.codec import PairCodec
from pix2pix.errors import UserError
from pix2pix.losses import adversarial, pixel
from pix2pix.methods.base import Scalars, Styles, ValidationReport, check_no_styles, load_codec
from pix2pix.methods.perceptual_loss import (
    PerceptualLoss,
    build_perceptual_loss,
    check_backbone_input,
    to_backbone_input,
)
from pix2pix.networks.canvas import Canvas, TensorCanvas
from pix2pix.networks.init import build_generator, initialize_weights
from pix2pix.networks.norm import NormKind, eval_mode
from pix2pix.networks.patchgan import PatchGAN
from pix2pix.networks.resnet import ResnetGenerator
from pix2pix.networks.tiled import translate_tiled as translate_canvas
from pix2pix.networks.unet import UNet
from pix2pix.runtime.device import Runtime
from pix2pix.runtime.optim import linear_decay
from pix2pix.seeds import image_seed, temporary_seed


def choose_norm(network: NetworkOptions, batch_size: int) -> NormKind:
    """Choose the norm: the one named, or by the paper's rule: BatchNorm for batches, InstanceNorm for single pairs."""
    if network.norm == "auto":
        return "batch" if batch_size > 1 else "instance"
    return network.norm


class Pix2Pix:
    """A generator G, a discriminator D (unless the objective has none), their optimisers and their update.

    With `training` false there is G alone, for weights that are about to be loaded. `features` are the losses on
    features, where they were built before.
    """

    def __init__(
        self,
        options: Pix2PixOptions,
        codec: PairCodec,
        runtime: Runtime,
        *,
        training: bool = True,
        features: PerceptualLoss | None = None,
    ):
        input_nc, output_nc = codec.source.nc, codec.target.nc
        self.options, self.codec, self.runtime = options, codec, runtime
        self.norm = choose_norm(options.network, options.train.batch_size)
        self.optimizers: dict[str, Optimizer] = {}
        self.discriminator: PatchGAN | None = None
        weights = torch.Generator().manual_seed(options.run.seed)

        generator = self._generator(input_nc, output_nc)
        self.multiple: int = generator.multiple
        self._stages = generator.stages  # called when translating: norms may have been folded since
        self.generator: nn.Module = generator
        self.networks: dict[str, nn.Module] = {"G": generator}
        if training and options.loss.gan_mode != "none":
            self.discriminator = self._discriminator(input_nc + output_nc if options.loss.conditional else output_nc)
            self.networks["D"] = self.discriminator
        train, network = options.train, options.network
        for name, built in self.networks.items():
            if training:
                initialize_weights(built, network.init_type, network.init_gain, weights)
            runtime.prepare(built, trained=not training)  # in place
            if training:
                self.optimizers[name] = runtime.adam(built, train.lr, (train.beta1, train.beta2))
        self.features = features or (build_perceptual_loss(options, runtime) if training else None)
        self._step = runtime.record(self._update)

        self.description: dict[str, Any] = {
            "method": "pix2pix",
            "input_nc": input_nc,
            "output_nc": output_nc,
            "norm": self.norm,
            "multiple": self.multiple,
            "source": codec.source.to_dict(),
            "target": codec.target.to_dict(),
            "direction": options.data.direction,
        }
        if self.features is not None:
            check_backbone_input(codec.target)
            self.description["features"] = self.features.description

    @classmethod
    def restore(cls, options: Pix2PixOptions, description: Mapping[str, Any], runtime: Runtime) -> Self:
        """Build it for weights that are about to be loaded, to translate."""
        return cls(options, load_codec(description), runtime, training=False)

    def training_step(self, batch: PairBatch) -> Scalars:
        """Update D, then G, on one batch."""
        self._check_size(batch)
        return self._step(self.runtime.to_device(batch.source), self.runtime.to_device(batch.target))

    def _update(self, x: Tensor, y: Tensor) -> Scalars:
        """Update D, then G; it never waits for the device, so that it can be recorded."""
        loss = self.options.loss
        scalars: Scalars = {}
        with self.runtime.autocast():
            fake = self.generator(x)

        loss_g = torch.zeros((), device=x.device)
        if self.discriminator is not None and loss.gan_mode != "none":
            real_logits, fake_logits = self._judgements(self._judged(x, y), self._judged(x, fake.detach()))
            loss_d = adversarial.discriminator_loss(real_logits, fake_logits, loss.gan_mode)
            scalars["grad_norm/D"] = self.runtime.update(self.optimizers["D"], loss_d, "loss/D")
            with self.runtime.autocast():
                logits = self.discriminator(self._judged(x, fake))  # judged by the D just updated
            g_gan = adversarial.generator_loss(logits, loss.gan_mode)
            loss_g = loss_g + loss.lambda_gan * g_gan
            scalars |= {"loss/D": loss_d.detach(), "loss/G_gan": g_gan.detach()}
            scalars |= {"D/real": real_logits.detach().float().sigmoid().mean()}
            scalars |= {"D/fake": fake_logits.detach().float().sigmoid().mean()}
        if loss.lambda_l1 > 0:
            scalars["loss/G_l1"] = (g_l1 := pixel.l1(fake, y)).detach()
            loss_g = loss_g + loss.lambda_l1 * g_l1
        if loss.lambda_l2 > 0:
            scalars["loss/G_l2"] = (g_l2 := pixel.l2(fake, y)).detach()
            loss_g = loss_g + loss.lambda_l2 * g_l2
        if self.features is not None:
            target = self.codec.target
            for name, weight, term in self.features.terms(
                to_backbone_input(target, fake, x), to_backbone_input(target, y, x)
            ):
                scalars[f"loss/{name}"] = term.detach()
                loss_g = loss_g + weight * term

        scalars["loss/G"] = loss_g.detach()
        scalars["grad_norm/G"] = self.runtime.update(self.optimizers["G"], loss_g, "loss/G")
        return scalars

    @torch.no_grad()
    def validation_step(self, batch: PairBatch) -> ValidationReport:
        """Translate a pair's source as test time does and compare it with the target."""
        x, y = batch.source, batch.target
        output = self.translate(x, name=batch.name[0]).cpu()
        scalars = {
            "val/l1": metrics.l1(output, y).mean(),
            "val/psnr": metrics.psnr(output, y).mean(),
            "val/ssim": metrics.ssim(output, y).mean(),
        }
        source, target = self.codec
        row = [source.picture(x, x), target.picture(output, x), target.picture(y, x)]
        return ValidationReport(scalars, {"val/source | output | target": row})

    @torch.inference_mode()
    def translate(self, image: Tensor, *, styles: Styles | None = None, name: str = "", sample: int = 0) -> Tensor:
        """Translate (N, C, H, W) in [-1, 1] of any size, with the statistics and dropout of the test options.

        Dropout is drawn from the run's seed, `name` and `sample`.
        """
        canvas = TensorCanvas(image.to(self.runtime.device), self.codec.target.nc)
        self.translate_canvas(canvas, styles=styles, name=name, sample=sample)
        return canvas.output

    @torch.inference_mode()
    def translate_canvas(
        self, canvas: Canvas, *, styles: Styles | None = None, name: str = "", sample: int = 0
    ) -> None:
        """Do the same with an image that is read, and its translation that is written, by windows."""
        check_no_styles("pix2pix", styles)
        test, device, layout = self.options.test, self.runtime.device, self.runtime.layout
        with (
            temporary_seed(image_seed(self.options.run.seed, name, sample), device),
            eval_mode(self.generator, statistics=test.statistics, dropout=test.dropout == "on"),
            self.runtime.autocast(),
        ):
            translate_canvas(self.generator, self._stages(), self.multiple, canvas, test.tile, device, layout)

    def learning_rate(self, step: int, total_steps: int) -> float:
        """Keep the rate constant, then let it fall linearly; the last step still has a rate above 0."""
        train = self.options.train
        if train.lr_policy == "constant":
            return train.lr
        return train.lr * linear_decay(step, total_steps, train.n_epochs / (train.n_epochs + train.n_epochs_decay))

    def _generator(self, input_nc: int, output_nc: int) -> UNet | ResnetGenerator:
        network = self.options.network
        generator = build_generator(
            network.generator,
            input_nc,
            output_nc,
            ngf=network.ngf,
            norm=self.norm,
            upsample=network.upsample,
            dropout=network.use_dropout,
        )
        self._check_sizes(generator.multiple, "--generator " + network.generator)
        return generator

    def _discriminator(self, input_nc: int) -> PatchGAN:
        network = self.options.network
        discriminator = PatchGAN(input_nc, patch=network.patch, ndf=network.ndf, norm=self.norm)
        self._check_sizes(1, f"--patch {network.patch}", discriminator.smallest)
        return discriminator

    def _judged(self, x: Tensor, y: Tensor) -> Tensor:
        """Show D the output beside its source, or the output alone for the unconditional GAN."""
        return torch.cat([x, y], dim=1) if self.options.loss.conditional else y

    def _judgements(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Let D judge both: in one pass if that is wished and its norms don't let images see each other."""
        assert self.discriminator is not None
        with self.runtime.autocast():
            if "one_pass" in self.runtime.fast and self.norm != "batch":
                real_logits, fake_logits = self.discriminator(torch.cat([real, fake])).chunk(2)
                return real_logits, fake_logits
            return self.discriminator(real), self.discriminator(fake)

    def _check_sizes(self, multiple: int, who: str, smallest: int = 1) -> None:
        """Refuse a crop that the networks cannot take, before any training."""
        data = self.options.data
        if data.preprocess not in ("resize_and_crop", "crop", "scale_width_and_crop"):
            return
        height, width = data.crop_size
        if height % multiple or width % multiple or min(height, width) < smallest:
            needed = f"multiples of {multiple}" if multiple > 1 else f"{smallest} at least"
            raise UserError(
                f"crop_size {height}x{width} does not fit {who}, which needs {needed}; "
                "choose another --crop_size, or a smaller network with --generator or --patch"
            )

    def _check_size(self, batch: PairBatch) -> None:
        """Refuse images too small for D, which may come where no crop gives all of them one size."""
        height, width = batch.source.shape[-2:]
        if self.discriminator is not None and min(height, width) < self.discriminator.smallest:
            raise UserError(
                f"{', '.join(batch.name)}: {height}x{width} is too small for --patch {self.options.network.patch}, "
                f"which needs {self.discriminator.smallest} at least; choose a smaller --patch or larger images"
            )
