import io
import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

import pix2pix
from pix2pix import checkpoint
from pix2pix.checkpoint import CheckpointError
from pix2pix.config.base import OptionError, from_dict
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.data.arrays import to_array, to_tensor
from pix2pix.data.codec import ImageCodec, PairCodec
from pix2pix.data.pillow import to_pil
from pix2pix.errors import UserError
from pix2pix.methods.base import describe_codec
from pix2pix.methods.pix2pix import Pix2Pix
from pix2pix.networks.norm import Norm, eval_mode
from pix2pix.runtime.device import Runtime
from pix2pix.seeds import image_seed, temporary_seed
from pix2pix.training.checkpointing import TrainState, save_checkpoint

load = partial(pix2pix.load, device="cpu")

TINY = {"generator": "unet_16", "ngf": 2, "ndf": 2, "patch": 16, "load_size": 16, "crop_size": 16, "init_gain": 0.3}


def write_run(folder, input_nc=3, output_nc=3, change=lambda method, progress: None, **given):
    """Save what a run of no steps would: random weights."""
    options = from_dict(Pix2PixOptions, {"dataroot": "data", "name": "run", "device": "cpu", **TINY, **given})
    codec = PairCodec(ImageCodec("photo", input_nc), ImageCodec("photo", output_nc))
    method, progress = Pix2Pix(options, Runtime("cpu"), describe_codec(codec)), TrainState(step=4)
    change(method, progress)
    save_checkpoint(method, options, progress, folder, best=True)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with InstanceNorm."""
    return write_run(tmp_path_factory.mktemp("run"))


def move_averages(method, _):
    for norm in (module for module in method.generator.modules() if isinstance(module, Norm)):
        norm.running_mean.fill_(0.3)
        norm.running_var.fill_(2.0)


@pytest.fixture(scope="module")
def batch_run(tmp_path_factory):
    """A run with BatchNorm, whose running averages are unlike any image's statistics."""
    return write_run(tmp_path_factory.mktemp("batch_run"), batch_size=4, change=move_averages)


def noise(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def photo(height, width, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_three_lines_translate_an_image(run):
    image = Image.new("RGB", (40, 30), "teal")
    output = pix2pix.load(run).translate(image)
    assert (output.mode, output.size) == ("RGB", (40, 30))


def test_what_a_checkpoint_says_of_itself_is_at_hand(run):
    translator = load(str(run), epoch="best")
    assert translator.step == 4
    assert translator.options.network.generator == "unet_16"
    assert translator.description["norm"] == "instance"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_a_pil_image_of_any_mode_is_translated_as_its_colors(run, mode):
    translator = load(run)
    image = to_pil(photo(20, 33)).convert(mode)
    output = translator.translate(image)
    assert (output.mode, output.size) == ("RGB", (33, 20))
    assert np.array_equal(np.asarray(output), translator.translate(np.asarray(image.convert("RGB"))))


def test_a_rotated_photo_is_translated_upright(run):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    file = io.BytesIO()
    upright = to_pil(photo(20, 33))
    upright.transpose(Image.Transpose.ROTATE_90).save(file, "PNG", exif=exif)
    translator = load(run)
    output = translator.translate(Image.open(file))
    assert output.size == (33, 20)
    assert np.array_equal(np.asarray(output), np.asarray(translator.translate(upright)))


def test_an_image_of_16_bits_is_refused_where_the_training_had_8(run):
    with pytest.raises(UserError, match=r"uint16.*uint8"):
        load(run).translate(Image.new("I;16", (8, 8)))


@pytest.mark.parametrize(("input_nc", "output_nc", "mode"), [(1, 3, "RGB"), (3, 1, "L"), (4, 4, "RGBA")])
def test_the_output_has_the_channels_that_the_run_was_trained_for(tmp_path, input_nc, output_nc, mode):
    translator = load(write_run(tmp_path, input_nc, output_nc))
    assert translator.translate(to_pil(photo(9, 17))).mode == mode
    assert translator.translate(photo(9, 17, input_nc)).shape == (9, 17, output_nc)
    assert translator.translate(noise(2, input_nc, 9, 17)).shape == (2, output_nc, 9, 17)


def test_arrays_and_tensors_come_back_as_what_they_are(run):
    translator = load(run)
    array = photo(21, 16)
    tensor = to_tensor(array)
    from_array, from_one, from_batch = (translator.translate(image) for image in (array, tensor, tensor[None]))
    assert from_array.dtype == np.uint8
    assert from_one.shape == (3, 21, 16)
    assert from_one.dtype == torch.float32
    assert from_one.abs().max() <= 1
    assert torch.equal(from_batch[0], from_one)
    assert np.array_equal(to_array(from_one), from_array)


def test_a_gray_image_of_a_run_for_gray_keeps_its_axis(tmp_path):
    translator = load(write_run(tmp_path, 1, 1))
    assert translator.translate(photo(9, 17, 1)).shape == (9, 17, 1)
    assert translator.translate(noise(1, 9, 17)).shape == (1, 9, 17)


def check_sizes(run, sizes):
    translator = load(run)
    for height, width in sizes:
        output = translator.translate(noise(3, height, width))
        assert output.shape == (3, height, width)
        assert output.isfinite().all()


def test_any_size_is_kept(run):
    check_sizes(run, [(1, 1), (1, 130), (2, 3), (15, 16), (17, 31), (64, 129), (130, 7), (431, 600), (384, 512)])


def test_a_network_with_reflections_inside_takes_any_size_too(tmp_path):
    check_sizes(write_run(tmp_path, generator="resnet_6blocks"), [(1, 1), (2, 33), (16, 17)])


@pytest.mark.slow
def test_every_size_up_to_130_is_kept(run):
    check_sizes(run, [(side, side) for side in range(1, 131)])
    check_sizes(run, [(side, 131 - side) for side in range(1, 131)])
    check_sizes(run, [(431, 600), (512, 512), (768, 1024)])


@pytest.mark.parametrize("statistics", ["image", "running"])
@pytest.mark.parametrize("size", [(16, 16), (48, 32)])
def test_at_a_multiple_translating_is_calling_the_generator(batch_run, size, statistics):
    translator = load(batch_run, norm_stats=statistics, dropout="off")
    image = noise(1, 3, *size)
    generator = translator.method.generator
    with torch.inference_mode(), eval_mode(generator, statistics=statistics, dropout=False):
        assert torch.equal(translator.translate(image), generator(image))


def test_any_other_size_is_padded_by_reflection_and_cut_out_again(run):
    translator = load(run, dropout="off")
    image = noise(1, 3, 13, 30)
    padded = torch.nn.functional.pad(image, (1, 1, 1, 2), mode="reflect")
    assert torch.equal(translator.translate(image), translator.translate(padded)[..., 1:14, 1:31])


def test_dropout_is_drawn_from_seed_name_and_sample(run):
    image = noise(3, 16, 16)
    translator = load(run)
    output = translator.translate(image, name="a")
    assert torch.equal(translator.translate(image, name="a"), output)
    assert torch.equal(load(run, seed=0).translate(image, name="a"), output)
    others = [
        translator.translate(image, name="b"),
        translator.translate(image, name="a", sample=1),
        load(run, seed=1).translate(image, name="a"),
        load(run, dropout="off").translate(image, name="a"),
    ]
    assert not any(torch.equal(other, output) for other in others)


def test_without_dropout_names_do_not_matter(run):
    translator = load(run, dropout="off")
    image = noise(3, 16, 16)
    assert torch.equal(translator.translate(image, name="a"), translator.translate(image, name="b"))


def test_the_recorded_switches_hold_unless_others_are_given(tmp_path):
    write_run(tmp_path, batch_size=4, norm_stats="running", dropout="off", seed=3)
    recorded, changed = load(tmp_path).options, load(tmp_path, norm_stats="image", dropout="on").options
    assert (recorded.test.norm_stats, recorded.test.dropout, recorded.run.seed) == ("running", "off", 3)
    assert (changed.test.norm_stats, changed.test.dropout, changed.run.seed) == ("image", "on", 3)


def test_running_statistics_are_those_of_the_run(batch_run):
    translator = load(batch_run, norm_stats="running", dropout="off", fast="none")
    norm = next(module for module in translator.method.generator.modules() if isinstance(module, Norm))
    assert norm.running_mean.eq(torch.tensor(0.3)).all()
    image = noise(3, 16, 16)
    assert not torch.equal(translator.translate(image), load(batch_run, dropout="off").translate(image))


def test_running_statistics_are_folded_into_the_convolutions_by_default(batch_run):
    plain, folded = (load(batch_run, norm_stats="running", dropout="off", fast=fast) for fast in ("none", "auto"))
    assert not any(isinstance(module, Norm) for module in folded.method.generator.modules())
    image = noise(3, 16, 16)
    assert torch.allclose(folded.translate(image), plain.translate(image), atol=1e-5)


def test_running_statistics_are_refused_where_the_run_has_none(run):
    with pytest.raises(UserError, match=r"--norm_stats.*BatchNorm"):
        load(run, norm_stats="running").translate(noise(3, 16, 16))


def average_to_zero(method, progress):
    progress.ema = {name: torch.zeros_like(value) for name, value in method.generator.state_dict().items()}


def test_averaged_weights_are_used_where_the_run_kept_them(tmp_path):
    translator = load(write_run(tmp_path, ema=0.9, change=average_to_zero))
    assert torch.equal(translator.translate(noise(3, 16, 16)), torch.zeros(3, 16, 16))


@pytest.mark.parametrize("dropout", ["on", "off"])
def test_images_never_influence_each_other(batch_run, dropout):
    translator = load(batch_run, dropout=dropout)
    images = noise(4, 3, 20, 20)
    alone = torch.stack([translator.translate(image) for image in images])
    order = torch.tensor([2, 0, 3, 1])
    together = translator.translate(images)
    assert torch.allclose(together, alone, atol=1e-6)  # computed in one pass where there is no dropout to draw
    assert torch.allclose(translator.translate(images[order]), alone[order], atol=1e-6)
    images[1] = 1
    assert torch.equal(translator.translate(images)[[0, 2, 3]], together[[0, 2, 3]])


def test_translating_leaves_the_random_state_alone(run):
    translator = load(run)
    before = torch.get_rng_state()
    translator.translate(noise(3, 16, 16))
    assert torch.equal(torch.get_rng_state(), before)


def test_bf16_translates_nearly_as_fp32(run):
    image = noise(3, 32, 32)
    outputs = [load(run, precision=precision).translate(image, name="a") for precision in ("fp32", "bf16")]
    assert outputs[1].dtype == torch.float32
    assert 0 < (outputs[0] - outputs[1]).abs().mean() < 0.02


@pytest.mark.parametrize(
    ("array", "got"),
    [
        (np.zeros((4, 5), np.uint8), "uint8 (4, 5)"),
        (np.zeros((4, 5, 1), np.uint8), "uint8 (4, 5, 1)"),
        (np.zeros((4, 5, 3), np.float32), "float32 (4, 5, 3)"),
        (np.zeros((0, 5, 3), np.uint8), "uint8 (0, 5, 3)"),
    ],
)
def test_an_array_that_is_no_image_of_the_run_is_refused(run, array, got):
    with pytest.raises(UserError) as caught:
        load(run).translate(array)
    assert re.search(rf"{re.escape(got)}.*uint8 \(H, W, 3\)", str(caught.value))


@pytest.mark.parametrize(
    ("tensor", "got"),
    [
        (torch.zeros(4, 5), "torch.float32 (4, 5)"),
        (torch.zeros(1, 4, 5), "torch.float32 (1, 4, 5)"),
        (torch.zeros(2, 1, 3, 4, 5), "torch.float32 (2, 1, 3, 4, 5)"),
        (torch.zeros(3, 4, 5, dtype=torch.uint8), "torch.uint8 (3, 4, 5)"),
        (torch.zeros(0, 3, 4, 5), "torch.float32 (0, 3, 4, 5)"),
    ],
)
def test_a_tensor_that_is_no_image_of_the_run_is_refused(run, tensor, got):
    with pytest.raises(UserError) as caught:
        load(run).translate(tensor)
    assert re.search(rf"{re.escape(got)}.* 3, H, W\)", str(caught.value))


def test_a_style_is_refused_where_there_is_none_to_choose(run):
    with pytest.raises(OptionError) as caught:
        load(run).translate(photo(9, 9), style="a.jpg")
    assert re.search("style:.*pix2pix", str(caught.value))


@pytest.mark.parametrize(
    ("argument", "value", "needed"),
    [
        ("device", "gpu", "auto, cpu, cuda, cuda:N or mps"),
        ("precision", "fp16", "fp32 or bf16"),
        ("norm_stats", "batch", "image or running"),
        ("dropout", False, "on or off"),
        ("tile", 8, "64 to 1048576"),
        ("seed", -1, "4294967296"),
    ],
)
def test_an_argument_that_is_not_allowed_is_answered_with_those_that_are(run, argument, value, needed):
    with pytest.raises(OptionError) as caught:
        load(run, **{argument: value})
    assert re.search(f"load:.*{argument}.*{value!r}.*{needed}", str(caught.value))


def test_a_step_that_is_not_there_is_answered_with_those_that_are(run):
    with pytest.raises(CheckpointError, match=r"'7'.*latest.*4"):
        load(run, epoch=7)


def test_a_checkpoint_of_other_shapes_is_refused(run, tmp_path):
    content = checkpoint.load_file(checkpoint.resolve(run, "latest"))
    content["options"]["network"]["ngf"] = 3
    checkpoint.save_file(checkpoint.checkpoint_path(tmp_path, 4), content)
    with pytest.raises(CheckpointError, match=r"G: .*13 more"):
        load(tmp_path, epoch="4")


def test_the_same_seed_draws_the_same_dropout_as_the_generator_itself(run):
    translator = load(run)
    image, generator = noise(1, 3, 16, 16), translator.method.generator
    with torch.inference_mode(), temporary_seed(image_seed(0, "a"), torch.device("cpu")):
        assert torch.equal(translator.translate(image, name="a"), generator(image))


def test_threads_that_share_a_translator_get_what_each_would_get_alone(batch_run):
    translator = load(batch_run, norm_stats="running", fast="none")
    images = [noise(3, 32, 32, seed=number) for number in range(24)]
    alone = [translator.translate(image, name=str(number)) for number, image in enumerate(images)]
    averages = {name: value.clone() for name, value in translator.method.generator.state_dict().items()}
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda pair: translator.translate(pair[1], name=str(pair[0])), enumerate(images)))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
    after = translator.method.generator.state_dict()
    assert all(torch.equal(averages[name], after[name]) for name in averages)


@pytest.mark.slow  # compiling takes a while
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_network_draws_the_same_dropout(run):
    image = noise(3, 48, 40)
    expected = load(run).translate(image, name="a")
    assert torch.allclose(load(run, compile=True).translate(image, name="a"), expected, atol=1e-4)
