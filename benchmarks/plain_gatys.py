"""The other side of benchmarks.gatys: Gatys' method as a page of PyTorch, by torchvision's VGG-19 and all defaults."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

CONTENT = 22  # in torchvision's list of modules: relu4_2
STYLE = (1, 6, 11, 20, 29)  # relu1_1, relu2_1, relu3_1, relu4_1, relu5_1


class PlainLoss:
    """The mean squared error of relu4_2, and `style_weight` times a quarter of the mean of those of five Gram matrices.

    `kernels` are the weights and biases of the convolutions; an image in [-1, 1] is brought to what they were trained
    on by `scale` and `shift`.
    """

    def __init__(self, kernels: Sequence[tuple[Tensor, Tensor]], scale: Tensor, shift: Tensor, style_weight: float):
        from torchvision.models import vgg19  # takes seconds

        self.vgg: nn.Sequential = vgg19(weights=None).features[: STYLE[-1] + 1].eval().requires_grad_(False)
        self.scale, self.shift, self.style_weight = scale, shift, style_weight
        convolutions = (module for module in self.vgg if isinstance(module, nn.Conv2d))
        for convolution, (weight, bias) in zip(convolutions, kernels, strict=True):
            convolution.weight.copy_(weight)
            assert convolution.bias is not None
            convolution.bias.copy_(bias)

    def targets(self, content: Tensor, style: Tensor) -> None:
        """Set what is to be met, from two pictures (1, 3, H, W)."""
        with torch.no_grad():
            self.content = self.features(content)[CONTENT]
            self.grams = [gram(x) for number, x in self.features(style).items() if number in STYLE]

    def features(self, image: Tensor) -> dict[int, Tensor]:
        """Return the features of the layers that are compared, by their number."""
        found = {}
        x = image * self.scale + self.shift
        for number, module in enumerate(self.vgg):
            x = module(x)
            if number == CONTENT or number in STYLE:
                found[number] = x
        return found

    def __call__(self, image: Tensor) -> Tensor:
        """Return the loss of an image."""
        features = self.features(image)
        errors = [F.mse_loss(gram(features[number]), target) for number, target in zip(STYLE, self.grams, strict=True)]
        style = torch.stack(errors).mean() / 4
        return F.mse_loss(features[CONTENT], self.content) + self.style_weight * style


def gram(features: Tensor) -> Tensor:
    """Return F F^T / M of features (1, C, H, W): (C, C)."""
    rows = features.flatten(2)[0]
    return rows @ rows.T / rows.shape[1]


def paint(loss: PlainLoss, image: Tensor, iterations: int, note: Callable[[float], None]) -> Tensor:
    """Minimise the loss from an image by L-BFGS with PyTorch's defaults; tell the loss of each evaluation."""
    image = image.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([image], lr=1)
    evaluations = 0

    def evaluated() -> float:
        nonlocal evaluations
        evaluations += 1
        optimizer.zero_grad()
        value = loss(image)
        value.backward()  # type: ignore[no-untyped-call]
        note(value.item())
        return value  # type: ignore[return-value]  # what it takes in truth

    while evaluations < iterations:
        optimizer.param_groups[0]["max_iter"] = min(20, iterations - evaluations)  # 20 is its default
        optimizer.step(evaluated)  # type: ignore[no-untyped-call]
    return image.detach()
