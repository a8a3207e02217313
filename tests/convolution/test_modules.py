import pytest
import torch
from torch import nn

from pix2pix.convolution import Conv


@pytest.mark.parametrize("form", [None, "by_product", "minimal"])
@pytest.mark.parametrize("is_frozen", [False, True])
@pytest.mark.parametrize("side", [2, 24])
@torch.no_grad()
def test_in_every_form_a_convolution_with_reflections_is_torchs(form, is_frozen, side):
    layer = Conv(256, 256, 3, padding=1, padding_mode="reflect").requires_grad_(not is_frozen)
    if form is not None:
        setattr(layer, form, True)
    expected = nn.Conv2d(256, 256, 3, padding=1, padding_mode="reflect")
    expected.load_state_dict(layer.state_dict())
    x = torch.randn(2, 256, side, side, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(layer(x), expected(x), atol=1e-4)
