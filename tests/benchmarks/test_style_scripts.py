import json
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

import pix2pix
from benchmarks import alpha, feed_forward, gatys, many_styles, pictures
from pix2pix.images import to_array, write
from pix2pix.methods.feed_forward import FeedForwardLoss, read_paintings
from pix2pix.methods.objective import Objective
from pix2pix.options import PhotoOptions
from pix2pix.runtime import Runtime

SHALLOW = {"weights": "random", "rescaled": False, "content_layers": ("relu1_2",), "style_layers": ("relu2_1",)}
LITTLE = ("--dataroot", "generated", "--weights", "random", "--size", 32, "--limit", 2, "--device", "cpu")


def words(*flags):
    return [str(flag) for flag in flags]


@pytest.fixture
def task():
    return feed_forward.Task(gatys.picture(None, 0, 32), gatys.picture(None, 1, 32), "random", "cpu")


@pytest.fixture
def paintings(tmp_path, monkeypatch):
    """The folder that the runs' pictures lie in, with a red one and a facade in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paintings").mkdir()
    write(tmp_path / "red.png", to_array(gatys.picture(None, 1, 32)[0]))
    for number in (2, 3, 4):
        write(tmp_path / "paintings" / f"{number}.png", to_array(gatys.picture(None, number, 32)[0]))
    return tmp_path


@pytest.mark.parametrize("script", [feed_forward, alpha, many_styles])
def test_help_tells_what_is_measured(script, capsys):
    with pytest.raises(SystemExit) as ended:
        script.main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert f"python -m {script.__name__}" in shown
    assert " ".join(script.__doc__.split()) in " ".join(shown.split())


@pytest.mark.slow
def test_an_iteration_of_gatys_lowers_the_loss(task):
    iterate = feed_forward.build("gatys", task)
    losses = [iterate()[0]["loss/total"] for _ in range(4)]
    assert losses[-1] < losses[0]


def test_networks_paint_the_whole_image(task):
    assert feed_forward.build("johnson", task)().shape == task.content.shape


@pytest.mark.slow
def test_a_style_that_is_at_hand_gives_the_painting_of_one_that_is_encoded_anew(task):
    torch.manual_seed(0)
    anew = feed_forward.build("adain", task)()
    torch.manual_seed(0)
    torch.testing.assert_close(feed_forward.build("adain, known style", task)(), anew)


def test_a_line_of_the_table_tells_iterations_time_ratio_and_memory():
    record = {
        **{"size": 256, "method": "gatys", "iterations": 300},
        "spread": {"least": 100, "lower": 150, "median": 200, "upper": 250},
        "ratio": {"medians": 1.0, "rounds": 1.0, "least": 1.0, "lower": 1.0, "upper": 1.0},
        "memory": {"peak": 2e9, "growth": 1e9},
    }
    assert feed_forward.row(record) == [
        *("256", "gatys, 300 iterations", "200,000", "150,000 - 250,000", "1.0 / 1.0 / 1.0", "2.00 / 1.00")
    ]


@pytest.mark.slow
def test_weights_that_do_not_exist_are_refused(tmp_path, capsys):
    assert feed_forward.main(["--weights", str(tmp_path / "none.pth"), "--sizes", "32"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.slow
def test_gatys_takes_its_iterations_times_one(tmp_path, capsys):
    flags = ("--sizes", 32, "--rounds", 1, "--iterations", 7, "--threads", 1, "--device", "cpu")
    assert feed_forward.main(words(*flags, "--json", tmp_path / "found.json")) == 0
    found = json.loads((tmp_path / "found.json").read_text())["results"]
    assert [one["method"] for one in found] == list(feed_forward.SIDES)
    assert [one["iterations"] for one in found] == [7, 1, 1, 1]
    assert found[1]["ratio"]["medians"] == pytest.approx(found[0]["seconds"][0] / found[1]["seconds"][0])
    assert "| gatys, 7 iterations | " in capsys.readouterr().out


def test_photos_are_those_held_out_unless_others_are_given(tmp_path):
    for number in range(5):
        write(tmp_path / f"{number}.png", to_array(gatys.picture(None, number, 32)[0])[: 20 + number])
    data = PhotoOptions(dataroot=str(tmp_path), load_size=20, crop_size=(16, 16), val_fraction=0.4)
    held_out = pictures.photographs(data, None, None, None)
    assert len(held_out) == 2
    assert {min(photo.shape[-2:]) for photo in held_out} == {16}
    given = pictures.photographs(data, str(tmp_path), 24, 4)
    assert [photo.shape[-2:] for photo in given] == [(24, round(32 * 24 / (20 + number))) for number in range(4)]


def test_a_run_that_held_nothing_out_needs_photos(tmp_path):
    write(tmp_path / "1.png", to_array(gatys.picture(None, 1, 32)[0]))
    with pytest.raises(pix2pix.errors.UserError) as refused:
        pictures.photographs(PhotoOptions(dataroot=str(tmp_path), val_fraction=0), None, None, None)
    assert str(refused.value) == "the run held out no photos for validation: give others by --dataroot"


def test_the_verdict_counts_the_pairs_that_go_one_way():
    traded = alpha.Pair([5, 4, 3, 2, 1], [1, 2, 3, 4, 5])
    stuck = alpha.Pair([5, 4, 3, 2, 2], [1, 2, 3, 4, 5])
    back = alpha.Pair([5, 4, 3, 2, 1], [1, 2, 3, 4, 3])
    assert [pair.is_traded for pair in (traded, stuck, back)] == [True, False, False]
    assert alpha.summary([traded, stuck]) == alpha.Pair([5, 4, 3, 2, 1.5], [1, 2, 3, 4, 5])
    assert alpha.verdict([traded, stuck]).endswith(": yes; so do those of 1 of 2 pairs.")
    assert alpha.verdict([back]).endswith(": no; so do those of 0 of 1 pairs.")


def small(options):
    """The options of a run, with an objective that takes a moment."""
    features = options.features.model_copy(update=SHALLOW)
    data = options.data.model_copy(update={"crop_size": (32, 32)})
    return options.model_copy(update={"features": features, "data": data})


@pytest.mark.slow
def test_at_alpha_0_the_style_changes_nothing_and_so_no_distance(style_runs):
    method = pix2pix.load(style_runs / "adain", device="cpu", fast="none").method
    method.options = small(method.options)
    method.description["units"] = [{}, dict.fromkeys(method.options.features.style_layers, 2.0)]
    torch.manual_seed(0)
    for layer in method.encoder.modules():
        if isinstance(layer, nn.Conv2d):  # features of weights that are too small do not differ
            nn.init.kaiming_normal_(layer.weight)
    content, *styles = (gatys.picture(None, number, 16) for number in range(3))
    one, other = alpha.trade_off(method, Objective(method.options.features, method.runtime), [content], styles)
    assert one.distances[0] != other.distances[0]
    assert one.distances[-1] == other.distances[-1]
    assert one.style_losses[-1] != other.style_losses[-1]


@pytest.mark.slow
def test_painting_nothing_costs_no_content_and_painting_the_style_itself_no_style(style_runs, paintings):
    many = pix2pix.load(style_runs / "conditional", device="cpu")
    (painting,) = read_paintings([paintings / "red.png"], 32, 2**20, "johnson")
    objective = FeedForwardLoss(small(many.options), Runtime("cpu"), [painting])
    measure = partial(many_styles.losses, objective=objective, style=0, photos=[gatys.picture(None, 0, 32)])
    unpainted, painted = measure(lambda photo: photo), measure(lambda photo: painting.picture)
    assert unpainted["content"] == 0 < painted["content"]
    assert painted["style"] < 1e-6 < unpainted["style"]
    assert unpainted["total"] == pytest.approx(many.options.beta * unpainted["style"])


@pytest.mark.slow
def test_styles_of_one_network_are_compared_with_their_own(style_runs, paintings):
    many, single = (pix2pix.load(style_runs / name, device="cpu") for name in ("conditional", "johnson"))
    (found,) = many_styles.compare(many, [single], small(many.options), [gatys.picture(None, 0, 32)])
    assert found["style"] == "red"
    assert found["ratio"] == found["conditional"]["total"] / found["johnson"]["total"]
    assert [line[:3] for line in many_styles.rows(found)] == [["red", "johnson", "4"], ["red", "conditional", "4"]]


@pytest.mark.slow
def test_what_alpha_trades_is_measured_and_told(style_runs, paintings, capsys):
    flags = ("--name", "adain", "--checkpoints_dir", style_runs, "--styles", "paintings", *LITTLE)
    assert alpha.main(words(*flags, "--json", "found.json")) == 0
    found = json.loads(Path("found.json").read_text())
    assert found["alphas"] == [1, 0.75, 0.5, 0.25, 0]
    assert len(found["pairs"]) == 4  # 2 photos in 2 styles
    shown = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in shown[2:7]] == ["| 1", "| 0.75", "| 0.5", "| 0.25", "| 0"]


@pytest.mark.slow
def test_many_styles_are_measured_and_told(style_runs, paintings, capsys):
    flags = ("--conditional", "conditional", "--johnson", "johnson:4", "--checkpoints_dir", style_runs)
    assert many_styles.main(words(*flags, *LITTLE, "--json", "found.json")) == 0
    (found,) = json.loads(Path("found.json").read_text())["results"]
    assert found["style"] == "red"
    assert "| red | conditional | 4 | " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("script", "flags", "message"),
    [
        (alpha, ("--name", "johnson"), "--name johnson is a run of johnson: one of adain is needed"),
        (
            many_styles,
            ("--conditional", "adain", "--johnson", "johnson"),
            "--conditional adain is a run of adain: one of conditional is needed",
        ),
        (
            many_styles,
            ("--conditional", "conditional", "--johnson", "adain"),
            "--johnson adain is a run of adain: one of johnson is needed",
        ),
    ],
)
def test_runs_of_other_methods_are_refused(style_runs, script, flags, message, capsys):
    assert script.main(words(*flags, "--checkpoints_dir", style_runs, *LITTLE)) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def test_a_style_that_the_other_network_lacks_is_refused(style_runs):
    many, single = (pix2pix.load(style_runs / name, device="cpu") for name in ("conditional", "johnson"))
    single.description = single.description | {"styles": ["green"]}
    with pytest.raises(pix2pix.errors.UserError) as refused:
        many_styles.style_file(single, many)
    assert str(refused.value) == (
        "--johnson johnson paints green, and --conditional paints red, blue: give a run of one of these"
    )
