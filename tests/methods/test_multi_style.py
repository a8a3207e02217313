import numpy as np
import pytest
import torch

from pix2pix import checkpoint
from pix2pix.config.base import from_dict, to_dict
from pix2pix.config.style import MultiStyleOptions
from pix2pix.data.batch import PhotoBatch
from pix2pix.data.io import write_image
from pix2pix.errors import UserError
from pix2pix.methods.base import Styles, translate
from pix2pix.methods.multi_style import MultiStyle
from pix2pix.networks.norm import ConditionalInstanceNorm
from pix2pix.runtime.device import Runtime
from pix2pix.training.checkpointing import TrainState, save_checkpoint

SHALLOW = {"weights": "random", "rescaled": False, "content_layers": "relu1_2", "style_layers": "relu1_1,relu2_1"}
TINY = {"ngf": 4, "blocks": 1, "load_size": 32, "crop_size": 32}


def picture(seed=0, size=(32, 32), count=1):
    """Coarse blocks, (N, 3, H, W)."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size)


def photos(count=2, seed=0):
    return PhotoBatch(picture(seed, count=count), [f"photo{number}" for number in range(count)])


def saved(path, seed):
    path.parent.mkdir(exist_ok=True)
    write_image(path, ((picture(seed)[0].permute(1, 2, 0).numpy() + 1) * 127.5).round().astype(np.uint8))
    return path


@pytest.fixture(scope="module")
def styles(tmp_path_factory):
    """A folder of three pictures."""
    folder = tmp_path_factory.mktemp("styles")
    for number, name in enumerate(("dots", "lines", "waves")):
        saved(folder / f"{name}.png", number)
    return folder


@pytest.fixture(scope="module")
def options(styles):
    def build(**given):
        style = {} if "add_style" in given else {"styles": str(styles)}
        return from_dict(MultiStyleOptions, {"dataroot": "photos", "name": "x", **style, **TINY, **SHALLOW, **given})

    return build


def trained(options, steps=3):
    method = MultiStyle(options, Runtime("cpu"))
    for step in range(steps):
        torch.manual_seed(step)
        method.training_step(photos(4, seed=step))
    return method


@pytest.fixture(scope="module")
def method(options):
    """One that has made three steps, and makes no more."""
    return trained(options())


def only(number):
    return Styles(numbers=[number])


@pytest.fixture
def run(tmp_path, options, method):
    """The folder of its run."""
    folder = tmp_path / "three"
    folder.mkdir()
    save_checkpoint(method, options(), TrainState(step=3), folder, best=False)
    return folder


def test_each_style_is_a_picture_of_the_folder_by_name(method):
    assert method.description["styles"] == ["dots", "lines", "waves"]
    outputs = [translate(method, picture(3), styles=only(number)) for number in range(3)]
    assert (outputs[0] - outputs[1]).abs().max() > 1e-3
    assert (outputs[1] - outputs[2]).abs().max() > 1e-3


def test_it_learns_to_paint(options):
    method = MultiStyle(options(lr=3e-3), Runtime("cpu"))
    losses = [method.training_step(photos())["loss/G"].item() for _ in range(24)]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_the_drawn_styles_follow_from_the_seed_alone(options, method):
    again = trained(options()).generator.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in method.generator.state_dict().items())


def test_weights_of_one_alone_are_that_style(method):
    blend = translate(method, picture(3), styles=Styles(numbers=[0, 1, 2], weights=[0, 5, 0]))
    assert torch.equal(blend, translate(method, picture(3), styles=only(1)))


def test_weights_are_made_to_sum_to_one(method):
    outputs = [
        translate(method, picture(3), styles=Styles(numbers=[0, 2], weights=weights)) for weights in ([1, 3], [2, 6])
    ]
    assert torch.equal(*outputs)
    even = [translate(method, picture(3), styles=Styles([], [0, 2], weights)) for weights in (None, [1, 1])]
    assert torch.equal(*even)


def test_tiles_paint_what_the_whole_paints(options, method, monkeypatch):
    blend = Styles(numbers=[0, 1])
    whole = translate(method, picture(size=(100, 150)), styles=blend)
    monkeypatch.setattr(method, "options", options(tile=64))
    assert torch.allclose(translate(method, picture(size=(100, 150)), styles=blend), whole, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (17, 33)])
def test_images_of_any_size_come_back_in_their_own(method, size):
    output = translate(method, picture(size=size), styles=only(0))
    assert output.shape == (1, 3, *size)


def test_a_mask_of_all_is_the_style_everywhere(method):
    x = picture(3, (20, 36))
    by_mask = translate(method, x, styles=Styles(numbers=[1], masks=[torch.ones(1, 1, 20, 36)]))
    assert torch.allclose(by_mask, translate(method, x, styles=only(1)), atol=1e-4)


def test_regions_far_apart_have_styles_of_their_own(method):
    x = picture(3, (32, 160))
    left = torch.zeros(1, 1, 32, 160)
    left[..., :80] = 1
    both = translate(method, x, styles=Styles(numbers=[0, 2], masks=[left, 1 - left]))
    swapped = translate(method, x, styles=Styles(numbers=[2, 0], masks=[1 - left, left]))
    assert torch.allclose(both, swapped, atol=1e-5)
    assert (both - translate(method, x, styles=only(0)))[..., 100:].abs().max() > 1e-3


def test_where_no_mask_is_the_blend_of_all_is(method):
    x = picture(3)
    nowhere = [torch.zeros(1, 1, 32, 32)] * 2
    output = translate(method, x, styles=Styles(numbers=[0, 2], masks=nowhere))
    assert torch.allclose(output, translate(method, x, styles=Styles(numbers=[0, 2])), atol=1e-4)


def test_masks_of_another_number_or_size_are_refused(method):
    ones = torch.ones(1, 1, 32, 32)
    with pytest.raises(UserError, match=r"1 masks.* 2 styles"):
        translate(method, picture(), styles=Styles(numbers=[0, 1], masks=[ones]))
    with pytest.raises(UserError, match=r"32x32.*16x32"):
        translate(method, picture(size=(16, 32)), styles=Styles(numbers=[0], masks=[ones]))


def test_a_style_that_is_missing_is_refused(method):
    with pytest.raises(UserError, match="dots, lines, waves"):
        translate(method, picture())
    with pytest.raises(UserError, match=r"4.*1 to 3"):
        translate(method, picture(), styles=only(3))


def test_a_style_that_is_added_leaves_all_others_bit_equal(tmp_path, options, method, run):
    added = saved(tmp_path / "stars.png", 9)
    after = trained(options(add_style=str(added), init_from=str(run)))
    assert after.description["styles"] == ["dots", "lines", "waves", "stars"]
    for number in range(3):
        outputs = [translate(each, picture(3), styles=only(number)) for each in (method, after)]
        assert torch.equal(*outputs)
    old, new = method.generator.state_dict(), after.generator.state_dict()
    for name, value in old.items():
        assert torch.equal(new[name][: len(value)], value), name
    changed = [
        (norm.weight[3] - norm.weight[:3].mean(0)).abs().max()
        for norm in after.generator.modules()
        if isinstance(norm, ConditionalInstanceNorm)
    ]
    assert min(changed) > 0


def test_an_added_style_is_learned_by_its_own_weights(tmp_path, options, run):
    added = saved(tmp_path / "stars.png", 9)
    method = MultiStyle(options(add_style=str(added), init_from=str(run), lr=1e-2), Runtime("cpu"))
    losses = [method.training_step(photos())["loss/style"].item() for _ in range(15)]
    assert losses[-1] < 0.8 * losses[0]


def test_a_run_that_adds_a_style_is_resumed_without_the_former(tmp_path, options, run):
    added = saved(tmp_path / "stars.png", 9)
    given = options(add_style=str(added), init_from=str(run))
    first = trained(given)
    checkpoint.checkpoint_path(run, 3).unlink()
    again = MultiStyle(given, Runtime("cpu"), first.description)
    checkpoint.load_weights(again.generator, first.generator.state_dict(), "G")
    assert {len(norm.weight) for norm in again.generator.modules() if isinstance(norm, ConditionalInstanceNorm)} == {4}
    assert [x.requires_grad for x in again.generator.parameters()] == [
        x.requires_grad for x in first.generator.parameters()
    ]


def test_restored_it_needs_no_files_and_paints_the_same(options, method):
    again = MultiStyle(options(styles="gone", weights="gone.pth"), Runtime("cpu"), method.description, training=False)
    again.generator.load_state_dict(method.generator.state_dict())
    assert torch.equal(*(translate(one, picture(3), styles=only(2)) for one in (again, method)))


def test_a_run_of_another_network_gets_no_style(tmp_path, options, run):
    added = str(saved(tmp_path / "stars.png", 9))
    with pytest.raises(UserError, match=r"--ngf.*4.*--blocks"):
        MultiStyle(options(add_style=added, init_from=str(run), ngf=8), Runtime("cpu"))


def test_a_run_of_another_method_gets_no_style(tmp_path, options, run):
    content = checkpoint.load_file(checkpoint.checkpoint_path(run, 3))
    given = to_dict(options())
    johnson = {name: value for name, value in given.items() if name not in ("loss", "model")}
    content["options"] = johnson | {"model": "johnson", "loss": {"style_image": "s.png"}}
    checkpoint.save_file(checkpoint.checkpoint_path(run, 3), content)
    added = str(saved(tmp_path / "stars.png", 9))
    with pytest.raises(UserError, match=r"--model.*multi_style.*johnson"):
        MultiStyle(options(add_style=added, init_from=str(run)), Runtime("cpu"))


def test_a_style_goes_by_one_name(tmp_path, options, run):
    again = str(saved(tmp_path / "waves.png", 9))
    with pytest.raises(UserError, match=r"--add_style.*waves"):
        MultiStyle(options(add_style=again, init_from=str(run)), Runtime("cpu"))
    for name in ("dots.png", "dots.jpg"):
        saved(tmp_path / "twice" / name, 4)
    with pytest.raises(UserError, match=r"--styles.*dots"):
        MultiStyle(options(styles=str(tmp_path / "twice")), Runtime("cpu"))


@pytest.mark.parametrize("way", ["x", "../runs/x", "link"])
def test_a_run_does_not_get_a_style_from_itself_whichever_way_it_is_named(options, tmp_path, way):
    folder = tmp_path / "runs"
    (folder / "x").mkdir(parents=True)
    (folder / "link").symlink_to(folder / "x")
    added = str(saved(tmp_path / "stars.png", 9))
    given = options(add_style=added, init_from=str(folder / way), checkpoints_dir=str(folder))
    with pytest.raises(UserError, match=r"run itself.*--name"):
        MultiStyle(given, Runtime("cpu"))


def test_a_run_that_there_is_not_gets_no_style(tmp_path, options):
    added = str(saved(tmp_path / "stars.png", 9))
    with pytest.raises(UserError, match="--init_from many"):
        MultiStyle(options(add_style=added, init_from="many"), Runtime("cpu"))


def test_a_folder_without_pictures_is_refused(tmp_path, options):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images"):
        MultiStyle(options(styles=str(tmp_path / "empty")), Runtime("cpu"))


def test_validating_shows_content_output_and_style(method):
    report = method.validation_step(photos(1))
    assert set(report.scalars) == {"val/content", "val/style", "val/tv", "val/loss"}
    (row,) = report.images.values()
    assert [image.shape[2] for image in row] == [32] * 3
