import pytest

from pix2pix.config.base import OptionError, list_options
from pix2pix.config.experiment import EVALUATION, SHARED, ExperimentOptions, load_experiment, load_scale
from pix2pix.config.parse import TextRequested, parse_experiment

BASE = "dataroot: d\nngf: 8\nname: of_the_preset\n"
GRID = "base: base.yaml\ngrid: {objective: {L1: {gan_mode: none}, L1+cGAN: {}}}\n"


@pytest.fixture
def written(tmp_path):
    """Write an experiment beside its base and a scale; return its path."""

    def write(text, base=BASE):
        (tmp_path / "scales").mkdir(exist_ok=True)
        (tmp_path / "scales" / "small.yaml").write_text("steps: 20\n")
        (tmp_path / "base.yaml").write_text(base)
        (tmp_path / "ours.yaml").write_text(text)
        return str(tmp_path / "ours.yaml")

    return write


def test_an_experiment_is_a_base_and_a_grid_of_changes(written):
    read = load_experiment(written(GRID))
    assert (read.name, read.title, read.seeds) == ("ours", "ours", (0,))
    assert read.base == {"dataroot": "d", "ngf": 8}
    assert {label: choice.options for label, choice in read.axes["objective"].items()} == {
        "L1": {"gan_mode": "none"},
        "L1+cGAN": {},
    }


def test_a_choice_may_change_more_at_a_scale_and_how_it_is_evaluated(written):
    text = (
        "base: base.yaml\ngrid: {a: {b: {network: {ngf: 4}, small: {ngf: 2}, evaluate: {dropout: off}}}}\nseeds: [3, 5]"
    )
    read = load_experiment(written(text))
    choice = read.axes["a"]["b"]
    assert (choice.at("small"), choice.at("paper"), choice.evaluate) == ({"ngf": 2}, {"ngf": 4}, {"dropout": "off"})
    assert read.seeds == (3, 5)


def test_what_is_about_one_start_is_not_taken_from_the_base(written):
    assert load_experiment(written(GRID, BASE + "dry_run: true\nstop_at: 3\n")).base == {"dataroot": "d", "ngf": 8}


def test_a_title_is_one_line_and_else_the_name_of_the_file(written):
    titles = ["title: |\n  Which\n  one?\n", "title: ''\n", "title:\n"]
    assert [load_experiment(written(GRID + title)).title for title in titles] == ["Which one?", "ours", "ours"]


def test_a_scale_is_a_file_beside_the_experiment_and_paper_needs_none(written):
    file = written(GRID)
    assert load_scale(file, "small") == {"steps": 20}
    assert load_scale(file, "paper") == {}


def test_flags_go_to_the_experiment_the_training_or_the_evaluation():
    words = "ours.yaml --scale small --seeds 0 2 --lambda_l1 50 --netD pixel --num_test 3 --dropout off --device cpu"
    asked = parse_experiment(words.split())
    assert asked.options == ExperimentOptions(file="ours.yaml", scale="small", seeds=(0, 2))
    assert asked.training == {"lambda_l1": 50, "patch": 1, "device": "cpu"}
    assert asked.evaluation == {"num_test": 3, "dropout": "off"}


def test_no_option_of_an_experiment_hides_one_of_training():
    assert set(SHARED).isdisjoint(EVALUATION)
    assert {"segmenter", "inception", "norm_stats", "num_test"} <= set(EVALUATION)


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_is_an_answer(word):
    with pytest.raises(TextRequested):
        parse_experiment(["ours.yaml", word])


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("", "--file is missing"),
        ("a.yaml b.yaml", "'b.yaml'"),
        ("a.yaml --seed 1", "--seed: seeds 0,1,2"),
        ("a.yaml --continue_train", "--continue_train: resumes"),
        ("a.yaml --name=x", "--name: names"),
        ("a.yaml --lamda_l1 1", "unknown --lamda_l1: --lambda_l1"),
        ("a.yaml --segmentr x", "unknown --segmentr: --segmenter"),
        ("a.yaml --scal small", "unknown --scal: --scale"),
        ("a.yaml --zzz 1", "unknown --zzz; --help"),
        ("a.yaml --model johnson", "--model: 'johnson' pix2pix"),
        ("a.yaml --style_weight 3", "--style_weight --model johnson multi_style adain"),
        ("a.yaml --seeds 1,1", "--seeds: '1,1' different"),
        ("a.yaml --epoch 3", "--epoch: '3' --resume"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line_that_names_the_option(words, named):
    with pytest.raises(OptionError) as caught:
        parse_experiment(words.split())
    message = str(caught.value)
    assert "\n" not in message
    assert [word for word in named.split() if word not in message] == []


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("base: base.yaml\n", "grid is missing: "),
        ("grid: {a: {b: {}}}", "base is missing: "),
        ("base: [x]\ngrid: {a: {b: {}}}", "base: got ['x']; "),
        (GRID + "title: [x]", "title: got ['x']; "),
        ("bass: x\n", "unknown key bass: did you mean base?"),
        ("zzz: x\n", "unknown key zzz; title, base, "),
        (GRID + "seeds: [x]", "seeds: got ['x']; "),
        (GRID + "seeds: []", "seeds: got []; "),
        (GRID + "seeds:", "seeds: got None; "),
        (GRID + "seeds: none", "seeds: got 'none'; "),
        (GRID + "title: []", "title: got []; "),
        (GRID + "changes: {nfg: 1}", "changes: unknown option nfg: did you mean ngf"),
        ("base: base.yaml\ngrid: {}", "grid: got {}; "),
        ("base: base.yaml\ngrid: {a: {}}", "grid: got {'a': {}}; "),
        ("base: base.yaml\ngrid: [a]", "grid: got ['a']; "),
        ("base: base.yaml\ngrid: {a: [b]}", "grid: got {'a': ['b']}; "),
        *(
            (f"base: base.yaml\ngrid: {{a: {{{choice}}}}}", f"grid: a: {where}")
            for choice, where in (
                ("b/c: {}", "label: got 'b/c'; a folder name "),
                ("b: {lamda_l1: 1}", "b: unknown option lamda_l1: did you mean lambda_l1"),
                ("b: {small: {nfg: 1}}", "b: small: unknown option nfg: did you mean ngf"),
                ("b: {ngf: x}", "b: ngf: got 'x'; "),
                ("b: {smal: {ngf: 1}}", "b: unknown section smal: did you mean small?"),
                ("b: {zzz: {ngf: 1}}", "b: unknown section zzz; evaluate, paper, small "),
                ("b: {small: 1}", "b: small: got '1'; "),
                ("b: 1", "b: got '1'; "),
                ("b: {seed: 1}", "b: seed: "),
                ("b: {dry_run: true}", "b: dry_run: "),
                ("b: {evaluate: {dropuot: on}}", "b: evaluate: dropuot "),
                ("b: {evaluate: {dropout: no}}", "b: evaluate: dropout: got 'no'; on, off or none "),
            )
        ),
        ("base: base.yaml\ngrid: {a: {b: {ngf: 1}}, c: {d: {ngf: 2}}}", "grid: c: ngf is changed by a too"),
    ],
)
def test_a_mistake_in_the_file_says_where_it_is(written, text, where):
    file = written(text)
    with pytest.raises(OptionError) as caught:
        load_experiment(file)
    assert str(caught.value).startswith(f"{file}: {where}")


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("model: johnson\n", "is of johnson; "),
        ("nfg: 1\n", "unknown option nfg: did you mean ngf"),
        ("ngf: x\n", "ngf: got 'x'; a whole number > 0 and <= 4096 is needed"),
    ],
)
def test_a_mistake_in_the_base_is_reported(written, base, message):
    with pytest.raises(OptionError) as caught:
        load_experiment(written(GRID, base))
    assert message in str(caught.value)
    assert "base.yaml" in str(caught.value)


def test_a_base_that_is_not_there_is_named(written):
    file = written(GRID.replace("base.yaml", "gone.yaml"))
    with pytest.raises(OptionError, match=r"ours\.yaml: base: .*gone\.yaml cannot be read: No such file"):
        load_experiment(file)


@pytest.mark.parametrize(("scale", "hint"), [("smal", "did you mean small?"), ("huge", "there is paper and small")])
def test_a_scale_that_is_not_there_is_named(written, scale, hint):
    with pytest.raises(OptionError) as caught:
        load_scale(written(GRID), scale)
    assert str(caught.value).startswith(f"--scale: got '{scale}'")
    assert hint in str(caught.value)


def test_every_option_of_the_experiment_is_its_own():
    assert set(list_options(ExperimentOptions)) == {"file", "scale", "seeds", "out", "dry_run"}
