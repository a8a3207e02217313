import re

import pytest

from pix2pix.config.base import OptionError, to_dict
from pix2pix.config.compare import check_claims, check_resume
from pix2pix.config.help import format_help
from pix2pix.config.parse import TRAINING_OPTIONS, load_stored_options, parse, select_training_options
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.config.style import AdainOptions, JohnsonOptions, MultiStyleOptions
from pix2pix.config.test import TestOptions
from pix2pix.config.yaml import to_yaml

NEEDED = {
    "pix2pix": "--dataroot d --name a",
    "johnson": "--dataroot d --name a --style_image s.jpg",
    "multi_style": "--dataroot d --name a --styles s",
    "adain": "--dataroot d --name a --styles s",
    "segmenter": "--dataroot d --name a",
}
STYLISING = [name for name in NEEDED if name not in ("pix2pix", "segmenter")]


def options(model, line=""):
    return parse(f"--model {model} {NEEDED[model]} {line}".split(), TRAINING_OPTIONS[model], program="train.py").options


def refusal(model, line):
    with pytest.raises(OptionError) as refused:
        options(model, line)
    return str(refused.value)


def test_the_method_is_that_of_model_or_of_the_preset_else_pix2pix(tmp_path):
    preset = tmp_path / "p.yaml"
    preset.write_text("model: adain\n")
    assert select_training_options(["--model", "johnson", "--dataroot", "d"]) is JohnsonOptions
    assert select_training_options([str(preset), "--dataroot", "d"]) is AdainOptions
    assert select_training_options([str(preset), "--model=multi_style"]) is MultiStyleOptions
    assert (
        select_training_options(["--dataroot", "d"])
        is select_training_options([])
        is select_training_options(["--model", "colorization"])
        is Pix2PixOptions
    )


@pytest.mark.parametrize("flag", ["--resume", "--continue_train"])
def test_a_run_to_resume_names_its_method_itself(flag, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for root in ("checkpoints", "elsewhere"):
        (tmp_path / root / "a").mkdir(parents=True)
    (tmp_path / "checkpoints/a/options.yaml").write_text(to_yaml(options("johnson")))
    (tmp_path / "elsewhere/a/options.yaml").write_text(to_yaml(options("adain")))
    (tmp_path / "p.yaml").write_text("name: a\nrun:\n  checkpoints_dir: elsewhere\n")
    assert select_training_options(["--name", "a", flag]) is JohnsonOptions
    assert select_training_options(["--name=a", flag, "--checkpoints_dir", "elsewhere"]) is AdainOptions
    assert select_training_options(["p.yaml", flag]) is AdainOptions
    assert select_training_options(["--name", "a", flag, "--model", "multi_style"]) is MultiStyleOptions
    assert select_training_options(["--name", "a"]) is Pix2PixOptions


@pytest.mark.parametrize("text", [None, "model: [", "model:\n  - x\n", "lr: 1\n"])
def test_whoever_opens_the_run_tells_what_is_wrong_with_it(text, tmp_path):
    if text is not None:
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "options.yaml").write_text(text)
    assert select_training_options(["--checkpoints_dir", str(tmp_path), "--name", "a", "--resume"]) is Pix2PixOptions


def test_an_unknown_method_is_refused_naming_those_there_are():
    allowed = "pix2pix, johnson, multi_style, adain or segmenter"
    with pytest.raises(OptionError, match=f"^--model: got 'jonson'; {allowed} .*did you mean johnson"):
        select_training_options(["--model", "jonson"])
    with pytest.raises(OptionError, match=f"^the checkpoint's options: model: got 3; {allowed}"):
        load_stored_options({"model": 3}, "the checkpoint's options")


@pytest.mark.parametrize("model", NEEDED)
def test_stored_options_are_read_by_their_model(model):
    record = options(model)
    assert load_stored_options(to_dict(record)) == record
    assert record.model == model


def test_the_first_checkpoints_are_of_pix2pix():
    stored = to_dict(options("pix2pix"))
    del stored["model"]
    assert load_stored_options(stored) == options("pix2pix")


def test_defaults_are_those_of_the_papers_and_their_codes():
    johnson, adain = options("johnson"), options("adain")
    assert (johnson.train.batch_size, johnson.train.steps, johnson.train.lr) == (4, 40_000, 1e-3)
    assert (johnson.network.norm, johnson.data.crop_size) == ("instance", (256, 256))
    assert (adain.train.batch_size, adain.train.steps, adain.train.lr, adain.train.lr_decay) == (8, 160_000, 1e-4, 5e-5)
    assert (adain.data.load_size, adain.data.crop_size) == (512, (256, 256))
    assert adain.features.style_layers == ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
    assert (adain.features.content_layers, adain.features.style_loss) == (("relu4_1",), "mean_std")
    assert (adain.features.padding, adain.features.is_rescaled) == ("reflection", True)


def test_a_segmenter_is_trained_on_photos_and_labels_for_half_as_long():
    segmenter = options("segmenter", "--netG unet_128 --no_dropout")
    assert (segmenter.data.direction, segmenter.data.target_kind) == ("AtoB", "labels")
    assert (segmenter.train.batch_size, segmenter.train.n_epochs, segmenter.train.n_epochs_decay) == (4, 50, 50)
    assert (segmenter.network.norm, segmenter.run.best_metric) == ("batch", "val/pixel_accuracy")
    assert (segmenter.network.generator, segmenter.network.use_dropout) == ("unet_128", False)


@pytest.mark.parametrize("model", STYLISING)
def test_a_style_weighs_what_suits_its_loss_unless_it_is_given(model):
    lines = ["", "--style_loss mrf", "--style_loss mrf --style_weight 3"]
    assert [options(model, line).beta for line in lines] == [10, 1, 3]
    assert model == "adain" or options(model, "--smoothing").beta == 100


def test_instance_norm_goes_by_the_image_and_batch_norm_by_what_it_has_seen():
    assert options("johnson").test.resolve_norm_stats("instance") == "image"
    batch = options("johnson", "--norm batch")
    assert batch.test.resolve_norm_stats(batch.network.norm) == "running"
    image = options("johnson", "--norm batch --norm_stats image")
    assert image.test.resolve_norm_stats(image.network.norm) == "image"


def test_one_style_is_added_to_a_run_in_place_of_a_folder_of_styles():
    words = ["--dataroot", "d", "--name", "a", "--add_style", "new.jpg", "--init_from", "checkpoints/x"]
    record = parse(words, MultiStyleOptions, program="train.py").options
    assert (record.loss.styles, record.loss.add_style, record.loss.init_from) == (None, "new.jpg", "checkpoints/x")


@pytest.mark.parametrize(
    ("model", "line", "named"),
    [
        ("johnson", "--style_weight 0 --content_weight 0", "--content_weight or --style_weight"),
        ("johnson", "--norm_stats running", "--norm_stats running: .*batch"),
        ("johnson", "--sync_batchnorm", "--sync_batchnorm: .*--norm batch"),
        ("johnson", "--norm none", "--norm: got 'none'; instance or batch"),
        ("johnson", "--best_metric val/l1", "--best_metric: got 'val/l1'; val/loss, val/content or val/style"),
        ("johnson", "--n_epochs 3", "--n_epochs: .*--steps"),
        ("johnson", "--direction=BtoA", "--direction .*--model pix2pix or segmenter"),
        ("adain", "--style_image s.jpg", "--style_image .*--model pix2pix or johnson"),
        ("pix2pix", "--styles s", "--styles .*--model multi_style or adain"),
        ("multi_style", "--add_style s.jpg", "--styles .*--add_style"),
        ("adain", "--backbone vgg16", "--backbone: got 'vgg16'; vgg19"),
        ("adain", "--padding zeros", "--padding: got 'zeros'; reflection"),
        ("adain", "--rescaled false", "--rescaled: .*adain"),
        ("adain", "--pooling average", "--pooling: got 'average'; max"),
        ("adain", "--smoothing", "--smoothing: .*adain"),
        ("adain", "--content_layers relu3_1", "--content_layers: .*adain"),
        ("segmenter", "--lambda_l1 1", "--lambda_l1 .*--model pix2pix"),
        ("segmenter", "--netD basic", "unknown option --netD"),
        ("segmenter", "--norm auto", "--norm: got 'auto'; batch, instance or none"),
        ("segmenter", "--dropout on", "--dropout .*--model pix2pix"),
        ("segmenter", "--target_kind photo", "--target_kind: got 'photo'; labels"),
        ("segmenter", "--best_metric val/l1", "--best_metric: got 'val/l1'; val/pixel_accuracy or val/loss"),
        ("segmenter", "--norm instance --norm_stats running", "--norm_stats running: .*batch"),
        ("segmenter", "--norm none --sync_batchnorm", "--sync_batchnorm: .*--norm batch"),
    ],
)
def test_what_a_method_lacks_is_refused_in_one_line(model, line, named):
    message = refusal(model, line)
    assert re.match(f".*{named}", message)
    assert "\n" not in message


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("", "--styles .*--add_style .*--init_from"),
        ("--add_style s.jpg", "--init_from"),
        ("--init_from r", "--add_style"),
    ],
)
def test_conditional_needs_styles_or_one_more_for_a_run(line, named):
    with pytest.raises(OptionError, match=named):
        parse(f"--dataroot d --name a {line}".split(), MultiStyleOptions, program="train.py").options  # noqa: B018


def test_johnson_needs_a_style():
    with pytest.raises(OptionError, match=r"^--style_image is missing: "):
        parse(["--dataroot", "d", "--name", "a"], JohnsonOptions, program="train.py").options  # noqa: B018


def test_flags_of_junyanz_that_are_about_no_pairs_are_read():
    line = "--gpu_ids -1 --no_flip --num_threads 0 --max_dataset_size inf --print_freq 5 --save_latest_freq 7"
    record = options("adain", line)
    assert (record.run.device, record.data.flip, record.data.num_workers) == ("cpu", False, 0)
    assert (record.run.log_every, record.run.save_every, record.data.max_dataset_size) == (5, 7, None)


@pytest.mark.parametrize("model", STYLISING)
def test_help_is_that_of_the_chosen_method(model):
    said = format_help(select_training_options(["--model", model, "--help"]), "python train.py")
    assert f"[{model}; default: {model}]" in " ".join(said.split())
    assert "--lambda_l1" not in said
    assert "--styles" in said or model == "johnson"


def test_a_resumed_run_may_be_longer_and_keeps_all_else():
    stored = options("johnson")
    resumed = check_resume(stored, {"steps": 9, "style_image": "moved.jpg", "model": "johnson"})
    assert (resumed.train.steps, resumed.loss.style_image, resumed.network) == (9, "moved.jpg", stored.network)
    with pytest.raises(OptionError, match=r"^--resume .*: ngf is 32 there, got 8"):
        check_resume(stored, {"ngf": 8})


@pytest.mark.parametrize("check", [check_resume, check_claims])
def test_a_run_of_another_method_is_distinguished(check):
    with pytest.raises(OptionError, match=r"^--model: the run is of johnson, got 'pix2pix'; .*leave --model out"):
        check(options("johnson"), {"model": "pix2pix"})
    with pytest.raises(OptionError, match=r"^--direction: the run is of johnson.*leave --direction out"):
        check(options("johnson"), {"direction": "BtoA"})


def test_what_a_checkpoint_knows_may_be_typed_again_at_test():
    words = ["--name", "a", "--model", "johnson", "--load_size", "256", "--norm", "instance"]
    claims = parse(words, TestOptions, program="x").claims
    check_claims(options("johnson"), claims)
    with pytest.raises(OptionError, match="load_size is 256 there, got 300"):
        check_claims(options("johnson"), {"load_size": (300, 300)})
