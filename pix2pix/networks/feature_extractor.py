"""Extract features of a frozen backbone."""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pix2pix.config.backbones import check_layers, get_layer_modules
from pix2pix.errors import UserError
from pix2pix.networks.backbone_architectures import Padding, Pooling, build_architecture, find_smallest_side
from pix2pix.networks.backbone_weights import (
    CAFFE_MEANS,
    IMAGENET_DEVIATIONS,
    IMAGENET_MEANS,
    find_weights,
    load_weights,
)

_PROBE = 64  # side of the image for estimating memory


class FeatureExtractor(nn.Module):
    """Extracts the features of some layers of a frozen backbone, always in evaluation mode.

    Its weights are non-persistent buffers: without gradients, unknown to optimizers, and not in checkpoints, which
    have `source` and `sha256` instead. BatchNorm is folded into the convolutions.

    `weights` is "imagenet", "random" (drawn from `seed`) or the path of a file, whose `weights_format` is
    "torchvision" or "caffe" (RGB from 0 to 255, means subtracted), if the file does not state it.

    Raises:
        UserError: there is no such backbone or layer, or the weights cannot be read or do not fit.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        backbone: str,
        layers: Sequence[str],
        weights: str = "imagenet",
        *,
        weights_format: str | None = None,
        pooling: Pooling = "max",
        padding: Padding = "zeros",
        seed: int = 0,
    ):
        super().__init__()
        check_layers(backbone, layers)
        found = find_weights(backbone, weights, weights_format)  # before importing torchvision, which is slow
        known = get_layer_modules(backbone)
        deepest = max((known[layer] for layer in layers), key=list(known.values()).index)
        network = build_architecture(backbone, deepest, pooling, padding)
        loaded = load_weights(backbone, found, seed, network, known)
        for name, convolution in network.convolutions().items():
            _freeze(convolution, *loaded.kernels[name])
        self.backbone, self.layers = backbone, tuple(layers)
        self.source, self.sha256 = loaded.source, loaded.sha256
        self._places = {layer: known[layer] for layer in layers}
        self._keys = tuple(network.steps)
        self._means = dict.fromkeys(layers, 1.0)  # divisors of the features
        self.steps = nn.ModuleList(network.steps.values())
        self._segments = _split_steps(set(self._places.values()), network.steps)
        self.checkpointed = False  # whether activations are recomputed in backward
        for name, values in zip(("scale", "shift"), _get_preprocessing(backbone, loaded.format), strict=True):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)
        self._smallest = partial(find_smallest_side, backbone, deepest, pooling, padding)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Map images in [-1, 1], (N, 3, H, W) or gray (N, 1, H, W), to the features by layer, (N, C, H', W').

        Raises:
            UserError: the images have other channels, or are too small for the deepest layer.
        """
        found = self._compute_outputs(self._preprocess(image))
        outputs = {layer: found[place] for layer, place in self._places.items()}
        return {layer: x if self._means[layer] == 1 else x / self._means[layer] for layer, x in outputs.items()}

    @torch.no_grad()
    def rescale(self, images: Tensor) -> None:
        """Scale the layers so that the mean activation of each over images (N, 3, H, W) in [-1, 1] is 1.

        In a VGG the weights are scaled: w_l by m_(l-1) / m_l and b_l by 1 / m_l, where m_l is the mean after the ReLU
        of layer l over images, channels and positions, so that its output is divided by m_l. In networks with
        additions or branches the returned features are divided instead, which gives the same losses.

        Source: Gatys et al. 2016, section 2, where the mean is per channel: channels that are hardly active on these
        images would be amplified.

        Raises:
            UserError: the mean activation of a layer is 0 or not finite, or the images are too small.
        """
        with torch.autocast(self.scale.device.type, enabled=False):
            x = self._preprocess(images.to(self.scale))
            self._check_size(x)
            if self.backbone.startswith("vgg"):
                self._rescale_weights(x)
            else:
                found = self._compute_outputs(x)
                self._means = {layer: self._mean(found[place], layer) for layer, place in self._places.items()}

    def _rescale_weights(self, x: Tensor) -> None:
        before = 1.0
        names = {place: layer for layer, place in get_layer_modules(self.backbone).items()}
        for key, step in zip(self._keys, self.steps, strict=True):
            if isinstance(step, nn.Conv2d):
                assert step.bias is not None
                step.weight *= before
                x = step(x)
                before = self._mean(x.relu(), names[key])
                step.weight /= before
                step.bias /= before
                x = x / before
            else:
                x = step(x)

    def _mean(self, activation: Tensor, name: str) -> float:
        mean = activation.mean().item()
        if not 0 < mean < float("inf"):
            raise UserError(
                f"the mean activation of {self.backbone}'s {name} on the images of --rescale_on is {mean:g} and must "
                "be above 0: give other images with --rescale_on, or --rescaled false"
            )
        return mean

    @torch.no_grad()
    def kept_bytes(self, height: int, width: int) -> int:
        """Estimate the bytes of activations of one image of this size that backward needs, without checkpointing."""
        side = max(_PROBE, self.smallest_side)
        kept = 0

        def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            nonlocal kept
            kept += output.numel() * output.element_size()

        hooks = [part.register_forward_hook(add) for part in self.steps.modules() if not list(part.children())]
        try:
            self._compute_outputs(self.scale.new_zeros(1, 3, side, side))
        finally:
            for hook in hooks:
                hook.remove()
        return kept * height * width // side**2

    def _preprocess(self, image: Tensor) -> Tensor:
        if image.ndim != 4 or image.shape[1] not in (1, 3):
            raise UserError(
                f"{self.backbone} takes images of 1 or 3 channels, (N, 1, H, W) or (N, 3, H, W), "
                f"and these are {tuple(image.shape)}: leave the feature losses out, or give such images"
            )
        # not folded into the first convolution, because zero padding applies to the preprocessed image
        return torch.addcmul(self.shift, image.expand(-1, 3, -1, -1), self.scale)

    def _compute_outputs(self, image: Tensor) -> dict[str, Tensor]:
        """Return the outputs of the requested modules, by torchvision's names."""
        found = {}
        x = image
        try:
            for key, steps in self._segments.items():
                run = partial(_run_steps, steps)
                again = self.checkpointed and x.requires_grad
                x = checkpoint(run, x, use_reentrant=False, preserve_rng_state=False) if again else run(x)
                found[key] = x
        except RuntimeError:
            self._check_size(image)
            raise
        return found

    @cached_property
    def smallest_side(self) -> int:
        """The smallest side of images that the deepest layer accepts."""
        return self._smallest()

    def _check_size(self, image: Tensor) -> None:
        height, width = image.shape[-2:]
        smallest = self.smallest_side
        if min(height, width) < smallest:
            raise UserError(
                f"{self.backbone} needs images of {smallest}x{smallest} at least for {', '.join(self.layers)}, "
                f"and one is {width}x{height}: use larger images or earlier layers"
            )


def _split_steps(read: set[str], steps: Mapping[str, nn.Module]) -> dict[str, list[nn.Module]]:
    """Split the steps after each one that is read; the parts are keyed by its name."""
    segments: dict[str, list[nn.Module]] = {}
    steps_since: list[nn.Module] = []
    for key, step in steps.items():
        steps_since.append(step)
        if key in read:
            segments[key], steps_since = steps_since, []
    return segments


def _run_steps(steps: Sequence[nn.Module], x: Tensor) -> Tensor:
    for step in steps:
        x = step(x)
    return x


def _freeze(convolution: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    """Set the weights of a convolution as non-persistent buffers."""
    del convolution.weight, convolution.bias
    convolution.register_buffer("weight", weight, persistent=False)
    convolution.register_buffer("bias", bias, persistent=False)


def _get_preprocessing(backbone: str, weights_format: str) -> tuple[list[float], list[float]]:
    """Return scale and shift of each channel from [-1, 1] to the input of the weights."""
    if weights_format == "caffe":
        return [127.5] * 3, [127.5 - mean for mean in CAFFE_MEANS]
    if backbone in ("googlenet", "inception_v3"):  # torchvision has Google's weights, trained on [-1, 1]
        return [1.0] * 3, [0.0] * 3
    both = list(zip(IMAGENET_MEANS, IMAGENET_DEVIATIONS, strict=True))
    return [0.5 / deviation for _, deviation in both], [(0.5 - mean) / deviation for mean, deviation in both]
