import json
import re
import shutil

import numpy as np
import pytest

from pix2pix.cli import main
from pix2pix.config.tools import EvaluateOptions
from pix2pix.data.io import read_image, write_image

RANDOM = ("--distance_backbone", "squeezenet1_1", "--distance_layer", "fire2", "--distance_weights", "random")


@pytest.fixture(scope="module")
def trained(tiny_data, tmp_path_factory):
    """The folder of the run "run"."""
    home = tmp_path_factory.mktemp("trained")
    network = ("--generator", "unet_16", "--ngf", 2, "--ndf", 2, "--patch", 16, "--init_type", "kaiming")
    data = ("--dataroot", tiny_data, "--load_size", 18, "--crop_size", 16, "--num_workers", 0, "--device", "cpu")
    words = (*data, *network, "--steps", 2, "--name", "run", "--checkpoints_dir", home / "checkpoints")
    assert main(["train", *map(str, words)]) == 0
    return home / "checkpoints"


@pytest.fixture
def ready(tiny, trained):
    """The run, which a test may add to."""
    shutil.copytree(trained, tiny.home / "checkpoints")
    return tiny


def evaluate(*words):
    return main(["evaluate", *map(str, words)])


def by_name(tiny, *words):
    return evaluate("--name", "run", *tiny.places, "--results_dir", tiny.home / "results", "--device", "cpu", *words)


def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def folder_of(path, arrays):
    path.mkdir(parents=True)
    for name, array in arrays.items():
        write_image(path / name, array)
    return path


def photos(count=3, size=(32, 32), seed=0):
    rng = np.random.default_rng(seed)
    return {f"{number}.png": rng.integers(0, 256, (*size, 3), np.uint8) for number in range(1, count + 1)}


def test_a_name_is_enough(ready, capsys):
    assert by_name(ready) == 0
    folder = ready.results()
    out = capsys.readouterr().out.splitlines()
    assert out[1].split() == ["metric", "value", "95", "%", "interval", "better"]
    assert out[2].split()[0] == "L1"
    assert out[2].endswith("lower")
    assert "not computed: FID, KID: no weights of the 2015 Inception network: give --inception FILE" in out
    assert out[-2:] == [str(folder / "metrics.json"), str(folder / "index.html")]
    assert {path.name for path in folder.iterdir()} == {
        *("index.html", "metrics.json", "translation.json", "source", "output", "target")
    }
    found = metrics(folder)
    assert set(found["images"]) == {"7", "8", "9"}
    assert found["translator"]["step"] == 2
    assert found["protocol"]["sizes"] == {"16x16": 3}
    assert found["metrics"]["L1"]["value"] == pytest.approx(np.mean([one["L1"] for one in found["images"].values()]))


def test_the_means_are_those_of_test_py(ready, capsys):
    ready.test()
    said = capsys.readouterr().out.splitlines()[0]
    by_name(ready)
    assert capsys.readouterr().out.splitlines()[0] == said
    found = metrics(ready.results())["metrics"]
    assert said == "3 pairs: " + "  ".join(f"{name} {found[name]['value']:.4f}" for name in ("L1", "PSNR", "SSIM"))


def test_evaluating_twice_gives_the_same_file_and_evaluating_the_folder_the_same_metrics(ready):
    by_name(ready, *RANDOM)
    first = (ready.results() / "metrics.json").read_bytes()
    by_name(ready, *RANDOM)
    assert (ready.results() / "metrics.json").read_bytes() == first
    assert evaluate("--results", ready.results(), "--device", "cpu", *RANDOM) == 0
    again, before = metrics(ready.results()), json.loads(first)
    assert {**again, "asked": None} == {**before, "asked": None}
    assert again["asked"] != before["asked"]
    assert "Frechet distance (squeezenet1_1 fire2, random weights of seed 0)" in again["metrics"]


def test_the_metrics_go_to_tensorboard_at_the_step_of_the_checkpoint(ready):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    by_name(ready, *RANDOM)
    events = EventAccumulator(str(ready.folder() / "tb"))
    events.Reload()
    written = {name: events.Scalars(name) for name in events.Tags()["scalars"] if name.startswith("test/")}
    found = metrics(ready.results())["metrics"]
    assert [(one.step, one.value) for one in written["test/L1"]] == [(2, pytest.approx(found["L1"]["value"]))]
    assert "test/Frechet_distance_squeezenet1_1_fire2_random_weights_of_seed_0" in written
    assert "test/FID" not in written


def test_the_page_shows_the_metrics_and_sorts_by_each_images_own(ready):
    by_name(ready)
    page = (ready.results() / "index.html").read_text()
    found = metrics(ready.results())
    low, high = found["metrics"]["L1"]["interval"]
    row = f'<th scope="row">L1</th><td>{found["metrics"]["L1"]["value"]:.4f}</td><td>{low:.4f} to {high:.4f}</td>'
    assert row in page
    assert f'data-value="{json.dumps(found["images"]["8"]["histogram a"])}"' in page
    assert "no weights of the 2015 Inception network" in page
    assert found["translator"]["sha256"] in page


def test_another_folder_may_be_chosen_and_used_again(ready, tmp_path):
    out = tmp_path / "out"
    assert by_name(ready, "--out", out, "--num_test", 2) == 0
    assert by_name(ready, "--out", out, "--num_test", 1) == 0
    assert set(metrics(out)["images"]) == {"7"}
    assert [path.name for path in (out / "output").iterdir()] == ["7.png"]
    assert not ready.results().exists()


def test_images_compared_with_themselves_are_perfect(tmp_path, capsys):
    results = folder_of(tmp_path / "a", photos())
    lpips = ("--lpips_backbone", "squeezenet1_1", "--lpips_weights", "random")
    out = tmp_path / "out"
    assert evaluate("--results", results, "--truth", results, "--out", out, "--device", "cpu", *RANDOM, *lpips) == 0
    found = {name: metric["value"] for name, metric in metrics(out)["metrics"].items() if "value" in metric}
    assert found.pop("kernel distance (squeezenet1_1 fire2, random weights of seed 0)") <= 0
    assert found == {
        **{name: pytest.approx(0, abs=1e-6) for name in ("L1", "LPIPS (squeezenet1_1, random weights)")},
        "Frechet distance (squeezenet1_1 fire2, random weights of seed 0)": pytest.approx(0, abs=1e-6),
        "PSNR": pytest.approx(100),
        "SSIM": pytest.approx(1),
        **dict.fromkeys(("histogram L", "histogram a", "histogram b"), pytest.approx(1)),
    }
    assert metrics(out)["translator"] is None
    assert {path.name for path in out.iterdir()} == {"metrics.json", "index.html"}


def test_the_page_of_a_folder_links_to_its_images_and_makes_previews_of_what_no_browser_shows(tmp_path):
    array = photos(1)["1.png"]
    results, truth = tmp_path / "a", tmp_path / "b"
    for path in (results / "x/1.png", truth / "x/1.tif"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, array)
    assert evaluate("--results", results, "--truth", truth, "--out", tmp_path / "out") == 0
    page = (tmp_path / "out" / "index.html").read_text()
    assert 'src="../a/x/1.png"' in page
    assert 'src="preview_target/x/1.png"' in page
    assert 'href="../b/x/1.tif"' in page
    assert (read_image(tmp_path / "out" / "preview_target" / "x" / "1.png") == array).all()


def test_label_maps_are_scored_by_their_classes(tmp_path, capsys):
    colours = np.array([(0, 0, 222), (0, 48, 255)], np.uint8)
    maps = {"1.png": colours[np.random.default_rng(0).integers(0, 2, (16, 16))]}
    results = folder_of(tmp_path / "a", maps)
    out = tmp_path / "out"
    assert evaluate("--results", results, "--truth", results, "--out", out, "--palette", "facades") == 0
    found = metrics(out)
    assert found["metrics"]["pixel accuracy"]["value"] == 1
    assert found["metrics"]["class IoU"]["value"] == pytest.approx(2 / 12)
    assert found["classes"]["window"] == {"accuracy": 0, "IoU": 0, "pixels": 0}
    assert "not computed: LPIPS, FID, KID, Frechet distance, kernel distance, histogram L" in capsys.readouterr().out


def test_a_run_of_another_method_has_nothing_to_compare_with(style_runs, error):
    said = error(2, main, ["evaluate", "--name", "johnson", "--checkpoints_dir", str(style_runs), "--device", "cpu"])
    assert re.search("--name johnson.*pix2pix", said)


def test_what_is_in_the_way_is_left_alone(ready, tmp_path, error):
    out = folder_of(tmp_path / "mine", photos(1))
    (out / "source").mkdir()
    said = error(2, by_name, ready, "--out", out)
    assert re.search(f"--out {out}", said)
    assert (out / "source").is_dir()


def test_a_folder_from_elsewhere_needs_a_place_for_its_numbers(tmp_path, error):
    results = folder_of(tmp_path / "a", photos(1))
    assert re.search(f"--results {results}.*--out", error(2, evaluate, "--results", results, "--truth", results))
    assert re.search(f"--results {tmp_path / 'b'}", error(2, evaluate, "--results", tmp_path / "b"))


def test_several_outputs_of_an_image_are_reported_from_a_folder_from_elsewhere(tmp_path, error):
    results = tmp_path / "results"
    folder_of(results / "output_1", photos(1))
    assert re.search(
        f"--results {results}.*`output`.*--results {results / 'output_1'}", error(2, evaluate, "--results", results)
    )


def test_the_numbers_do_not_go_among_the_images_that_are_measured(tmp_path, error):
    results = folder_of(tmp_path / "a", photos(1))
    assert re.search(
        f"--out {results / 'out'}.*{results}",
        error(2, evaluate, "--results", results, "--truth", results, "--out", results / "out"),
    )


def test_a_place_that_cannot_be_written_is_reported_before_all_is_measured(tmp_path, error):
    results = folder_of(tmp_path / "a", photos(1))
    (results / "1.png").write_bytes(b"no image, and nobody looks")
    (tmp_path / "file").write_text("in the way")
    assert re.search(
        f"{tmp_path / 'file' / 'metrics.json'}",
        error(2, evaluate, "--results", results, "--truth", results, "--out", tmp_path / "file"),
    )


def test_a_segmenter_or_a_file_that_cannot_be_used_is_reported_before_anything_is_translated(ready, tmp_path, error):
    (tmp_path / "bad.pth").write_bytes(b"nothing")
    for option in ("inception", "lpips_weights", "distance_weights"):
        assert str(tmp_path / "bad.pth") in error(2, by_name, ready, f"--{option}", tmp_path / "bad.pth")
    assert "--segmenter" in error(2, by_name, ready, "--segmenter", "missing")
    assert not ready.results().exists()


def test_missing_packages_are_reasons_not_errors(ready, tmp_path, monkeypatch):
    monkeypatch.setattr("pix2pix.evaluation.metric_networks.find_spec", lambda name: None)
    files = ("--inception", "x.pth", "--lpips_weights", "y.pth", "--segmenter", "z.onnx", "--palette", "facades")
    assert by_name(ready, *files) == 0
    found = metrics(ready.results())["metrics"]
    way = 'is not installed: pip install -e ".[evaluate]"'
    assert found["FID"] == {"not_computed": f"torch-fidelity {way}"}
    assert found["LPIPS"] == {"not_computed": f"torchmetrics {way}"}
    assert found["class IoU"] == {"not_computed": f"onnxruntime {way}"}


def test_torchvisions_weights_are_used_where_they_lie_and_else_are_a_reason(ready, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    assert by_name(ready, "--distance_backbone", "pseudo_vgg") == 0
    found = metrics(ready.results())["metrics"]
    way = ": give --{}_weights imagenet (torchvision's download)"
    assert found["LPIPS"] == {"not_computed": f"no weights of vgg16{way.format('lpips')}, random or FILE"}
    assert found["kernel distance"] == {
        "not_computed": f"no weights of pseudo_vgg{way.format('distance')}, random or FILE"
    }


def test_a_run_whose_folder_cannot_be_written_is_evaluated_all_the_same(ready, capsys):
    shutil.rmtree(ready.folder() / "tb")
    (ready.folder() / "tb").write_text("in the way")
    assert by_name(ready) == 0
    assert f"TensorBoard: {ready.folder()} cannot be written" in capsys.readouterr().err
    assert (ready.results() / "metrics.json").exists()


def test_test_py_replaces_what_was_measured_before(ready):
    by_name(ready)
    ready.test()
    assert not (ready.results() / "metrics.json").exists()


def test_train_segmenter_is_the_training_of_that_method(tmp_path, capsys, error):
    assert main(["evaluate", "train-segmenter", "--help"]) == 0
    assert "--n_epochs" in capsys.readouterr().out
    words = ["--name", "judge", "--checkpoints_dir", str(tmp_path), "--dataroot", str(tmp_path / "nothing")]
    assert str(tmp_path / "nothing") in error(2, main, ["evaluate", "train-segmenter", *words])


def test_train_segmenter_trains_nothing_else(tmp_path, error):
    words = ["--name", "judge", "--checkpoints_dir", str(tmp_path), "--dataroot", str(tmp_path / "nothing")]
    for model in (["--model", "pix2pix"], ["--model=johnson"]):
        assert re.search("--model.*segmenter", error(2, main, ["evaluate", "train-segmenter", *words, *model]))


def test_a_segmenter_that_was_trained_scores_photos_against_their_labels(tmp_path):
    colours = np.array([(0, 0, 222), (0, 48, 255), (255, 0, 0)], np.uint8)
    labels = {f"{number}.png": colours[np.random.default_rng(number).integers(0, 3, (16, 16))] for number in range(4)}
    data = {"A": photos(4, (16, 16)), "B": dict(zip(photos(4), labels.values(), strict=True))}
    for side, arrays in data.items():
        folder_of(tmp_path / "data" / f"train{side}", arrays)
    here = ("--checkpoints_dir", tmp_path / "runs", "--device", "cpu")
    network = ("--generator", "unet_16", "--ngf", 2, "--load_size", 18, "--crop_size", 16, "--num_workers", 0)
    words = ("--dataroot", tmp_path / "data", "--name", "judge", "--target_palette", "facades", "--steps", 1)
    assert evaluate("train-segmenter", *words, *network, *here) == 0
    places = ("--results", tmp_path / "data" / "trainA", "--truth", tmp_path / "data" / "trainA")
    judged = ("--labels", tmp_path / "data" / "trainB", "--segmenter", "judge", "--out", tmp_path / "out")
    assert evaluate(*places, *judged, *here) == 0
    found = metrics(tmp_path / "out")
    accuracy = found["metrics"]["pixel accuracy"]
    assert accuracy["of_truth"] == accuracy["value"], "outputs and truth are the same photos"
    assert sum(one["pixels"] for one in found["classes"].values()) == 4 * 16 * 16
    assert found["protocol"]["segmentation"]["seen_by"]["name"] == "judge"
    assert len(found["protocol"]["segmentation"]["seen_by"]["sha256"]) == 64


def test_experiments_get_the_path_of_the_numbers(ready):
    from pix2pix.cli.evaluate import run_evaluation

    options = EvaluateOptions(
        name="run",
        checkpoints_dir=str(ready.home / "checkpoints"),
        results_dir=str(ready.home / "results"),
        device="cpu",
    )
    assert run_evaluation(options) == ready.results() / "metrics.json"
