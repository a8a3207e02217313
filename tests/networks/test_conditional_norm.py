import torch

from pix2pix.networks.norm import ConditionalInstanceNorm, Norm


def features(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 2 + 1


def norm_of_three(channels=4):
    norm = ConditionalInstanceNorm(channels, 3)
    with torch.no_grad():
        norm.weight.copy_(features(3, channels, seed=1))
        norm.bias.copy_(features(3, channels, seed=2))
    return norm


def test_an_image_of_one_style_is_normalized_by_that_styles_weight_and_bias():
    norm, x = norm_of_three(), features(2, 4, 5, 7)
    output = norm(x, torch.eye(3)[[2, 0]])
    for image, style in enumerate((2, 0)):
        mean, deviation = x[image].mean((1, 2), keepdim=True), x[image].var((1, 2), keepdim=True, correction=0).sqrt()
        plain = (x[image] - mean) / deviation
        expected = plain * norm.weight[style, :, None, None] + norm.bias[style, :, None, None]
        assert torch.allclose(output[image], expected, atol=1e-4)


def test_styles_begin_alike_as_plain_instance_norm():
    x = features(2, 4, 6, 6)
    assert torch.allclose(ConditionalInstanceNorm(4, 3)(x, torch.eye(3)[[0, 2]]), Norm(4, "instance")(x), atol=1e-6)


def test_a_blend_of_styles_is_the_blend_of_their_outputs():
    norm, x = norm_of_three(), features(1, 4, 5, 7)
    alone = [norm(x, torch.eye(3)[[style]]) for style in range(3)]
    blend = norm(x, torch.tensor([[0.2, 0.3, 0.5]]))
    assert torch.allclose(blend, 0.2 * alone[0] + 0.3 * alone[1] + 0.5 * alone[2], atol=1e-5)


def test_reported_its_styles_it_is_an_instance_norm():
    norm, x, shares = norm_of_three(), features(1, 4, 5, 7), torch.tensor([[0.2, 0.0, 0.8]])
    assert torch.allclose(norm.select(shares)(x), norm(x, shares), atol=1e-5)


def test_shares_by_position_choose_a_style_for_each():
    norm, x = norm_of_three(), features(1, 4, 6, 8)
    left = torch.zeros(1, 3, 6, 8)
    left[:, 0, :, :4] = left[:, 1, :, 4:] = 1
    output = norm(x, left)
    assert torch.allclose(output[..., :4], norm(x, torch.eye(3)[[0]])[..., :4], atol=1e-5)
    assert torch.allclose(output[..., 4:], norm(x, torch.eye(3)[[1]])[..., 4:], atol=1e-5)


def test_shares_of_a_larger_image_are_averaged_to_the_features():
    norm, x = norm_of_three(), features(1, 4, 3, 4)
    fine = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(3))
    coarse = torch.nn.functional.avg_pool2d(fine, 4)
    assert torch.allclose(norm(x, fine), norm(x, coarse), atol=1e-5)


def test_styles_that_no_image_has_get_gradients_of_exactly_zero():
    norm = norm_of_three()
    norm(features(2, 4, 5, 7), torch.eye(3)[[1, 1]]).square().sum().backward()
    for gradient in (norm.weight.grad, norm.bias.grad):
        assert gradient[1].abs().min() > 0
        assert gradient[[0, 2]].abs().max() == 0
