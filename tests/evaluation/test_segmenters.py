import hashlib
import re
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from pix2pix.checkpoint import resolve
from pix2pix.config.base import from_dict
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.config.segmenter import SegmenterOptions
from pix2pix.data.codec import ImageCodec, PairCodec
from pix2pix.data.labels import Palette
from pix2pix.errors import UserError
from pix2pix.evaluation.segmentation import open_segmenter
from pix2pix.methods.base import describe_codec, translate
from pix2pix.methods.pix2pix import Pix2Pix
from pix2pix.methods.segmenter import Segmenter
from pix2pix.runtime.device import Runtime
from pix2pix.training.checkpointing import TrainState, save_checkpoint

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
PALETTE = Palette(("red", "green", "blue"), COLOURS)
TINY = {"generator": "unet_8", "ngf": 2, "load_size": 16, "crop_size": 16, "init_gain": 0.2, "device": "cpu"}


@pytest.fixture
def colours(tmp_path):
    """Write a palette, and return its file's name."""

    def written(palette=PALETTE):
        file = tmp_path / "palette.txt"
        file.write_text(
            "".join("{} {} {} {}\n".format(*c, n) for n, c in zip(palette.names, palette.colors, strict=True))
        )
        return str(file)

    return written


def photos(*size, count=2):
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def channels_of(photos):
    """Which of red, green and blue is the most, in a photo's pixels: what `network` tells."""
    return photos.argmax(dim=1)


def network(
    path,
    weights=((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    bias=None,
    shape=("n", 3, "h", "w"),
    output=("n", "k", "h", "w"),
    kind=TensorProto.FLOAT,
    last=(),
):
    """Write a 1x1 convolution of a photo, by default the identity, with more nodes after it."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    weights = np.array(weights, dtype)
    bias = np.zeros(len(weights), dtype) if bias is None else np.array(bias, dtype)
    nodes = [helper.make_node("Conv", ["photo", "weights", "bias"], ["logits"]), *last]
    made = helper.make_graph(
        nodes,
        "segmenter",
        [helper.make_tensor_value_info("photo", kind, shape)],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.INT64 if len(output) == 3 else kind, output)],
        [numpy_helper.from_array(weights[..., None, None], "weights"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return str(path)


def opened(given, palette=None, inputs="signed", root="."):
    return open_segmenter(given, checkpoints_dir=root, device="cpu", palette=palette, inputs=inputs)


def refusal(given, *arguments, **options):
    with pytest.raises(UserError) as refused:
        opened(given, *arguments, **options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def write_run(folder, palette=PALETTE, photo=3, best=True):
    options = from_dict(SegmenterOptions, {"model": "segmenter", "dataroot": "d", "name": folder.name, **TINY})
    codec = PairCodec(ImageCodec("photo", photo), ImageCodec("classes", 3, palette=palette.colors))
    folder.mkdir(parents=True)
    method = Segmenter(options, Runtime("cpu"), describe_codec(codec) | {"palette": palette.to_dict()})
    save_checkpoint(method, options, TrainState(step=7), folder, best=best)
    return method


def test_a_run_is_opened_by_its_name_or_its_folder_and_knows_its_classes(tmp_path):
    method = write_run(tmp_path / "runs" / "mine", PALETTE._replace(ignored=("green",)))
    seen = photos(20, 30)
    for given in ("mine", str(tmp_path / "runs" / "mine")):
        segmenter = opened(given, root=tmp_path / "runs")
        assert (segmenter.name, segmenter.palette) == ("mine", PALETTE._replace(ignored=("green",)))
        classes = segmenter.classes(seen)
        assert (classes.shape, classes.dtype) == ((2, 20, 30), torch.int64)
        assert torch.equal(classes, translate(method, seen).argmax(dim=1))
        assert not (classes == 1).any()
    file = resolve(tmp_path / "runs" / "mine", "best")
    assert segmenter.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert segmenter.described == {
        "kind": "run of segmenter",
        "network": "unet_8, ngf 2",
        "checkpoint": "best, step 7",
        "classes": 3,
    }


def test_a_run_without_a_best_checkpoint_gives_its_latest(tmp_path):
    write_run(tmp_path / "mine", best=False)
    assert opened("mine", root=tmp_path).described["checkpoint"] == "latest, step 7"


def test_the_palette_of_a_run_may_be_named_again(tmp_path, colours):
    write_run(tmp_path / "mine")
    assert opened("mine", colours(), root=tmp_path).palette == PALETTE
    said = refusal("mine", "facades", root=tmp_path)
    assert re.search(f"--palette.*facades.*--segmenter {tmp_path}/mine", said)


def test_runs_that_are_no_segmenters_of_rgb_are_refused(tmp_path):
    options = from_dict(Pix2PixOptions, {"dataroot": "d", "name": "other", "gan_mode": "none", **TINY})
    photo = ImageCodec("photo", 3)
    (tmp_path / "other").mkdir()
    save_checkpoint(
        Pix2Pix(options, Runtime("cpu"), describe_codec(PairCodec(photo, photo))),
        options,
        TrainState(step=7),
        tmp_path / "other",
        best=True,
    )
    said = refusal("other", root=tmp_path)
    assert re.search(f"--segmenter {tmp_path}/other.*pix2pix.*segmenter", said)
    write_run(tmp_path / "grey", photo=1)
    assert re.search("/grey.*1 channels", refusal("grey", root=tmp_path))
    assert re.search(f"--segmenter.*{tmp_path}/none", refusal("none", root=tmp_path))


def test_an_onnx_file_tells_the_classes_of_its_logits(tmp_path, colours):
    file = network(tmp_path / "s.onnx")
    segmenter = opened(file, colours())
    seen = photos(20, 30)
    assert torch.equal(segmenter.classes(seen), channels_of(seen))
    assert (segmenter.name, segmenter.palette) == ("s.onnx", PALETTE)
    assert segmenter.sha256 == hashlib.sha256((tmp_path / "s.onnx").read_bytes()).hexdigest()
    assert segmenter.described == {"kind": "ONNX, on the CPU", "input": "signed", "resized": "no", "classes": 3}


def test_half_floats_are_fed_as_such(tmp_path, colours):
    seen = photos(8, 8)
    segmenter = opened(network(tmp_path / "s.onnx", kind=TensorProto.FLOAT16), colours())
    assert (segmenter.classes(seen) == channels_of(seen)).float().mean() > 0.97  # some become equal


def test_a_network_may_give_classes_itself(tmp_path, colours):
    last = [helper.make_node("ArgMax", ["logits"], ["classes"], axis=1, keepdims=0)]
    segmenter = opened(network(tmp_path / "s.onnx", output=("n", "h", "w"), last=last), colours())
    seen = photos(20, 30)
    assert torch.equal(segmenter.classes(seen), channels_of(seen))
    assert segmenter.described["classes"] == 3


@pytest.mark.parametrize(
    ("inputs", "level", "seen_as"), [("signed", 0.5, 0.0), ("unit", 0.5, 0.5), ("imagenet", 0.485, 0.0)]
)
def test_photos_are_as_the_network_expects_them(tmp_path, colours, inputs, level, seen_as):
    """It says green where red is above a level, of [0, 1], that the network sees as another number."""
    file = network(tmp_path / "s.onnx", [[0, 0, 0], [1, 0, 0], [0, 0, 0]], [seen_as, 0, -9])
    red = torch.tensor([[level - 0.02, level + 0.02]])
    photo = torch.stack([red, red * 0, red * 0])[None] * 2 - 1
    assert opened(file, colours(), inputs).classes(photo).tolist() == [[[0, 1]]]


def test_a_network_of_one_size_is_shown_photos_of_that_size(tmp_path, colours):
    file = network(tmp_path / "s.onnx", shape=(1, 3, 8, 12), output=(1, 3, 8, 12))
    segmenter = opened(file, colours())
    assert segmenter.described["resized"] == "photos to 8x12 (height x width), bilinear; classes back, nearest"
    corners = torch.eye(3)[[0, 1, 2, 0]].T.reshape(1, 3, 2, 2)  # a quarter each: red, green, blue, red
    photo = corners.repeat_interleave(10, dim=2).repeat_interleave(9, dim=3)  # (1, 3, 20, 18)
    expected = torch.tensor([[0, 1], [2, 0]]).repeat_interleave(10, dim=0).repeat_interleave(9, dim=1)
    classes = segmenter.classes(photo)
    assert classes.shape == (1, 20, 18)
    assert (classes[0] == expected).float().mean() > 0.9
    assert torch.equal(classes[0, ::19, ::17], expected[::19, ::17])


def test_classes_of_a_coarser_grid_are_brought_to_the_photos_size(tmp_path, colours):
    last = [helper.make_node("MaxPool", ["logits"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4])]
    segmenter = opened(network(tmp_path / "s.onnx", last=last), colours())
    photo = torch.eye(3).T.reshape(1, 3, 1, 3).repeat_interleave(8, dim=2).repeat_interleave(4, dim=3)
    assert segmenter.classes(photo).tolist() == [[[0] * 4 + [1] * 4 + [2] * 4] * 8]


def test_classes_of_the_palette_that_a_network_lacks_are_ignored(tmp_path):
    segmenter = opened(network(tmp_path / "s.onnx"), "facades")
    assert segmenter.palette.names[:3] == ("background", "facade", "window")
    assert segmenter.palette.ignored == segmenter.palette.names[3:]
    cityscapes = opened(network(tmp_path / "s.onnx"), "cityscapes").palette
    assert len(set(cityscapes.ignored)) == len(cityscapes.ignored) == 26


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"shape": ("n", 4, "h", "w"), "weights": np.eye(4)}, r"\(n, 4, h, w\).*\(1, 3, h, w\)"),
        ({"shape": (2, 3, 8, 8)}, r"\(2, 3, 8, 8\).*\(1, 3, h, w\)"),
        ({"weights": np.ones((4, 3))}, "4 classes.*--palette"),
        ({"weights": np.ones((1, 3))}, "1 classes.*--palette"),
        (
            {"last": [helper.make_node("Flatten", ["logits"], ["flat"])], "output": ("n", "m")},
            "196608",
        ),
    ],
)
def test_networks_of_other_shapes_are_refused(tmp_path, colours, given, message):
    said = refusal(network(tmp_path / "s.onnx", **given), colours())
    assert re.search(rf"--segmenter {tmp_path}/s\.onnx.*{message}", said)


class FailsOnOneRow(onnxruntime.InferenceSession):
    """A session that fails on photos of one row, as no network of onnxruntime does on every version of it."""

    def run(self, names, feed):
        if any(array.shape[2] == 1 for array in feed.values()):
            raise RuntimeError("one row\nis too few")
        return super().run(names, feed)


def test_a_photo_that_a_network_fails_on_is_named_by_its_size(tmp_path, colours, monkeypatch):
    monkeypatch.setattr(onnxruntime, "InferenceSession", FailsOnOneRow)
    segmenter = opened(network(tmp_path / "s.onnx"), colours())
    assert segmenter.classes(photos(2, 4)).shape == (2, 2, 4)
    with pytest.raises(UserError, match=r"s\.onnx .*1x4.* one row$"):
        segmenter.classes(photos(1, 4))


def test_files_that_are_no_networks_are_refused(tmp_path, colours):
    (tmp_path / "s.onnx").write_bytes(b"no network")
    assert re.search(rf"--segmenter {tmp_path}/s\.onnx.*open", refusal(str(tmp_path / "s.onnx"), colours()))
    assert re.search(r"--segmenter none\.onnx", refusal("none.onnx", colours()))
    assert re.search(r"--segmenter s\.onnx.*--palette", refusal("s.onnx"))


def test_without_onnxruntime_its_name_is_reported(tmp_path, colours, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    said = refusal(network(tmp_path / "s.onnx"), colours())
    assert re.search(rf"--segmenter {tmp_path}/s\.onnx.*onnxruntime.*\.\[evaluate\]", said)
