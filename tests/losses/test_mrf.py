import re

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pix2pix.errors import UserError
from pix2pix.losses.style import get_style_loss

LOSS = get_style_loss("mrf")


def doubles(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def patches(x):
    return F.unfold(x, 3)[0].T  # (P, 9C)


def nearest(image, style):
    """The style's patch that is most like each of the image, by comparing all."""
    mine, theirs = patches(image), patches(style)
    cosines = F.normalize(mine, dim=1) @ F.normalize(theirs, dim=1).T
    return mine, theirs[cosines.argmax(dim=1)]


def test_it_is_the_mean_square_to_the_most_correlated_patches():
    image, style = doubles(1, 4, 7, 9), doubles(1, 4, 8, 6, seed=1)
    mine, best = nearest(image, style)
    assert torch.allclose(LOSS.distance(image, LOSS.statistics(style, None), None), ((mine - best) ** 2).mean())


def test_its_gradient_is_that_with_the_choice_kept():
    image, style = doubles(1, 4, 7, 9).requires_grad_(), doubles(1, 4, 8, 6, seed=1)
    mine, best = nearest(image, style)
    expected = torch.autograd.grad(((mine - best.detach()) ** 2).mean(), image)[0]
    value = LOSS.distance(image, LOSS.statistics(style, None), None)
    assert torch.allclose(torch.autograd.grad(value, image)[0], expected)


def test_parts_of_a_style_moved_about_cost_only_their_seams():
    style = doubles(1, 4, 9, 9)
    assert LOSS.distance(style[..., 2:7, 3:8], LOSS.statistics(style, None), None).item() == pytest.approx(0, abs=1e-15)
    rolled = style.roll(4, dims=3)
    statistics = LOSS.statistics(style, None)
    assert 0 < LOSS.distance(rolled, statistics, None) < LOSS.distance(doubles(1, 4, 9, 9, seed=1), statistics, None)


@pytest.mark.parametrize(("products", "rows"), [(1, 1), (1, 4), (10**9, 1)])
def test_the_number_of_rows_at_a_time_does_not_matter(monkeypatch, products, rows):
    image, style = doubles(1, 4, 11, 9), doubles(1, 4, 8, 6, seed=1)
    monkeypatch.setattr("pix2pix.losses.style.MAX_PRODUCTS", products)
    monkeypatch.setattr("pix2pix.losses.style.MIN_ROWS", rows)
    mine, best = nearest(image, style)
    assert torch.allclose(LOSS.distance(image, LOSS.statistics(style, None), None), ((mine - best) ** 2).mean())


def test_a_mask_of_the_style_says_which_patches_may_be_chosen():
    style = torch.cat([doubles(1, 4, 6, 6), doubles(1, 4, 6, 6, seed=1)], dim=3)
    mask = torch.ones(1, 1, 6, 12)
    mask[..., :6] = 0
    right = LOSS.distance(style, LOSS.statistics(style[..., 6:], None), None)
    assert torch.allclose(LOSS.distance(style, LOSS.statistics(style, mask), None), right)
    assert right > 0.1


@pytest.mark.parametrize("level", [0.0, 0.3])
def test_where_no_patch_is_half_inside_those_most_inside_may_be_chosen(level):
    mask = torch.full((1, 1, 5, 5), level)
    mask[..., 0] = 0
    allowed = LOSS.statistics(doubles(1, 2, 5, 5), mask)[1]
    assert allowed.reshape(3, 3).tolist() == [[level == 0, True, True]] * 3


def test_a_mask_of_the_image_weighs_its_patches():
    image, style, mask = doubles(1, 4, 7, 9), doubles(1, 4, 8, 6, seed=1), torch.rand(1, 1, 7, 9, dtype=torch.float64)
    mine, best = nearest(image, style)
    weights = patches(mask).mean(dim=1)
    expected = (((mine - best) ** 2).mean(dim=1) * weights).sum() / weights.sum()
    assert torch.allclose(LOSS.distance(image, LOSS.statistics(style, None), mask), expected)


def test_features_smaller_than_a_patch_are_refused():
    small, statistics = doubles(1, 4, 2, 5), LOSS.statistics(doubles(1, 4, 5, 5), None)
    message = "3x3.*2x5.*--style_layers"
    for call in (
        lambda: LOSS.statistics(small, None),
        lambda: LOSS.distance(small, statistics, None),
    ):
        with pytest.raises(UserError) as caught:
            call()
        assert re.search(message, str(caught.value))
