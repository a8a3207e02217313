import pytest
import torch

from pix2pix.networks.norm import AdaIN, adain_regions, channel_statistics


def features(*shape, seed=0, dtype=torch.float32):
    """Features of channels that differ in mean and deviation."""
    generator = torch.Generator().manual_seed(seed)
    centre, deviation = (torch.rand(shape[1], 1, 1, generator=generator, dtype=dtype) * 3 + 0.5 for _ in range(2))
    return torch.randn(shape, generator=generator, dtype=dtype) * deviation + centre


def test_adain_gives_features_the_mean_and_deviation_of_a_style():
    content, style = features(2, 5, 16, 12), features(1, 5, 9, 20, seed=1)
    output = AdaIN(*channel_statistics(style))(content)
    mean, std = channel_statistics(output)
    assert (mean - style.mean((2, 3))).abs().max() < 1e-4
    assert (std - style.std((2, 3), correction=0)).abs().max() < 1e-4


def test_each_image_has_a_style_of_its_own():
    content, style = features(2, 3, 8, 8), features(2, 3, 6, 6, seed=1)
    mean, std = channel_statistics(style)
    output = AdaIN(mean, std)(content)
    for number in range(2):
        alone = AdaIN(mean[number : number + 1], std[number : number + 1])(content[number : number + 1])
        assert torch.allclose(output[number : number + 1], alone, atol=1e-6)


def test_alpha_mixes_the_result_with_the_input():
    content, known = features(1, 3, 8, 8), channel_statistics(features(1, 3, 8, 8, seed=1))
    full = AdaIN(*known)(content)
    assert torch.equal(AdaIN(*known, alpha=0.0)(content), content)
    assert torch.allclose(AdaIN(*known, alpha=0.3)(content), 0.3 * full + 0.7 * content, atol=1e-5)


def test_weighted_statistics_of_several_styles_give_the_weighted_sum_of_their_results():
    content, styles = features(1, 3, 8, 8), features(4, 3, 8, 8, seed=1)
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4])
    mean, std = channel_statistics(styles)
    blended = AdaIN((weights @ mean)[None], (weights @ std)[None])(content)
    each = torch.cat([AdaIN(*channel_statistics(style[None]))(content) for style in styles])
    assert torch.allclose(blended[0], torch.einsum("k,kchw->chw", weights, each), atol=1e-5)


def test_statistics_that_are_given_do_what_those_of_the_input_do():
    content = features(2, 3, 8, 8, dtype=torch.float64)
    adain = AdaIN(*channel_statistics(features(1, 3, 4, 4, seed=1, dtype=torch.float64)), alpha=0.7)
    known = content.mean((2, 3)), content.var((2, 3), correction=0)
    assert torch.allclose(adain.normalize(content, *known), adain(content), atol=1e-12)


def test_narrow_features_are_computed_wide_and_come_back_narrow():
    content, style = features(1, 3, 64, 64), features(1, 3, 64, 64, seed=1)
    output = AdaIN(*channel_statistics(style.bfloat16()))(content.bfloat16())
    assert output.dtype == torch.bfloat16
    assert channel_statistics(output)[0].dtype == torch.float32
    assert torch.allclose(output.float(), AdaIN(*channel_statistics(style))(content), rtol=0.02, atol=0.05)


def test_a_constant_channel_becomes_the_styles_mean():
    mean, std = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 0.0]])
    output = AdaIN(mean, std)(torch.full((1, 2, 4, 4), 5.0))
    assert torch.allclose(output, mean[..., None, None].expand(1, 2, 4, 4), atol=1e-3)


def halves(height, width):
    masks = torch.zeros(2, 1, height, width)
    masks[0, ..., : width // 3] = 1
    masks[1, ..., width // 3 :] = 1
    return masks


@pytest.mark.parametrize("alpha", [1.0, 0.4])
def test_one_region_that_is_everything_is_adain(alpha):
    content, known = features(2, 3, 8, 9), channel_statistics(features(1, 3, 5, 5, seed=1))
    output = adain_regions(content, *known, torch.ones(1, 1, 8, 9), alpha)
    assert torch.allclose(output, AdaIN(*known, alpha=alpha)(content), atol=1e-5)


def test_hard_masks_give_each_region_what_adain_gives_it_alone():
    content = features(2, 3, 8, 9)
    mean, std = channel_statistics(features(2, 3, 5, 5, seed=1))
    output = adain_regions(content, mean, std, halves(8, 9))
    for number, columns in enumerate((slice(0, 3), slice(3, 9))):
        alone = AdaIN(mean[number : number + 1], std[number : number + 1])(content[..., columns])
        assert torch.allclose(output[..., columns], alone, atol=1e-5)


def test_soft_masks_weight_the_statistics_and_are_shares_of_the_result():
    content, mask = features(1, 2, 4, 6, dtype=torch.float64), torch.rand(4, 6).double()
    mean, std = channel_statistics(features(2, 2, 5, 5, seed=1, dtype=torch.float64))
    masks = torch.stack([mask, 2 * mask])[:, None] / 2  # of one shape: both regions have the same statistics
    centre = (content * mask).sum((2, 3), keepdim=True) / mask.sum()
    variance = ((content - centre) ** 2 * mask).sum((2, 3), keepdim=True) / mask.sum()
    standard = (content - centre) / (variance + 1e-5).sqrt()
    expected = sum(
        share * (standard * std[k, :, None, None] + mean[k, :, None, None]) for k, share in enumerate((1 / 3, 2 / 3))
    )
    assert torch.allclose(adain_regions(content, mean, std, masks), expected, atol=1e-10)


def test_what_no_mask_covers_stays_and_an_empty_mask_changes_nothing():
    content, masks = features(1, 3, 8, 9), halves(8, 9)
    known = channel_statistics(features(2, 3, 5, 5, seed=1))
    masks[1] = 0
    output = adain_regions(content, *known, masks)
    assert torch.equal(output[..., 3:], content[..., 3:])
    assert torch.equal(output, adain_regions(content, known[0][:1], known[1][:1], masks[:1]))
