import json
import os
import re
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from pix2pix.cli import main
from pix2pix.cli.style_jobs import get_job_name, list_jobs, load_images
from pix2pix.config.gatys import GatysOptions
from pix2pix.config.parse import parse
from pix2pix.config.yaml import load_yaml
from pix2pix.data.arrays import resize
from pix2pix.data.codec import read_rgb
from pix2pix.data.io import read_image, write_image
from pix2pix.methods import gatys
from pix2pix.methods.gatys import Reconstruction
from pix2pix.runtime.device import NonFiniteError


class Untrained:
    """In place of an Objective: what it says of itself, and no network."""

    def __init__(self, options, runtime, seed=0):
        self.options, self.runtime = options, runtime
        self.extractor = SimpleNamespace(smallest_side=1)
        self.description = {
            "backbone": options.backbone,
            "weights": "random, seed 0",
            "weights_sha256": "5e" * 32,
            "content_layers": ",".join(("relu4_2",) if options.content_layers is None else options.content_layers),
            "style_layers": ",".join(("relu1_1", "relu2_1") if options.style_layers is None else options.style_layers),
        }


def halved(pictures, objective, options, on_step):
    """In place of the optimisation: a picture between content and first style, in as many steps as asked for."""
    content, style = pictures.content, pictures.styles[0]
    image = (content + torch.nn.functional.interpolate(style, content.shape[-2:])) / 2
    total = options.optimize.iterations
    for number in range(1, total + 1):
        scalars = {"loss/total": 1 / number, "loss/content": 0.5 / number, "loss/style": 0.5 / number}
        on_step(gatys.OptimizationStep(number, total, scalars, lambda: image))
    return image


@pytest.fixture
def easel(tmp_path, monkeypatch):
    """Two pictures, a style, and commands that need no backbone."""
    generator = np.random.default_rng(0)
    for name, size in {"tower": (24, 32), "lake": (20, 16), "scream": (18, 18)}.items():
        folder = tmp_path / ("style" if name == "scream" else "content")
        folder.mkdir(exist_ok=True)
        write_image(folder / f"{name}.png", generator.integers(0, 256, (*size, 3), dtype=np.uint8))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pix2pix.methods.feature_loss.FeatureLoss", Untrained)
    monkeypatch.setattr("pix2pix.methods.gatys.optimize_image", halved)
    return tmp_path


def paint(*arguments, content="content/tower.png", style="style/scream.png", model="gatys"):
    words = ["--model", model, "--content", content, "--style", style, "--device", "cpu", "--image_size", 16]
    return main(["test", *map(str, [*words, "--iterations", 4, "--log_every", 2, "--show_every", 2, *arguments])])


def options_of(*arguments):
    return parse(list(map(str, arguments)), GatysOptions, program="test.py").options


def opened_with(*arguments, content="content/tower.png", style="style/scream.png"):
    options = options_of("--content", content, "--style", style, *arguments)
    return load_images(list_jobs(options)[0], options)


def test_a_content_is_drawn_in_the_style_of_a_style(easel, capsys):
    assert paint() == 0
    folder = Path("results/tower_scream")
    assert capsys.readouterr().out == f"{folder}/index.html\n"
    painted = read_image(folder / "output" / "tower_scream.png")
    assert painted.shape == (12, 16, 3)
    assert {path.name for path in folder.iterdir()} == {
        "content",
        "style",
        "output",
        "log",
        "index.html",
        "options.yaml",
    }
    page = (folder / "index.html").read_text()
    for label in ("content", "style", "output"):
        assert f'src="{label}/tower_scream.png"' in page


def test_the_options_that_it_leaves_paint_the_same_again(easel):
    assert paint("--init", "style") == 0
    painted = read_image("results/tower_scream/output/tower_scream.png")
    assert main(["test", "results/tower_scream/options.yaml", "--name", "again"]) == 0
    assert np.array_equal(read_image("results/again/output/tower_scream.png"), painted)
    assert load_yaml("results/again/options.yaml") | {"run": {}} == load_yaml("results/tower_scream/options.yaml") | {
        "run": {}
    }


def test_the_picture_says_how_it_was_made(easel):
    assert paint("--seed", 7) == 0
    with Image.open("results/tower_scream/output/tower_scream.png") as image:
        said = image.text
    options = json.loads(said["options"])
    assert (options["model"], options["run"]["seed"], options["data"]["style"]) == ("gatys", 7, "style/scream.png")
    assert said["Software"].startswith("pix2pix ")
    assert said["iterations"] == "4 of 4"
    assert (said["backbone"], said["weights"], said["weights_sha256"]) == ("vgg19", "random, seed 0", "5e" * 32)


def test_a_picture_of_a_folder_says_which_one_it_was_made_of(easel):
    assert paint(content="content", style="style") == 0
    for name in ("lake", "tower"):
        with Image.open(f"results/content_style/output/{name}_scream.png") as image:
            data = json.loads(image.text["options"])["data"]
        assert (data["content"], data["style"]) == (f"content/{name}.png", "style/scream.png")


def test_losses_and_pictures_are_logged(easel, capsys):
    assert paint() == 0
    log = Path("results/tower_scream/log/tower_scream")
    lines = [json.loads(line) for line in (log / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 4]
    assert lines[1] == {"step": 2, "loss/total": 0.5, "loss/content": 0.25, "loss/style": 0.25}
    assert len(list((log / "tb").iterdir())) == 1
    assert "step 4/4  total 0.250" in capsys.readouterr().err
    assert paint() == 0  # another log takes its place
    assert len((log / "metrics.jsonl").read_text().splitlines()) == 3
    assert len(list((log / "tb").iterdir())) == 1


def test_it_begins_by_telling_what_judges_the_picture(easel, capsys):
    assert paint("--weights", "random", model="swag") == 0
    said = capsys.readouterr().err.splitlines()
    assert said[:4] == [
        f"backbone: resnet50, weights random, seed 0, SHA-256 {'5e' * 32}",
        "weights random: an untrained network; for a trained one give --weights imagenet or a file",
        "layers: content relu4_2; style relu1_1,relu2_1, by gram, smoothed at temperature 1",
        "device cpu, fp32, seed 0",
    ]
    assert said[5] == (
        "tower_scream: content content/tower.png 24x32 at 12x16; style style/scream.png 18x18 at 16x16 (height x width)"
    )
    assert paint() == 0
    assert not any(line.startswith("weights random") for line in capsys.readouterr().err.splitlines())


def test_speed_ups_are_those_of_a_backbone(easel, capsys, error):
    paint()
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("fast: "))
    assert not {"one_pass", "fold", "graph"} & set(re.split(r"[ ,]+", line))
    message = "--fast fold.*channels_last"
    assert re.search(message, error(2, paint, "--fast", "memory,fold"))


@pytest.mark.parametrize(("weight", "line"), [
    ("--content_weight", "layers: content none; style relu1_1,relu2_1, by gram"),
    ("--style_weight", "layers: content relu4_2; style none, by gram"),
])  # fmt: skip
def test_a_loss_without_weight_costs_no_layer(easel, capsys, weight, line):
    assert paint(weight, 0) == 0
    assert line in capsys.readouterr().err.splitlines()


def test_each_content_of_a_folder_is_drawn_in_each_style_of_a_folder(easel):
    write_image(easel / "style" / "red.png", np.full((8, 8, 3), (255, 0, 0), np.uint8))
    assert paint(content="content", style="style") == 0
    names = [f"{content}_{style}.png" for content in ("lake", "tower") for style in ("red", "scream")]
    assert sorted(path.name for path in Path("results/content_style/output").iterdir()) == names
    assert Path("results/content_style/index.html").read_text().count("<tr id=") == 4


def test_several_styles_are_blended_into_one_painting(easel):
    write_image(easel / "style" / "red.png", np.full((8, 8, 3), (255, 0, 0), np.uint8))
    assert paint("--style_weights", "2,1", style="style/scream.png,style/red.png") == 0
    folder = Path("results/tower_scream_red")
    assert [path.name for path in (folder / "output").iterdir()] == ["tower_scream_red.png"]
    assert (folder / "style_1").is_dir()
    assert (folder / "style_2").is_dir()


def test_paintings_of_pictures_with_one_name_are_numbered(easel):
    write_image(easel / "content" / "tower.jpg", np.zeros((8, 8, 3), np.uint8))
    names = [each.name for each in list_jobs(options_of("--content", "content", "--style", "style"))]
    assert names == ["1_lake_scream", "2_tower_scream", "3_tower_scream"]


@pytest.mark.parametrize(
    ("paths", "name"),
    [
        (["a/sea view.jpg", "b/wave.png"], "sea view_wave"),
        (["-x.jpg"], "x"),
        (["a\nb\udcff.png"], "a_b_"),
        ([".."], "painting"),
        (["\N{GREEK SMALL LETTER ALPHA}" * 120 + ".png"], "\N{GREEK SMALL LETTER ALPHA}" * 100),
    ],
)
def test_a_painting_is_named_after_its_pictures(paths, name):
    assert get_job_name([Path(path) for path in paths]) == name
    assert options_of("--content", "a", "--style", "b", "--name", name).run.name == name


@pytest.mark.parametrize(
    ("arguments", "content", "style"),
    [
        (("--image_size", 16), (12, 16), (16, 16)),
        (("--image_size", "none"), (24, 32), (32, 32)),
        (("--image_size", 64, "--style_scale", 0.5), (48, 64), (32, 32)),
    ],
)
def test_sizes_are_those_of_the_longer_side(easel, arguments, content, style):
    pictures = opened_with(*arguments).pictures
    assert pictures.content.shape == (1, 3, *content)
    assert pictures.styles[0].shape == (1, 3, *style)
    assert read_rgb("content/tower.png").shape == (3, 24, 32)


def test_pictures_are_resized_as_all_images_are(easel):
    expected = resize(read_image("content/tower.png"), (12, 16))
    content = opened_with("--image_size", 16).pictures.content[0]
    assert torch.allclose(content, torch.from_numpy(expected).permute(2, 0, 1) / 127.5 - 1, atol=1e-6)


def test_a_mask_is_soft_and_of_the_size_of_its_picture(easel):
    ramp = np.linspace(0, 255, 32).round().astype(np.uint8)
    write_image("m.png", np.broadcast_to(ramp[None, :, None], (24, 32, 1)).copy())
    write_image("n.png", np.full((18, 18, 1), 255, np.uint8))
    pictures = opened_with("--content_masks", "m.png", "--style_masks", "n.png", "--image_size", "none").pictures
    assert torch.allclose(pictures.content_masks[0][0, 0], torch.from_numpy(ramp / 255).float().expand(24, 32))
    assert pictures.style_masks[0].shape == (1, 1, 32, 32)
    assert pictures.style_masks[0].eq(1).all()
    assert opened_with("--style_masks", "n.png").pictures.content_masks == []


@pytest.mark.parametrize(
    ("suffix", "dtype", "painted"),
    [("png", "uint16", "uint16"), ("tif", "uint16", "uint16"), ("jpg", "uint16", "uint8"), ("tif", "uint8", "uint8")],
)
def test_the_depth_of_the_content_is_kept_where_the_format_can(easel, suffix, dtype, painted):
    deep = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (16, 16, 3), endpoint=True).astype(dtype)
    write_image("deep.png", deep)
    assert paint("--format", suffix, content="deep.png", style="deep.png") == 0
    output = read_image(f"results/deep_deep/output/deep_deep.{suffix}")
    assert output.dtype == painted
    if suffix != "jpg":
        assert np.abs(output.astype(float) - deep).max() <= 1
    assert Path("results/deep_deep/preview_output").is_dir() == (suffix == "tif")
    page = Path("results/deep_deep/index.html").read_text()
    assert f"output/deep_deep.{suffix}" in page


def interrupting(times):
    """An optimisation that is interrupted while its second step is made."""

    def stylise(pictures, objective, options, on_step):
        def step(state):
            if state.number == 2:
                for _ in range(times):
                    os.kill(os.getpid(), signal.SIGINT)
                    time.sleep(0.01)
            on_step(state)

        return halved(pictures, objective, options, step)

    return stylise


def test_ctrl_c_keeps_the_picture_so_far(easel, monkeypatch, capsys):
    monkeypatch.setattr("pix2pix.methods.gatys.optimize_image", interrupting(times=1))
    assert paint(content="content") == 130
    outputs = [path.name for path in Path("results/content_scream/output").iterdir()]
    assert outputs == ["lake_scream.png"]  # no other is begun
    assert "stopped after iteration 2 of 4, 0 s: " in capsys.readouterr().err
    with Image.open(f"results/content_scream/output/{outputs[0]}") as image:
        assert image.text["iterations"] == "2 of 4"
    assert Path("results/content_scream/index.html").is_file()


def test_a_second_ctrl_c_ends_at_once(easel, monkeypatch):
    monkeypatch.setattr("pix2pix.methods.gatys.optimize_image", interrupting(times=2))
    assert paint() == 130
    assert not Path("results/tower_scream/output").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_picture_of_a_coarse_scale_is_kept_at_the_contents_size(easel, monkeypatch):
    def coarse(pictures, objective, options, on_step):
        os.kill(os.getpid(), signal.SIGINT)
        on_step(gatys.OptimizationStep(1, 4, {"loss/total": 1.0}, lambda: torch.ones(1, 3, 6, 8)))

    monkeypatch.setattr("pix2pix.methods.gatys.optimize_image", coarse)
    assert paint() == 130
    assert (read_image("results/tower_scream/output/tower_scream.png") == 255).all()
    assert read_image("results/tower_scream/output/tower_scream.png").shape == (12, 16, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"content": "nowhere.png"},
            r"--content nowhere\.png",
        ),
        ({"style": "nowhere"}, "--style nowhere"),
        (
            {"content": "empty"},
            r"--content empty.*\.png, \.jpg, \.jpeg, \.webp, \.tif, \.tiff, \.npy",
        ),
        (
            {"style": "empty"},
            "--style empty",
        ),
        (
            {"style": "style/scream.png,style"},
            "--style.*style is a folder",
        ),
        ({"style": "words.jpg"}, r"words\.jpg.*PNG.*JPEG"),
        (
            {"content": "five.npy"},
            r"five\.npy.*float32.*5",
        ),
    ],
)
def test_pictures_that_cannot_be_used_are_reported_in_one_line(easel, error, arguments, message):
    (easel / "empty").mkdir()
    (easel / "words.jpg").write_text("no picture")
    np.save(easel / "five.npy", np.zeros((6, 6, 5), np.float32))
    assert re.search(message, error(2, lambda: paint(**arguments)))
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--content_masks", "small.png"),
            r"--content_masks.*small\.png.*18x18",
        ),
        (
            ("--style_masks", "large.png"),
            r"--style_masks.*large\.png.*24x32",
        ),
        (("--style_masks", "small.png"), r"--style_masks.*small\.png.*black"),
        (
            ("--content_masks", "dot.png", "--content", "black.png"),
            r"--content_masks.*dot\.png.*16x16",
        ),
        (
            ("--content_masks", "none.png"),
            r"--content_masks none\.png",
        ),
        (
            ("--image_size", 128, "--pyramid_levels", 4),
            "--pyramid_levels.*4.*12",
        ),
        (("--reconstructions", "--init", "style"), "--reconstructions.*--init"),
        (
            ("--reconstructions", "--content", "content"),
            "--reconstructions.* 2 ",
        ),
        (("--weights",), "--weights.*missing"),
        (
            ("--backbone", "vgg11"),
            "--backbone.*'vgg11'.*vgg16",
        ),
    ],
)
def test_what_does_not_go_together_is_reported_in_one_line(easel, error, arguments, message):
    write_image("small.png", np.zeros((18, 18, 1), np.uint8))
    write_image("black.png", np.zeros((400, 400, 3), np.uint8))
    dot = np.zeros((400, 400, 1), np.uint8)
    dot[7, 7] = 255
    write_image("dot.png", dot)
    write_image("large.png", np.full((24, 32, 1), 255, np.uint8))
    assert re.search(message, error(2, lambda: paint(*arguments)))


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("--weights", "nowhere.pth"), r"--weights nowhere\.pth"),
        (("--weights", "random", "--style_layers", "relu9_1"), "squeezenet1_1.*relu9_1"),
    ],
)
def test_mistakes_in_the_backbone_are_reported_in_one_line(easel, monkeypatch, error, arguments, names):
    monkeypatch.undo()
    monkeypatch.chdir(easel)
    assert re.search(names, error(2, lambda: paint("--backbone", "squeezenet1_1", *arguments)))


def test_a_backbone_that_was_never_trained_paints_too(easel, monkeypatch, capsys):
    monkeypatch.undo()
    monkeypatch.chdir(easel)
    assert paint("--backbone", "squeezenet1_1", "--weights", "random", "--image_size", 48) == 0
    assert "backbone: squeezenet1_1, weights random, seed 0, SHA-256 " in capsys.readouterr().err
    lines = Path("results/tower_scream/log/tower_scream/metrics.jsonl").read_text().splitlines()
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    assert last["loss/total"] < first["loss/total"]
    assert not np.array_equal(
        read_image("results/tower_scream/output/tower_scream.png"),
        read_image("results/tower_scream/content/tower_scream.png"),
    )


def test_faulty_pictures_of_a_folder_are_left_out_on_demand(easel, capsys, error):
    (easel / "content" / "words.jpg").write_text("no picture")
    assert re.search(r"content/words\.jpg.*PNG", error(2, lambda: paint(content="content")))
    assert paint("--skip_bad", content="content") == 0
    assert re.search(r"content/words\.jpg.*PNG", capsys.readouterr().err)
    assert len(list(Path("results/content_scream/output").iterdir())) == 2
    assert error(2, lambda: paint("--skip_bad", content="content/words.jpg")) == "--skip_bad left no image"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--image_size", 16),
            r"--content content/tower\.png.*12x16.*squeezenet1_1",
        ),
        (
            ("--image_size", 48, "--style_scale", 0.2),
            r"--style style/scream\.png.*10x10.*squeezenet1_1",
        ),
        (
            ("--image_size", 96, "--pyramid_levels", 2, "--style_scale", 0.3),
            r"--style style/scream\.png.*14x14.*--pyramid_levels",
        ),
        (
            ("--image_size", 16, "--reconstructions"),
            r"--content content/tower\.png.*12x16.*squeezenet1_1",
        ),
    ],
)
def test_pictures_too_small_for_the_backbone_are_reported_before_any_is_painted(
    easel, monkeypatch, error, arguments, message
):
    monkeypatch.undo()
    monkeypatch.chdir(easel)
    assert re.search(message, error(2, lambda: paint("--backbone", "squeezenet1_1", "--weights", "random", *arguments)))
    assert not Path("results").exists()


def test_pictures_too_small_for_the_backbone_are_left_out_on_demand(easel, monkeypatch, capsys):
    monkeypatch.undo()
    monkeypatch.chdir(easel)
    write_image("content/strip.png", np.zeros((4, 60, 3), np.uint8))
    arguments = ("--backbone", "squeezenet1_1", "--weights", "random", "--image_size", 32, "--iterations", 1)
    assert paint("--skip_bad", *arguments, content="content") == 0
    assert re.search(r"--content content/strip\.png.*2x32", capsys.readouterr().err)
    assert len(list(Path("results/content_scream/output").iterdir())) == 2


def test_where_results_cannot_be_written_it_says_so(easel, error):
    Path("results").write_text("in the way")
    assert re.search("results/tower_scream", error(2, paint))


@pytest.mark.parametrize("where", ["pix2pix.methods.gatys.optimize_image", "pix2pix.cli.stylize.load_images"])
def test_out_of_memory_is_reported_with_what_helps(easel, monkeypatch, error, where):
    def greedy(*_):
        raise RuntimeError("CUDA out of memory. Tried to allocate 9 GiB.\nMore")

    monkeypatch.setattr(where, greedy)
    assert re.search("--image_size.*--checkpointing.*CUDA out of memory", error(1, paint))


def test_paintings_made_before_one_failed_are_shown(easel, monkeypatch, capsys):
    def painted_once(*arguments):
        if Path("results/content_scream/output/lake_scream.png").exists():
            raise NonFiniteError("the loss is nan again and again: lower --learning_rate")
        return halved(*arguments)

    monkeypatch.setattr("pix2pix.methods.gatys.optimize_image", painted_once)
    assert paint(content="content") == 1
    out, err = capsys.readouterr()
    assert out == "results/content_scream/index.html\n"
    assert re.search("error:.*--learning_rate", err)
    assert "lake_scream" in Path("results/content_scream/index.html").read_text()


def test_a_mistake_of_the_program_shows_its_traceback(easel, monkeypatch):
    def broken(*_):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr("pix2pix.methods.gatys.optimize_image", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        paint()


def test_help_is_that_of_the_method(capsys):
    assert main(["test", "--model", "swag", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--smoothing" in out
    assert "default: resnet50" in out
    assert main(["test", "--help"]) == 0
    assert "--model gatys --help" in capsys.readouterr().out


def test_training_such_a_method_is_answered_with_the_right_command(error):
    assert re.search(
        "--model.*gatys.*test.py --model gatys", error(2, main, ["train", "--model", "gatys", "--dataroot", "x"])
    )


def panels(pictures, options, objective_of, on_step):
    """In place of the reconstructions: two layers of each row, in one colour each."""
    for number, layer in enumerate(("relu1_1", "relu2_1")):
        for row in ("content", "style"):
            objective_of(options.features)
            on_step(gatys.OptimizationStep(1, 4, {"loss/total": 1.0}, lambda: pictures.content))
            yield Reconstruction(row, layer, torch.full_like(pictures.content, number - 0.5))


def test_reconstructions_are_one_grid_with_names(easel, monkeypatch, capsys):
    monkeypatch.setattr("pix2pix.methods.gatys.reconstruct_layers", panels)
    assert paint("--reconstructions", "--image_size", 120) == 0
    file = Path("results/tower_scream/reconstructions.png")
    assert capsys.readouterr().out == f"{file}\n"
    grid = read_image(file)
    assert grid.shape[1] == 3 * 120 + 4 * 8
    assert {64, 191} <= set(np.unique(grid))
    with Image.open(file) as image:
        assert image.text["style_layers"].startswith("relu1_1,relu2_1")
    steps = [json.loads(line)["step"] for line in
             Path("results/tower_scream/log/reconstructions/metrics.jsonl").read_text().splitlines()]  # fmt: skip
    assert steps == [1, 5, 9, 13]


def test_reconstructions_that_are_interrupted_show_those_that_are_whole(easel, monkeypatch, capsys):
    def interrupted(pictures, options, objective_of, on_step):
        yield from list(panels(pictures, options, objective_of, lambda step: None))[:1]
        os.kill(os.getpid(), signal.SIGINT)
        on_step(gatys.OptimizationStep(1, 4, {"loss/total": 1.0}, lambda: pictures.content))

    monkeypatch.setattr("pix2pix.methods.gatys.reconstruct_layers", interrupted)
    assert paint("--reconstructions") == 130
    assert "stopped; complete reconstructions: 1 of " in capsys.readouterr().err
    assert Path("results/tower_scream/reconstructions.png").is_file()


def test_the_runtime_is_that_of_the_options(easel, capsys):
    assert paint("--precision", "bf16", "--fast", "none", "--seed", 3) == 0
    said = capsys.readouterr().err
    assert "device cpu, bf16, seed 3" in said
    assert "fast: nothing" in said
