import math

import numpy as np
import pytest
import torch

from pix2pix.config.base import from_dict
from pix2pix.config.segmenter import SegmenterOptions
from pix2pix.data.batch import PairBatch
from pix2pix.data.codec import ImageCodec, PairCodec
from pix2pix.data.generated import generate
from pix2pix.data.labels import PALETTES, Palette
from pix2pix.errors import UserError
from pix2pix.methods.base import Styles, describe_codec, translate
from pix2pix.methods.segmenter import Segmenter, load_classes
from pix2pix.runtime.device import Runtime

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
PALETTE = Palette(("red", "green", "blue"), COLOURS)
FACADES = PALETTES["facades"]


def options(**given):
    tiny = {"generator": "unet_8", "ngf": 4, "load_size": 16, "crop_size": 16, "init_gain": 0.2}
    return from_dict(SegmenterOptions, {"model": "segmenter", "dataroot": "data", "name": "test", **tiny, **given})


def codec(palette=PALETTE):
    return PairCodec(ImageCodec("photo", 3), ImageCodec("classes", 3, palette=palette.colors))


def method(palette=PALETTE, **given):
    description = describe_codec(codec(palette)) | {"palette": palette.to_dict()}
    return Segmenter(options(**given), Runtime("cpu"), description)


def batch(labels=None, seed=0):
    """Random photos and labels; places in the palette (N, H, W), 3 being of no class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (2, 16, 16), generator=generator) if labels is None else labels
    y = torch.nn.functional.one_hot(labels, 4).movedim(-1, 1)[:, :3] * 2.0 - 1
    return PairBatch(torch.rand(2, 3, 16, 16, generator=generator) * 2 - 1, y, ["a", "b"])


def weights(model):
    return {name: weight.clone() for name, weight in model.generator.state_dict().items()}


def test_it_learns_to_tell_classes_in_a_few_steps():
    pairs = [generate(0, number, size=(32, 32)) for number in range(2)]
    encoded = codec(FACADES)
    x, y = (encoded[side].encode_batch([pair[side] for pair in pairs]) for side in (0, 1))
    model = method(FACADES, use_dropout=False, ngf=8, lr=1e-2)
    steps = [model.training_step(PairBatch(x, y, ["a", "b"])) for _ in range(20)]
    shares = (y > 0).float().mean(dim=(0, 2, 3))
    assert steps[0]["loss/G"].item() == pytest.approx(math.log(12), rel=0.3)
    assert steps[-1]["loss/G"] < 0.5 * steps[0]["loss/G"]
    assert steps[-1]["G/pixel_accuracy"] > shares.max() + 0.1  # than always telling the commonest class


def test_a_training_step_tells_the_cross_entropy_of_what_the_network_gives():
    model = method(use_dropout=False)
    pair = batch()
    logits = model.generator(pair.source)
    known = pair.target.amax(dim=1) > 0
    expected = torch.nn.functional.cross_entropy(logits.movedim(1, -1)[known], pair.target.argmax(dim=1)[known])
    right = (logits.argmax(dim=1) == pair.target.argmax(dim=1))[known].float().mean()
    scalars = model.training_step(pair)
    assert set(scalars) == {"loss/G", "G/pixel_accuracy", "grad_norm/G"}
    assert scalars["loss/G"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert scalars["G/pixel_accuracy"].item() == pytest.approx(right.item())


def test_a_class_that_the_palette_ignores_is_as_if_it_were_of_no_class():
    """Labels of it and of none: the same steps, bit for bit, and its output is never trained or chosen."""
    labels = torch.randint(3, (2, 16, 16), generator=torch.Generator().manual_seed(1))
    models = [method(PALETTE._replace(ignored=("green",))) for _ in range(2)]
    last = models[0].generator.decoder[-1][1]  # channels of its weights: (inputs, classes, 4, 4)
    before = last.weight.detach().clone()
    for model, pair in zip(models, (batch(labels), batch(labels.masked_fill(labels == 1, 3))), strict=True):
        torch.manual_seed(0)  # of the dropout
        model.training_step(pair)
    assert all(torch.equal(a, b) for a, b in zip(*(weights(model).values() for model in models), strict=True))
    assert torch.equal(last.weight[:, 1], before[:, 1])
    assert not torch.equal(last.weight[:, 0], before[:, 0])
    output = translate(models[0], batch().source)
    assert (output[:, 1] == -1).all()


def test_a_batch_without_any_class_moves_nothing():
    model = method()
    before = [weight.clone() for weight in model.generator.parameters()]
    scalars = model.training_step(batch(torch.full((2, 16, 16), 3)))
    assert (scalars["loss/G"], scalars["grad_norm/G"], scalars["G/pixel_accuracy"]) == (0, 0, 0)
    assert all(torch.equal(a, b) for a, b in zip(model.generator.parameters(), before, strict=True))


def test_a_translation_is_the_probabilities_of_the_classes_as_onehot_has_them():
    output = translate(method(), batch().source)
    assert output.shape == (2, 3, 16, 16)
    assert torch.allclose(((output + 1) / 2).sum(dim=1), torch.ones(2, 16, 16))
    assert output.min() >= -1


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_photos_of_any_size_are_translated_each_by_itself(norm):
    model = method(norm=norm)
    model.training_step(batch())
    photos = torch.rand(2, 3, 19, 30) * 2 - 1
    together = translate(model, photos)
    assert together.shape == (2, 3, 19, 30)
    assert torch.allclose(together[1:], translate(model, photos[1:]), atol=1e-5)
    assert torch.equal(together, translate(model, photos))  # no dropout


@pytest.mark.parametrize(("norm", "statistics", "used"), [("batch", None, "running"), ("batch", "image", "image")])
def test_batch_norm_goes_by_what_it_has_seen_by_default(norm, statistics, used):
    model, seen = method(norm=norm, statistics=statistics), []
    norms = [module for module in model.generator.modules() if hasattr(module, "statistics")]
    norms[0].register_forward_hook(lambda module, *_: seen.append(module.statistics))
    model.training_step(batch())
    translate(model, batch().source)
    assert seen == ["batch", used]


def test_tiles_give_the_classes_of_the_whole():
    whole, tiled = (method(tile=tile) for tile in ("off", 64))
    photo = torch.rand(1, 3, 100, 90) * 2 - 1
    assert torch.allclose(translate(tiled, photo), translate(whole, photo), atol=1e-5)


def test_validation_tells_loss_and_accuracy_of_known_pixels_and_shows_colors():
    model = method()
    x, y, names = batch()
    report = model.validation_step(PairBatch(x[:1], y[:1], names[:1]))
    output, truth = translate(model, x[:1]), y[0].argmax(dim=0)
    known = y[0].amax(dim=0) > 0
    right = (output[0].argmax(dim=0) == truth)[known].float().mean()
    likelihood = ((output[0] + 1) / 2).gather(0, truth[None])[0][known]
    assert report.scalars["val/pixel_accuracy"].item() == pytest.approx(right.item())
    assert report.scalars["val/loss"].item() == pytest.approx(-likelihood.log().mean().item(), rel=1e-4)
    (row,) = report.images.values()
    colours = {tuple(pixel) for pixel in ((row[1] + 1) * 127.5).movedim(1, -1).reshape(-1, 3).round().int().tolist()}
    assert colours <= set(COLOURS)
    assert (row[2].movedim(1, -1)[0][~known] == -1).all()  # of no class: black


def test_the_rate_falls_in_the_second_half():
    model = method(n_epochs=1, n_epochs_decay=1, lr=0.5)
    assert [model.learning_rate(step, 4) for step in (1, 2, 3, 4)] == pytest.approx([0.5, 0.5, 1 / 3, 1 / 6])
    assert method(lr_policy="constant", lr=0.5).learning_rate(4, 4) == 0.5


def test_the_checkpoint_says_which_palette(tmp_path):
    file = tmp_path / "p.txt"
    file.write_text("255 0 0 red\n0 255 0 green\n0 0 255 blue\n")
    given = options(target_palette=str(file))
    palette = load_classes(given, codec(), {})
    assert palette == PALETTE
    without_blue = describe_codec(codec()) | {"palette": palette._replace(ignored=("blue",)).to_dict()}
    description = Segmenter(given, Runtime("cpu"), without_blue).description
    file.unlink()
    restored = Segmenter(given, Runtime("cpu"), description, training=False)
    assert restored.palette == PALETTE._replace(ignored=("blue",))
    assert restored.optimizers == {}


def test_without_a_palette_the_classes_are_the_colors_of_the_labels():
    assert load_classes(options(), codec(), {}) == Palette(("0", "1", "2"), COLOURS)
    some = FACADES.colors[3:5]
    known = PairCodec(ImageCodec("photo", 3), ImageCodec("classes", 3, palette=some))
    assert load_classes(options(), known, {}) == Palette(("door", "cornice"), some)
    grey = PairCodec(ImageCodec("photo", 3), ImageCodec("classes", 1, palette=((3,), (7,))))
    assert load_classes(options(), grey, {}).colors == ((3,), (7,))


def test_styles_are_refused():
    with pytest.raises(UserError, match="segmenter"):
        translate(method(), torch.zeros(1, 3, 16, 16), styles=Styles())


def test_class_numbers_are_learned_as_their_colors_are():
    numbers = np.array([[0, 2], [1, 255]], np.uint8)[..., None]
    painted = np.array([*COLOURS, (90, 90, 90)], np.uint8)[[[0, 2], [1, 3]]]
    encodings = [ImageCodec("classes", channels, palette=COLOURS) for channels in (1, 3)]
    assert torch.equal(encodings[0].encode(numbers), encodings[1].encode(painted))
