import pytest

from pix2pix.config.base import OptionError, from_dict, to_dict
from pix2pix.config.losses import FeatureOptions
from pix2pix.config.pix2pix import Pix2PixOptions

MINIMAL = {"dataroot": "facades", "name": "a"}


def test_losses_on_features_are_switched_on_by_their_weights():
    record = from_dict(Pix2PixOptions, {**MINIMAL, "lambda_style": 10, "style_loss": "mrf", "backbone": "vgg16"})
    assert (record.loss.lambda_perceptual, record.loss.lambda_style) == (0, 10)
    assert record.features == FeatureOptions(style_loss="mrf", backbone="vgg16")
    assert from_dict(Pix2PixOptions, to_dict(record)) == record


def test_a_run_that_knew_no_such_losses_has_none():
    stored = to_dict(from_dict(Pix2PixOptions, MINIMAL))
    del stored["features"], stored["loss"]["lambda_perceptual"], stored["loss"]["lambda_style"]
    record = from_dict(Pix2PixOptions, stored)
    assert record.loss.lambda_perceptual == record.loss.lambda_style == 0
    assert record.features == FeatureOptions()


@pytest.mark.parametrize("name", ["lambda_l1", "lambda_l2", "lambda_perceptual", "lambda_style"])
def test_each_of_the_losses_alone_is_something_to_learn(name):
    record = from_dict(Pix2PixOptions, {**MINIMAL, "gan_mode": "none", "lambda_l1": 0, name: 3})
    assert getattr(record.loss, name) == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"gan_mode": "none", "lambda_l1": 0},
            "nothing to learn: with --gan_mode none, --lambda_l1, --lambda_l2, --lambda_perceptual or --lambda_style "
            "must be above 0",
        ),
        (
            {"backbone": "resnet50"},
            "--backbone belongs to a loss that is off: add --lambda_perceptual or --lambda_style, "
            "or leave --backbone out",
        ),
        (
            {"lambda_perceptual": 1, "style_loss": "mrf"},
            "--style_loss belongs to a loss that is off: add --lambda_style, or leave --style_loss out",
        ),
        (
            {"lambda_style": 1, "content_layers": "relu4_2"},
            "--content_layers belongs to a loss that is off: add --lambda_perceptual, or leave --content_layers out",
        ),
        (
            {"lambda_perceptual": 1, "style_image": "a.jpg"},
            "--style_image needs --lambda_style: add it, or leave --style_image out",
        ),
    ],
)
def test_an_option_of_no_loss_is_refused(given, message):
    with pytest.raises(OptionError) as caught:
        from_dict(Pix2PixOptions, {**MINIMAL, **given})
    assert str(caught.value) == message
