import pytest

from pix2pix import checkpoint
from pix2pix.config.base import from_dict, list_options
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.config.types import OptionFlag
from pix2pix.config.yaml import to_yaml
from pix2pix.evaluation.experiment import UNLEARNED, find_free_name, find_run

PAIRS = 10


@pytest.fixture
def begun(tmp_path):
    """Write what is left of a run that made `step` steps of those that it should, and return what was asked for."""

    def write(name="run", *, step=20, networks_only=False, **given):
        options = from_dict(Pix2PixOptions, {"dataroot": "d", "name": name, "steps": "20", **given})
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "options.yaml").write_text(to_yaml(options))
        content = {"step": step, "description": {"pairs": PAIRS}, "optimizers": {} if networks_only else {"G": {}}}
        if step:
            checkpoint.save_file(checkpoint.checkpoint_path(tmp_path / name, step), content)
        return options

    return write


def wanted(**given):
    return from_dict(Pix2PixOptions, {"dataroot": "d", "name": "wanted", "steps": "20", **given})


def test_a_run_is_found_by_its_options_whatever_its_name(begun, tmp_path):
    begun("by_hand", num_workers="0", device="cpu", checkpoints_dir="elsewhere", keep="1")
    begun("other", ngf="3")
    run = find_run(wanted(), tmp_path)
    assert (run.name, run.step, run.is_finished) == ("by_hand", 20, True)
    assert find_run(wanted(seed="1"), tmp_path) is None
    assert find_run(wanted(steps="30"), tmp_path) is None


def test_a_finished_run_comes_before_one_to_resume_and_one_of_the_name_before_others(begun, tmp_path):
    begun("a", step=10)
    begun("b", step=15)
    assert find_run(wanted(), tmp_path).name == "b"
    begun("wanted", step=5)
    assert find_run(wanted(), tmp_path).name == "wanted"
    begun("c")
    assert find_run(wanted(), tmp_path).name == "c"


def test_steps_that_follow_from_epochs_are_those_of_the_pairs_that_the_run_has(begun, tmp_path):
    epochs = {"n_epochs": "2", "n_epochs_decay": "1", "batch_size": "4"}
    begun("run", step=8, **epochs | {"steps": "8"})  # 3 epochs of 10 pairs, 4 in a step: 7.5
    assert find_run(wanted(**epochs | {"steps": "none"}), tmp_path).name == "run"
    assert find_run(wanted(**epochs | {"steps": "none", "batch_size": "2"}), tmp_path) is None
    begun("run", step=8, **epochs | {"steps": "9"})
    assert find_run(wanted(**epochs | {"steps": "none"}), tmp_path) is None


def test_what_cannot_go_on_is_no_run_to_resume(begun, tmp_path):
    begun("reduced", step=10, networks_only=True)
    begun("unsaved", step=0)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "options.yaml").write_text("{")
    assert find_run(wanted(), tmp_path) is None
    begun("reduced", networks_only=True)
    assert find_run(wanted(), tmp_path).networks_only
    assert find_run(wanted(), tmp_path / "nowhere") is None


def test_a_new_run_takes_no_folder_with_steps_in_it(begun, tmp_path):
    assert find_free_name("run", tmp_path) == "run"
    begun("run", step=0)
    assert find_free_name("run", tmp_path) == "run"
    begun("run", ngf="3")
    begun("run_2", ngf="4")
    assert find_free_name("run", tmp_path) == "run_3"
    assert find_run(wanted(ngf="4"), tmp_path).is_named("run")
    assert not find_run(wanted(ngf="4"), tmp_path).is_named("ru")


def test_what_a_resumed_run_may_change_does_not_tell_runs_apart_unless_it_changes_the_result():
    may_change = {
        name for name, leaf in list_options(Pix2PixOptions).items() if OptionFlag.MAY_CHANGE in leaf.field.metadata
    }
    assert may_change - UNLEARNED == {"steps", "skip_bad", "sync_batchnorm", "weights", "style_image"}
    assert UNLEARNED - may_change == set()
