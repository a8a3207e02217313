import pytest

from pix2pix.config.base import OptionError, from_dict, get_values
from pix2pix.config.experiment import load_experiment, load_scale
from pix2pix.config.parse import parse_experiment
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.evaluation.experiment import expand_grid

GRID = """
base: base.yaml
seeds: [0, 1]
changes: {ndf: 4, small: {ndf: 3}}
grid:
  objective: {L1: {gan_mode: none}, style: {lambda_style: 10, small: {lambda_style: 5}}}
  noise: {with: {}, without: {evaluate: {dropout: off}}}
"""


@pytest.fixture
def grid(tmp_path):
    """The cells of an experiment, for the words after its name."""
    (tmp_path / "scales").mkdir()
    (tmp_path / "scales" / "small.yaml").write_text("steps: 20\nngf: 2\nndf: 2\n")
    (tmp_path / "base.yaml").write_text("dataroot: d\nngf: 8\nname: other\nseed: 7\n")
    file = tmp_path / "ours.yaml"

    def made(words="", text=GRID):
        file.write_text(text)
        asked = parse_experiment([str(file), *words.split()])
        return expand_grid(load_experiment(str(file)), load_scale(str(file), asked.options.scale), asked)

    return made


def test_the_cells_are_the_product_of_the_axes_seed_by_seed(grid):
    found = grid()
    points = [("L1", "with"), ("L1", "without"), ("style", "with"), ("style", "without")]
    assert [(cell.labels, cell.seed) for cell in found] == [(point, seed) for seed in (0, 1) for point in points]
    assert [cell.options.run.seed for cell in found] == [0] * 4 + [1] * 4
    assert found[5].options.run.name == f"ours_{found[5].name}" == "ours_L1 without_1"
    assert [cell.evaluate for cell in found[:2]] == [{}, {"dropout": "off"}]


def test_nearer_options_win_over_farther_ones(grid):
    at_paper, at_small, typed = (grid(words)[2].options for words in ("", "--scale small", "--scale small --ndf 9"))
    assert (at_paper.network.ngf, at_paper.network.ndf, at_paper.train.steps, at_paper.loss.lambda_style) == (
        8,
        4,
        None,
        10,
    )
    assert (at_small.network.ngf, at_small.network.ndf, at_small.train.steps, at_small.loss.lambda_style) == (
        2,
        3,
        20,
        5,
    )
    assert get_values(typed) == get_values(at_small) | {"ndf": 9}
    assert grid()[2].options == from_dict(
        Pix2PixOptions,
        {"dataroot": "d", "ngf": "8", "ndf": "4", "lambda_style": "10", "name": "ours_style with_0"},
    )


def test_the_command_line_wins_over_what_all_change_in_evaluating_too(grid):
    text = GRID.replace("changes: {", "changes: {evaluate: {num_test: 9}, ")
    assert [cell.evaluate["num_test"] for cell in grid("--num_test 3 --seeds 4", text)] == [3] * 4


@pytest.mark.parametrize(
    ("flags", "option", "axis"),
    [
        ("--gan_mode hinge", "gan_mode", "objective"),
        ("--scale small --lambda_style 1", "lambda_style", "objective"),
        ("--dropout on", "dropout", "noise"),
    ],
)
def test_what_choices_differ_in_is_not_given_for_all(grid, flags, option, axis):
    with pytest.raises(OptionError, match=f"^--{option}: .*{axis}"):
        grid(flags)


def test_an_option_of_features_is_given_to_the_runs_that_compare_features(grid):
    backbones = {cell.labels[0]: cell.options.features.backbone for cell in grid("--backbone vgg16")}
    assert backbones == {"L1": "vgg19", "style": "vgg16"}
    layers = {cell.labels[0]: cell.options.features.style_layers for cell in grid("--style_layers relu1_1")}
    assert layers == {"L1": None, "style": ("relu1_1",)}


def test_an_option_that_no_run_reads_is_an_error(grid):
    with pytest.raises(OptionError, match="--content_layers: "):
        grid("--content_layers relu1_1")


LONG = "x" * 200


@pytest.mark.parametrize(
    ("grid_text", "named"),
    [
        ("{a: {b c: {}, b: {}}, d: {e: {}, c e: {}}}", ["b c + e", "b + c e", "b c e_0"]),
        ("{a: {GAN: {}, gan: {}}}", ["GAN and gan", "gan_0"]),
        ("{a: {b: {evaluate: {norm_stats: running}}}}", ["b: --norm_stats running", "--norm batch"]),
        ("{a: {b: {evaluate: {segmenter_input: unit}}}}", ["b: --segmenter_input", "--segmenter FILE.onnx"]),
        ("{a: {b: {target_kind: labels, evaluate: {segmenter: eyes}}}}", ["b: --segmenter"]),
        ("{a: {b: {gan_mode: none, lambda_l1: 0}}}", ["b: ", "--gan_mode none", "--lambda_l1"]),
        (f"{{a: {{{LONG}: {{}}}}}}", [f"{LONG}: got 'ours_", "200 bytes"]),
    ],
)
def test_a_grid_that_cannot_run_is_an_error_that_names_the_choice_and_the_option(grid, tmp_path, grid_text, named):
    with pytest.raises(OptionError) as caught:
        grid(text=f"base: base.yaml\ngrid: {grid_text}")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'ours.yaml'}: ")
    assert [word for word in named if word not in message] == []


def test_a_missing_option_is_an_error_that_names_the_cell(grid, tmp_path):
    (tmp_path / "base.yaml").write_text("ngf: 8\n")
    with pytest.raises(OptionError, match="L1 with: --dataroot is missing"):
        grid()
