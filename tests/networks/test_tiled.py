import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pix2pix.data.arrays import pad_to_multiple
from pix2pix.errors import UserError
from pix2pix.networks import tiled as tiling
from pix2pix.networks.canvas import PaddedCanvas, TensorCanvas
from pix2pix.networks.conv import Conv, ConvTranspose
from pix2pix.networks.init import build_generator, initialize_weights
from pix2pix.networks.memory_plan import FeatureSizes, choose_plan
from pix2pix.networks.norm import Norm, eval_mode
from pix2pix.networks.tiled import Moments, compute_moments, translate_tiled

CPU = torch.device("cpu")


def network(name="unet_16", *, norm="instance", upsample="transpose", dropout=False, ngf=2, dtype=torch.float64):
    generator = build_generator(name, 2, 3, ngf=ngf, norm=norm, upsample=upsample, dropout=dropout)
    initialize_weights(generator, "kaiming", 1.0, torch.Generator().manual_seed(1))
    for module in generator.modules():
        if isinstance(module, Norm) and norm == "batch":
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    return generator.to(dtype)


def noise(height, width, dtype=torch.float64, count=1):
    return torch.rand(count, 2, height, width, generator=torch.Generator().manual_seed(0), dtype=dtype) * 2 - 1


def tiled(generator, image, tile):
    canvas = TensorCanvas(image, 3)
    canvas.output = canvas.output.to(image.dtype)
    translate_tiled(generator, generator.stages(), generator.multiple, canvas, tile, CPU, torch.contiguous_format)
    return canvas.output


@torch.inference_mode()
def distance(generator, image, tile, statistics="image", dropout=False):
    with eval_mode(generator, statistics=statistics, dropout=dropout):
        torch.manual_seed(5)
        by_tiles = tiled(generator, image, tile)
        torch.manual_seed(5)
        padded, (rows, columns) = pad_to_multiple(image, generator.multiple)
        return (by_tiles - generator(padded)[..., rows, columns]).abs().max().item()


def test_tiles_give_what_the_whole_image_gives():
    assert distance(network(), noise(150, 215), 64) < 1e-10


KINDS = [("instance", "image"), ("batch", "running"), ("batch", "image"), ("none", "image")]


@pytest.mark.parametrize("upsample", ["transpose", "nearest", "bilinear"])
@pytest.mark.parametrize("name", ["unet_16", "encoder_decoder_16", "resnet_6blocks"])
@pytest.mark.parametrize(("norm", "statistics"), KINDS)
@pytest.mark.usefixtures("short_of_memory")
def test_every_generator_norm_and_enlargement_is_exact_with_nothing_kept(name, upsample, norm, statistics):
    generator = network(name, norm=norm, upsample=upsample)
    assert distance(generator, noise(33, 47), 20, statistics) < 1e-10


@pytest.mark.parametrize("name", ["unet_32", "encoder_decoder_16", "resnet_6blocks"])
@pytest.mark.usefixtures("short_of_memory")
def test_dropout_is_drawn_as_for_the_whole_image(name):
    generator = network(name, dropout=True)
    assert distance(generator, noise(37, 65), 20, dropout=True) < 1e-10
    assert distance(generator.to(memory_format=torch.channels_last), noise(37, 65), 20, dropout=True) < 1e-10


@pytest.mark.parametrize("name", ["unet_32", "encoder_decoder_32"])
@pytest.mark.usefixtures("short_of_memory")
def test_dropout_is_the_same_with_layers_in_the_form_that_is_fast(name):
    generator = network(name, upsample="bilinear", dropout=True, ngf=8)
    for layer in generator.modules():
        if isinstance(layer, Conv | ConvTranspose):
            layer.by_product = True  # whose outputs lie in another order
    assert distance(generator, noise(150, 100), 20, dropout=True) < 1e-10


@pytest.mark.usefixtures("short_of_memory")
def test_images_of_a_batch_have_statistics_of_their_own():
    assert distance(network(), noise(40, 33, count=3), 20) < 1e-10


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(3, 40), st.sampled_from([0, 2**14, 2**17, 2**30]))
def test_any_size_tile_and_budget_gives_the_same(height, width, tile, budget):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiling, "MEMORY_BUDGET", budget)
        assert distance(network("unet_8"), noise(height, width), tile) < 1e-10


@pytest.mark.parametrize(("statistics", "limit"), [("image", 1e-3), ("running", 1e-5)])
def test_in_single_precision_tiles_stay_near_the_whole_image(statistics, limit):
    generator = network("unet_32", norm="batch", ngf=8, dtype=torch.float32)
    assert distance(generator, noise(160, 130, torch.float32), 48, statistics) < limit


@pytest.mark.slow
@pytest.mark.parametrize(("statistics", "limit"), [("image", 1e-3), ("running", 1e-5)])
def test_the_papers_network_at_1024_stays_near_the_whole_image(statistics, limit, monkeypatch):
    monkeypatch.setattr(tiling, "MEMORY_BUDGET", 2**27)
    generator = build_generator("unet_256", 2, 3, ngf=64, norm="batch", upsample="transpose", dropout=True)
    initialize_weights(generator, "normal", 0.02, torch.Generator().manual_seed(1))
    assert distance(generator, noise(1024, 1024, torch.float32), 256, statistics, dropout=True) < limit


def test_moments_of_parts_are_those_of_the_whole():
    x = 1000 + torch.randn(2, 3, 20, 31, dtype=torch.float64)
    moments = Moments()
    for part in (x[..., :7, :], x[..., 7:, :5], x[..., 7:, 5:]):
        moments.add(*compute_moments(part))
    assert torch.allclose(moments.mean, x.mean((2, 3)), rtol=1e-12)
    assert torch.allclose(moments.variance, x.var((2, 3), correction=0), rtol=1e-9)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("tile", ["off", 20])
def test_the_generator_gets_its_input_in_the_layout_that_is_asked_for(layout, tile, monkeypatch):
    read, layouts = PaddedCanvas.read, []

    def spied(self, window):
        layouts.append((x := read(self, window)).is_contiguous(memory_format=layout))
        return x

    monkeypatch.setattr(PaddedCanvas, "read", spied)
    generator = network()
    with torch.inference_mode():
        translate_tiled(
            generator, generator.stages(), generator.multiple, TensorCanvas(noise(33, 47), 3), tile, CPU, layout
        )
    assert layouts
    assert all(layouts)


def never(x):
    pytest.fail("translated whole")


def test_an_image_no_larger_than_a_tile_is_translated_whole(monkeypatch):
    monkeypatch.setattr(tiling, "TiledForward", never)
    generator, image = network(), noise(64, 48)
    with torch.inference_mode():
        for tile in (64, "auto", "off"):
            assert torch.equal(tiled(generator, image, tile), generator(image))


@torch.inference_mode()
def test_auto_takes_tiles_where_half_of_the_free_memory_does_not_hold_the_whole(monkeypatch):
    monkeypatch.setattr(tiling, "TILE_SIZES", (48, 16))
    generator, image = network(), noise(64, 64)
    expected = generator(image)
    need = FeatureSizes(generator.stages(), (64, 64), 8).whole().peak
    for free, forward in ((2 * need, generator.forward), (2 * need - 2, never)):
        monkeypatch.setattr(tiling, "free_memory", lambda device, free=free: free)
        generator.forward = forward
        assert torch.allclose(tiled(generator, image, "auto"), expected, atol=1e-10)


@torch.inference_mode()
def test_the_memory_of_all_images_of_a_batch_is_counted(monkeypatch):
    monkeypatch.setattr(tiling, "TILE_SIZES", (48,))
    generator, image = network(), noise(64, 64, count=3)
    expected = generator(image)
    need = FeatureSizes(generator.stages(), (64, 64), 8).whole().peak
    monkeypatch.setattr(tiling, "free_memory", lambda device: 2 * need)
    generator.forward = never
    assert torch.allclose(tiled(generator, image, "auto"), expected, atol=1e-10)


def set_memory(folder, *, available, **group):
    """Write what Linux says of memory, and a container of its own."""
    (folder / "meminfo").write_text(f"MemFree: 1 kB\nMemAvailable:  {available} kB\nBuffers: 7 kB\n")
    for name, value in group.items():
        (folder / f"memory.{name}").write_text(f"{value}\n")


def test_free_memory_is_what_machine_and_container_leave_or_a_guess(tmp_path, monkeypatch):
    assert tiling.free_memory(CPU) > 2**20
    monkeypatch.setattr(tiling, "MEMINFO_FILE", tmp_path / "meminfo")
    monkeypatch.setattr(tiling, "CGROUP_FOLDER", tmp_path)
    assert tiling.free_memory(CPU) == 2**32
    set_memory(tmp_path, available=5000)
    assert tiling.free_memory(CPU) == 5000 * 1024
    set_memory(tmp_path, available=5000, max="max", current=9, stat="active_file 1\ninactive_file 200")
    assert tiling.free_memory(CPU) == 5000 * 1024
    set_memory(tmp_path, available=5000, max=1000, current=900)
    assert tiling.free_memory(CPU) == 300


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
@torch.inference_mode()
def test_out_of_memory_tiles_are_halved_and_the_work_goes_on(error, monkeypatch, caplog):
    real = tiling.compute_window

    def compute(operation, read, window, size):
        if window[0].length * window[1].length > 70 * 70:
            raise error
        return real(operation, read, window, size)

    generator, image = network(), noise(272, 272)
    expected = generator(image)
    monkeypatch.setattr(tiling, "compute_window", compute)
    monkeypatch.setattr(tiling, "SMALLEST_TILE", 16)
    assert torch.allclose(tiled(generator, image, 256), expected, atol=1e-10)
    sides = [int(message.removesuffix(" pixels").rpartition(" ")[2]) for message in caplog.messages]
    assert "136" in caplog.messages[0]
    assert len(sides) <= 3  # not once a window
    assert sides == sorted(sides, reverse=True)


def fail(*arguments):
    raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")


@pytest.mark.parametrize("tile", ["auto", 64])
@torch.inference_mode()
def test_tiles_that_take_over_from_the_whole_image_draw_the_same_dropout(tile, monkeypatch):
    generator, image = network(dropout=True), noise(64, 64)
    torch.manual_seed(5)
    expected = generator(image)

    def late(x):
        torch.rand(9)  # what innermost layers had drawn
        fail()

    generator.forward = late
    torch.manual_seed(5)
    assert torch.allclose(tiled(generator, image, tile), expected, atol=1e-10)


@torch.inference_mode()
def test_out_of_memory_when_a_window_is_decoded_tiles_are_halved(monkeypatch):
    real = TensorCanvas.write

    def write(canvas, rows, columns, image):
        if image.shape[-1] > 70:
            raise MemoryError
        real(canvas, rows, columns, image)

    generator, image = network(), noise(272, 272)
    expected = generator(image)
    monkeypatch.setattr(TensorCanvas, "write", write)
    assert torch.allclose(tiled(generator, image, "auto"), expected, atol=1e-10)


@torch.inference_mode()
def test_out_of_memory_with_the_whole_image_tiles_are_taken(monkeypatch, caplog):
    monkeypatch.setattr(tiling, "TILE_SIZES", (48,))
    generator, image = network(), noise(64, 64)
    expected = generator(image)
    generator.forward = fail
    assert torch.allclose(tiled(generator, image, "auto"), expected, atol=1e-10)
    assert caplog.messages == ["out of memory: using tiles"]


@torch.inference_mode()
def test_out_of_memory_with_the_smallest_tiles_is_the_end(monkeypatch):
    monkeypatch.setattr(tiling, "compute_window", fail)
    with pytest.raises(UserError, match=r"^out of memory.*\d+ pixels"):
        tiled(network(), noise(256, 256), 100)


@pytest.mark.parametrize("dropout", [False, True])
def test_out_of_memory_for_what_is_to_be_kept_it_is_computed_again(dropout, monkeypatch, caplog):
    real = tiling.write_window

    def put(features, x, window, size):
        if size == (16, 16):
            fail()
        return real(features, x, window, size)

    monkeypatch.setattr(tiling, "write_window", put)
    generator, image = network(dropout=dropout), noise(64, 64)
    if dropout:  # which cannot be drawn again
        with pytest.raises(RuntimeError, match="can't allocate memory"):
            distance(generator, image, 32, dropout=True)
    else:
        assert distance(generator, image, 32) < 1e-10
        assert caplog.messages == ["out of memory: recomputing more features"] * 2


@torch.inference_mode()
def test_other_errors_are_not_taken_for_want_of_memory(monkeypatch):
    def broken(*arguments):
        raise RuntimeError("broken")

    monkeypatch.setattr(tiling, "compute_window", broken)
    generator = network()
    with pytest.raises(RuntimeError, match="broken"):
        tiled(generator, noise(256, 256), 128)
    generator.forward = broken
    monkeypatch.setattr(tiling, "TILE_SIZES", (48,))
    with pytest.raises(RuntimeError, match="broken"):
        tiled(generator, noise(64, 64), "auto")


def planned(budget, tile=1024, dropout=True):
    with torch.device("meta"):  # weights of no memory
        generator = build_generator("unet_256", 3, 3, ngf=64, norm="instance", upsample="transpose", dropout=dropout)
    features = FeatureSizes(generator.stages(), (8192, 8192), 4)
    return features, choose_plan(features, tile, budget)


def test_the_more_memory_the_less_is_computed_twice():
    plans = [planned(budget * 2**30)[1] for budget in (1, 2, 8, 64)]
    operations = [plan.operations for plan in plans]
    assert operations == sorted(operations, reverse=True)
    assert all(plan.peak <= budget * 2**30 for plan, budget in zip(plans, (1, 2, 8, 64), strict=True))
    features, plan = planned(2**30 * 64)
    assert plan.operations == features.whole().operations


def test_a_tile_of_half_the_side_takes_less_memory():
    large, middle, small = (planned(0, tile, dropout=False)[1].peak for tile in (1024, 512, 256))
    assert small < middle < large


PEAK = """
import resource, sys, torch
from pix2pix.networks.norm import switched
from pix2pix.networks.init import build_generator
from pix2pix.networks.canvas import TensorCanvas
from pix2pix.networks.tiled import translate
generator = build_generator("unet_256", 3, 3, ngf=16, norm="instance", upsample="transpose", dropout=True)
canvas = TensorCanvas(torch.zeros(1, 3, 3072, 3072), 3)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
tile = sys.argv[1] if sys.argv[1] == "off" else int(sys.argv[1])
with torch.inference_mode(), switched(generator, statistics="image", dropout=True):
    translate(generator, generator.stages(), 256, canvas, tile, torch.device("cpu"), torch.contiguous_format)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_tiles_take_a_third_of_the_memory():
    root = str(Path(__file__).parents[2])
    peaks = []
    for tile in ("off", "512"):
        child = PEAK.replace("import resource", "import pix2pix.networks.tiled as t; t.BUDGET = 2**27\nimport resource")
        command = [sys.executable, "-c", child, tile]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": root}
        )
        peaks.append(int(done.stdout))
    assert peaks[1] < peaks[0] / 3
