from pathlib import Path

import pytest

from pix2pix.options import Answer, ExperimentOptions, OptionError, parse_experiment, read_experiment, read_scale
from pix2pix.options.experiment import EVALUATION, SHARED
from pix2pix.options.records import leaves

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
    read = read_experiment(written(GRID))
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
    read = read_experiment(written(text))
    choice = read.axes["a"]["b"]
    assert (choice.at("small"), choice.at("paper"), choice.evaluate) == ({"ngf": 2}, {"ngf": 4}, {"dropout": "off"})
    assert read.seeds == (3, 5)


def test_what_is_about_one_start_is_not_taken_from_the_base(written):
    assert read_experiment(written(GRID, BASE + "dry_run: true\nstop_at: 3\n")).base == {"dataroot": "d", "ngf": 8}


def test_a_title_is_one_line_and_else_the_name_of_the_file(written):
    titles = ["title: |\n  Which\n  one?\n", "title: ''\n", "title:\n"]
    assert [read_experiment(written(GRID + title)).title for title in titles] == ["Which one?", "ours", "ours"]


def test_a_scale_is_a_file_beside_the_experiment_and_paper_needs_none(written):
    file = written(GRID)
    assert read_scale(file, "small") == {"steps": 20}
    assert read_scale(file, "paper") == {}


def test_flags_go_to_the_experiment_the_training_or_the_evaluation():
    words = "ours.yaml --scale small --seeds 0 2 --lambda_l1 50 --netD pixel --num_test 3 --dropout off --device cpu"
    asked = parse_experiment(words.split())
    assert asked.options == ExperimentOptions(file="ours.yaml", scale="small", seeds=(0, 2))
    assert asked.training == {"lambda_l1": 50, "patch": 1, "device": "cpu"}
    assert asked.evaluation == {"num_test": 3, "dropout": "off"}


def test_no_option_of_an_experiment_hides_one_of_training():
    assert set(SHARED).isdisjoint(EVALUATION)
    assert {"segmenter", "inception", "statistics", "num_test"} <= set(EVALUATION)


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_is_an_answer(word):
    with pytest.raises(Answer):
        parse_experiment(["ours.yaml", word])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "--file is missing: the experiment, such as options/experiments/objectives.yaml"),
        ("a.yaml b.yaml", "got 'b.yaml', which follows no option; [PRESET.yaml] --OPTION VALUE ... is needed"),
        ("a.yaml --seed 1", "--seed: an experiment has seeds, such as seeds 0,1,2; leave it out"),
        ("a.yaml --continue_train", "--continue_train: an experiment resumes by itself what is unfinished; leave it "
         "out"),
        ("a.yaml --name=x", "--name: an experiment names its runs itself; leave it out"),
        ("a.yaml --lamda_l1 1", "unknown option --lamda_l1: did you mean --lambda_l1 or --lambda_l2?"),
        ("a.yaml --segmentr x", "unknown option --segmentr: did you mean --segmenter?"),
        ("a.yaml --scal small", "unknown option --scal: did you mean --scale?"),
        ("a.yaml --zzz 1", "unknown option --zzz; --help lists all"),
        ("a.yaml --model johnson", "--model: got 'johnson'; pix2pix is needed"),
        ("a.yaml --style_weight 3", "--style_weight is an option of --model johnson or conditional or adain: leave it "
         "out, or choose that method"),
        ("a.yaml --seeds 1,1", "--seeds: got '1,1'; a list of different whole numbers from 0 to 4294967295, such as "
         "0,1,2, is needed"),
        ("a.yaml --epoch 3", "--epoch: got '3'; --resume continues the latest checkpoint; leave it out"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_told_in_one_line(words, message):
    with pytest.raises(OptionError) as caught:
        parse_experiment(words.split())
    assert str(caught.value) == message


AXES = "axes, each with its choices, such as {objective: {L1: {gan_mode: none}, L1+cGAN: {}}}"
SEEDS = "a list of different whole numbers from 0 to 4294967295, such as 0,1,2, is needed"
PRESET = "the preset that every run begins with, by its path from this file, such as ../facades.yaml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: base.yaml\n", f"grid is missing: {AXES}"),
        ("grid: {a: {b: {}}}", f"base is missing: {PRESET}"),
        ("base: [x]\ngrid: {a: {b: {}}}", f"base: got ['x']; {PRESET}, is needed"),
        (GRID + "title: [x]", "title: got ['x']; what the experiment is called, is needed"),
        ("bass: x\n", "unknown key bass: did you mean base?"),
        ("zzz: x\n", "unknown key zzz; title, base, changes, grid, seeds are what an experiment has"),
        (GRID + "seeds: [x]", f"seeds: got ['x']; {SEEDS}"),
        (GRID + "seeds: []", f"seeds: got []; {SEEDS}"),
        (GRID + "seeds:", f"seeds: got None; {SEEDS}"),
        (GRID + "seeds: none", f"seeds: got 'none'; {SEEDS}"),
        (GRID + "title: []", "title: got []; what the experiment is called, is needed"),
        (GRID + "changes: {nfg: 1}", "changes: unknown option nfg: did you mean ngf?"),
    ],
)
def test_a_mistake_in_the_file_is_told_where_it_is(written, text, message):
    file = written(text)
    with pytest.raises(OptionError) as caught:
        read_experiment(file)
    assert str(caught.value) == f"{file}: {message}"


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("{}", f": got {{}}; {AXES}, are needed"),
        ("{a: {}}", f": got {{'a': {{}}}}; {AXES}, are needed"),
        ("[a]", f": got ['a']; {AXES}, are needed"),
        ("{a: [b]}", f": got {{'a': ['b']}}; {AXES}, are needed"),
        (
            "{a: {b/c: {}}}",
            ": a: label: got 'b/c'; a folder name (no slash, no dash in front, no control character, at most 200 "
            "bytes) is needed",
        ),
        ("{a: {b: {lamda_l1: 1}}}", ": a: b: unknown option lamda_l1: did you mean lambda_l1 or lambda_l2?"),
        ("{a: {b: {small: {nfg: 1}}}}", ": a: b: small: unknown option nfg: did you mean ngf?"),
        ("{a: {b: {ngf: x}}}", ": a: b: ngf: got 'x'; a whole number > 0 and <= 4096 is needed"),
        ("{a: {b: {smal: {ngf: 1}}}}", ": a: b: unknown section smal: did you mean small?"),
        ("{a: {b: {zzz: {ngf: 1}}}}", ": a: b: unknown section zzz; evaluate, paper, small are known"),
        ("{a: {b: {small: 1}}}", ": a: b: small: got '1'; a mapping of options is needed"),
        ("{a: {b: 1}}", ": a: b: got '1'; a mapping of options, such as {lambda_l1: 0}, is needed"),
        ("{a: {b: {seed: 1}}}", ": a: b: seed: an experiment has seeds, such as seeds 0,1,2; leave it out"),
        ("{a: {b: {dry_run: true}}}", ": a: b: dry_run: it is the same for all runs; leave it out"),
        (
            "{a: {b: {evaluate: {dropuot: on}}}}",
            ": a: b: evaluate: dropuot is no option of evaluating to choose: did you mean dropout?",
        ),
        ("{a: {b: {evaluate: {dropout: no}}}}", ": a: b: evaluate: dropout: got 'no'; on, off or none is needed"),
        ("{a: {b: {ngf: 1}}, c: {d: {ngf: 2}}}", ": c: ngf is changed by a too; keep it in one of the axes"),
    ],
)
def test_a_mistake_in_the_grid_is_told_where_it_is(written, grid, message):
    file = written(f"base: base.yaml\ngrid: {grid}")
    with pytest.raises(OptionError) as caught:
        read_experiment(file)
    assert str(caught.value) == f"{file}: grid{message}"


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("model: johnson\n", "is of johnson; experiments are of pix2pix alone"),
        ("nfg: 1\n", "unknown option nfg: did you mean ngf?"),
        ("ngf: x\n", "ngf: got 'x'; a whole number > 0 and <= 4096 is needed"),
    ],
)
def test_a_mistake_in_the_base_is_told(written, base, message):
    with pytest.raises(OptionError) as caught:
        read_experiment(written(GRID, base))
    assert message in str(caught.value)
    assert "base.yaml" in str(caught.value)


def test_a_base_that_is_not_there_is_told(written):
    file = written(GRID.replace("base.yaml", "gone.yaml"))
    with pytest.raises(OptionError) as caught:
        read_experiment(file)
    gone = Path(file).parent / "gone.yaml"
    assert str(caught.value) == (
        f"{file}: base: {gone} cannot be read: No such file or directory; a YAML file of options is needed"
    )


@pytest.mark.parametrize(("scale", "hint"), [("smal", ": did you mean small?"), ("huge", "; there is paper and small")])
def test_a_scale_that_is_not_there_is_told(written, scale, hint):
    file = written(GRID)
    with pytest.raises(OptionError) as caught:
        read_scale(file, scale)
    assert str(caught.value) == f"--scale: got '{scale}', and {Path(file).parent / 'scales'} has no such file{hint}"


def test_every_option_of_the_experiment_is_its_own():
    assert set(leaves(ExperimentOptions)) == {"file", "scale", "seeds", "out", "dry_run"}
