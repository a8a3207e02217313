import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pix2pix import metrics
from pix2pix.config.tools import SegmentationOptions
from pix2pix.data.codec import ImageCodec, PairCodec, rgb_codec
from pix2pix.data.io import write_image
from pix2pix.data.labels import PALETTES, Palette
from pix2pix.errors import UserError
from pix2pix.evaluation.evaluate import build_scorer, evaluate
from pix2pix.evaluation.metric_networks import MetricNetworks, Unavailable
from pix2pix.evaluation.score import TranslationFiles

NOTHING = MetricNetworks(*(Unavailable(f"no {name}") for name in ("segmenter", "inception", "distance", "lpips")))
BRIGHTNESS = SimpleNamespace(  # a network that can be reckoned with: means and halves of the channels
    name="mean colour",
    sha256="0" * 64,
    resize="none",
    features=lambda images: torch.cat([images.mean(dim=(2, 3)), images.mean(dim=(2, 3)) / 2], dim=1),
)
PHOTO = rgb_codec("uint8")


class Judge:
    """A segmenter that takes red for a road and all else for the sky."""

    name, sha256, described = "judge", "1" * 64, {"kind": "of the tests"}
    palette = Palette(("road", "sky", "void"), ((255, 0, 0), (0, 0, 255), (0, 0, 0)), ("void",))

    def classes(self, photos):
        return (photos[:, 0] < 0).long()


def random(shape, seed, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.fixture
def pictures(tmp_path):
    """Make pictures of arrays for output, truth and labels."""

    def made(*triples, suffix=".png"):
        found = []
        for number, arrays in enumerate(triples, start=1):
            paths = []
            for side, array in zip(("output", "truth", "labels"), arrays, strict=False):
                (tmp_path / side).mkdir(exist_ok=True)
                paths.append(tmp_path / side / f"{number}{suffix}")
                write_image(paths[-1], array)
            found.append(TranslationFiles(str(number), *paths, *[None] * (3 - len(paths))))
        return found

    return made


def scorer(codec=None, networks=NOTHING, **given):
    return build_scorer(SegmentationOptions(**given), codec, networks)


def values(evaluation):
    return {name: metric["value"] for name, metric in evaluation.summary.metrics.items() if "value" in metric}


def test_images_compared_with_themselves_are_perfect(pictures):
    photos = [random((32, 33, 3), seed) for seed in range(3)]
    networks = NOTHING._replace(inception=BRIGHTNESS, distance=BRIGHTNESS)
    found = values(evaluate(pictures(*zip(photos, photos, strict=True)), scorer(networks=networks)))
    assert found.pop("KID") == found.pop("kernel distance (mean colour)") <= 0  # it is unbiased, so it may be below
    assert found == {
        "L1": 0,
        "PSNR": pytest.approx(100),
        "SSIM": pytest.approx(1),
        "FID": pytest.approx(0, abs=1e-6),
        "Frechet distance (mean colour)": pytest.approx(0, abs=1e-6),
        "histogram L": 1,
        "histogram a": 1,
        "histogram b": 1,
    }


def test_scores_are_means_over_images_with_intervals_around_them(pictures):
    made = pictures(*((random((12, 12, 3), seed), random((12, 12, 3), seed + 100)) for seed in range(8)))
    evaluation = evaluate(made, scorer())
    for name in ("L1", "PSNR", "SSIM"):
        each = [one.scores[name] for one in evaluation.measured]
        metric = evaluation.summary.metrics[name]
        assert metric["value"] == pytest.approx(np.mean(each))
        low, high = metric["interval"]
        assert min(each) < low < metric["value"] < high < max(each)


def test_one_images_scores_do_not_depend_on_the_others(pictures):
    made = pictures(*((random((12, 12, 3), seed), random((12, 12, 3), seed + 100)) for seed in range(3)))
    networks = NOTHING._replace(distance=BRIGHTNESS)
    together = evaluate(made, scorer(networks=networks)).to_dict()["images"]
    for picture in made:
        alone = evaluate([picture], scorer(networks=networks)).to_dict()["images"]
        assert alone == {picture.name: together[picture.name]}


def test_colors_are_pooled_over_all_images(pictures):
    dark, light = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    evaluation = evaluate(pictures((dark, light), (light, dark)), scorer())
    assert [one.scores["histogram L"] for one in evaluation.measured] == [0, 0]
    assert evaluation.summary.metrics["histogram L"]["value"] == 1
    pooled = evaluation.summary.histograms
    assert sum(pooled["output"]["L"]) == 32
    assert pooled["output"] == pooled["truth"]
    assert len(pooled["output"]["a"]) == pooled["bins"]


def test_what_is_not_computed_is_named_with_the_reason(pictures):
    found = evaluate(pictures((random((12, 12, 3), 0),) * 2), scorer()).summary.metrics
    assert {name: metric["not_computed"] for name, metric in found.items() if "not_computed" in metric} == {
        "LPIPS": "no lpips",
        **dict.fromkeys(("FID", "KID"), "no inception"),
        **dict.fromkeys(("Frechet distance", "kernel distance"), "no distance"),
        **dict.fromkeys(("pixel accuracy", "class accuracy", "class IoU"), "no segmenter"),
    }


def test_a_single_image_is_no_set(pictures):
    networks = NOTHING._replace(inception=BRIGHTNESS)
    found = evaluate(pictures((random((12, 12, 3), 0),) * 2), scorer(networks=networks)).summary.metrics
    assert found["FID"] == found["KID"] == {"not_computed": "distances need at least 2 images"}


def test_photos_are_scored_by_the_classes_that_are_seen_in_them_and_so_is_the_truth(pictures):
    red, blue, black = ([255, 0, 0], [0, 0, 255], [0, 0, 0])
    labels = np.array([[red, red, blue, black]], np.uint8).repeat(4, axis=0)
    truth = np.array([[red, blue, blue, red]], np.uint8).repeat(4, axis=0)  # half of the road is seen
    evaluation = evaluate(
        pictures((labels, truth, labels)),
        scorer(PairCodec(PHOTO, PHOTO), NOTHING._replace(segmenter=Judge()), segmenter="judge"),
    )
    found = evaluation.summary.metrics
    assert found["pixel accuracy"] == {"value": 1, "interval": [1, 1], "of_truth": pytest.approx(2 / 3)}
    assert found["class accuracy"]["of_truth"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["class IoU"]["of_truth"] == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert evaluation.summary.classes == {
        "road": {"accuracy": 1, "IoU": 1, "pixels": 8},
        "sky": {"accuracy": 1, "IoU": 1, "pixels": 4},
    }
    segmentation = evaluation.protocol["segmentation"]
    assert segmentation["seen_by"] == {"name": "judge", "sha256": "1" * 64, "kind": "of the tests"}
    assert (segmentation["classes"], segmentation["ignored"]) == (["road", "sky"], ["void"])
    assert evaluation.measured[0].scores["pixel accuracy"] == 1


def test_label_maps_are_decoded_to_the_nearest_color_and_absent_classes_count_as_0(pictures):
    known = PALETTES["facades"]
    truth = np.array(known.colors[:3], np.uint8)[random((8, 8), 0) % 3]
    output = np.clip(truth.astype(int) + 5, 0, 255).astype(np.uint8)  # as a network's colours are: not quite right
    evaluation = evaluate(pictures((output, truth)), scorer(palette="facades"))
    found = evaluation.summary.metrics
    assert found["pixel accuracy"]["value"] == 1
    assert found["class accuracy"]["value"] == found["class IoU"]["value"] == pytest.approx(3 / 12)
    assert evaluation.protocol["segmentation"]["present"] == list(known.names[:3])
    assert (
        "with k of 12 classes present a perfect segmentation scores k/12"
        in (evaluation.protocol["segmentation"]["absent"])
    )
    assert found["FID"] == found["LPIPS"] == {"not_computed": "the outputs are label maps, not photos"}
    assert evaluation.summary.histograms is None


def test_gray_label_maps_hold_the_numbers_of_classes_without_a_codec_too(pictures, tmp_path):
    (tmp_path / "three.txt").write_text("0 0 0 road\n255 0 0 car\n0 0 255 sky\n")
    truth = np.repeat(np.array([0, 1, 2, 255], np.uint8), 4).reshape(4, 4, 1)
    output = truth.copy()
    output[1, 0] = 2
    found = evaluate(pictures((output, truth)), scorer(palette=str(tmp_path / "three.txt")))
    assert found.summary.metrics["pixel accuracy"]["value"] == pytest.approx(11 / 12), "255 is no class"
    assert [one["pixels"] for one in found.summary.classes.values()] == [4, 4, 4]


def test_label_maps_of_a_run_need_no_palette_given(pictures):
    colours = PALETTES["facades"].colors[:2]
    codec = PairCodec(PHOTO, ImageCodec("labels", 3, palette=colours))
    truth = np.array(colours, np.uint8)[random((8, 8), 0) % 2]
    evaluation = evaluate(pictures((truth, truth)), scorer(codec))
    assert list(evaluation.summary.classes) == ["background", "facade"]
    assert values(evaluation)["class IoU"] == 1
    without = evaluate(pictures((truth, truth)), scorer(PairCodec(PHOTO, ImageCodec("labels", 3))))
    assert without.summary.metrics["class IoU"] == {"not_computed": "the label maps have no palette: give --palette"}


def test_label_maps_without_a_known_color_have_no_scores(pictures):
    white = np.full((4, 4, 3), 255, np.uint8)
    codec = PairCodec(PHOTO, ImageCodec("labels", 3, palette=((0, 0, 0), (0, 0, 255))))
    evaluation = evaluate(pictures((white, white)), scorer(codec))
    assert evaluation.summary.metrics["pixel accuracy"] == {
        "not_computed": "no pixel of the label maps has a counted class"
    }


def test_images_of_more_depth_are_scored_as_test_py_does(pictures):
    codec = PairCodec(PHOTO, ImageCodec("photo", 3, "uint16", low=(0,), high=(4095,)))
    output, truth = (np.minimum(random((12, 12, 3), seed, np.uint16), 4095) for seed in (0, 1))
    found = evaluate(pictures((output, truth)), scorer(codec)).measured[0]
    x, y = (codec.target.encode(array)[None] for array in (output, truth))
    assert found.scores["L1"] == metrics.l1(x, y).item()
    assert found.scores["SSIM"] == metrics.ssim(x, y).item()


def test_pictures_from_elsewhere_may_be_gray_have_alpha_or_more_depth(pictures):
    grey = random((12, 12, 1), 0)
    rgba = np.concatenate([grey.repeat(3, axis=2), np.full_like(grey, 9)], axis=2)
    deep = grey.repeat(3, axis=2).astype(np.uint16) * 257
    for output, truth in ((grey, rgba), (deep, grey)):
        assert values(evaluate(pictures((output, truth)), scorer()))["L1"] == pytest.approx(0, abs=1e-6)


def test_outputs_that_no_eye_sees_are_compared_by_their_values_alone(pictures):
    codec = PairCodec(PHOTO, ImageCodec("photo", 2))
    two, labels = random((12, 12, 2), 0), random((12, 12, 3), 1)
    networks = NOTHING._replace(segmenter=Judge())
    made = pictures((two, two, labels), suffix=".npy")
    evaluation = evaluate(made, scorer(codec, networks, segmenter="judge"))
    assert set(values(evaluation)) == {"L1", "PSNR", "SSIM"}
    reasons = {metric.get("not_computed") for metric in evaluation.summary.metrics.values()}
    assert reasons == {None, "the outputs are neither gray nor RGB photos"}


def refused(call, *arguments):
    with pytest.raises(UserError) as caught:
        call(*arguments)
    return str(caught.value)


def test_what_the_images_are_not_is_refused():
    labels = PairCodec(PHOTO, ImageCodec("labels", 3, palette=((0, 0, 0), (255, 255, 255))))
    assert re.search(
        "--segmenter.*label maps", refused(build_scorer, SegmentationOptions(segmenter="x"), labels, NOTHING)
    )
    assert re.search(
        "--ignore.*--segmenter.*--palette", refused(build_scorer, SegmentationOptions(ignore=("sky",)), None, NOTHING)
    )


def test_a_segmenter_needs_label_maps(pictures):
    judged = scorer(networks=NOTHING._replace(segmenter=Judge()), segmenter="judge")
    assert re.search("--segmenter.*--labels", refused(evaluate, pictures((random((12, 12, 3), 0),) * 2), judged))


def test_partners_of_other_sizes_are_refused(pictures):
    made = pictures((random((12, 12, 3), 0), random((12, 13, 3), 0)))
    assert re.search("12x12.*12x13", refused(evaluate, made, scorer()))


def test_a_truth_of_another_depth_than_the_run_has_is_named(pictures):
    made = pictures((random((12, 12, 3), 0), random((12, 12, 3), 0, np.uint16)))
    assert re.search(f"{made[0].truth}.*uint16.*uint8", refused(evaluate, made, scorer(PairCodec(PHOTO, PHOTO))))
