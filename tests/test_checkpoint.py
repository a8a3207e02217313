import hashlib
import io
import os
import pickle
import random
import re
import resource
import shutil
import tarfile
import zipfile
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import torch
from torch import nn

import pix2pix
from pix2pix import checkpoint
from pix2pix.checkpoint import CheckpointError
from pix2pix.training.checkpointing import keep_networks_only

FIXTURE = Path(__file__).parent / "fixtures" / "format_1.pt"
CONTENT = {"step": 7, "networks": {"G": {"w": torch.arange(6.0).view(2, 3)}}, "window": [{"loss/G": 0.5}], "ema": None}


@pytest.fixture
def saved(tmp_path):
    path = checkpoint.checkpoint_path(tmp_path, 7)
    checkpoint.save_file(path, CONTENT)
    return path


def seal(body):
    """The bytes as a file with the right checksum."""
    return body + b"SHA-256:" + hashlib.sha256(body).digest()


def torch_bytes(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def refusal(path):
    """The one line that reading the file gives, which tells the file."""
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load_file(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_what_is_written_is_read_back(tmp_path):
    checkpoint.save_file(tmp_path / "a.pt", {"step": 3, "weights": {"w": torch.ones(2)}})
    content = checkpoint.load_file(tmp_path / "a.pt")
    assert content["step"] == 3
    assert torch.equal(content["weights"]["w"], torch.ones(2))


def test_plain_values_dtypes_and_nesting_survive(saved):
    content = checkpoint.load_file(saved)
    assert torch.equal(content["networks"]["G"].pop("w"), CONTENT["networks"]["G"]["w"])
    assert content == {"format": 1, "step": 7, "networks": {"G": {}}, "window": [{"loss/G": 0.5}], "ema": None}


def test_the_state_of_an_optimizer_survives(tmp_path):
    weight = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight], lr=0.1, fused=True)
    weight.square().sum().backward()
    optimizer.step()
    checkpoint.save_file(tmp_path / "a.pt", {"optimizer": optimizer.state_dict()})
    state = checkpoint.load_file(tmp_path / "a.pt")["optimizer"]
    assert state["param_groups"] == optimizer.state_dict()["param_groups"]
    for name, value in optimizer.state_dict()["state"][0].items():
        assert torch.equal(state["state"][0][name], value)


def test_a_file_is_torchs_own_then_a_mark_and_the_sha256_of_all_before(saved):
    data = saved.read_bytes()
    assert data[-40:-32] == b"SHA-256:"
    assert data[-32:] == hashlib.sha256(data[:-40]).digest()
    assert torch.load(io.BytesIO(data[:-40]), weights_only=True)["step"] == 7


def test_a_file_of_format_1_is_read_forever():
    """The file was made by this program, version 0.1.0:

    python train.py --dataroot generated --max_dataset_size 4 --name format_1 --generator unet_8 --ngf 1 --ndf 1
      --patch 1 --load_size 32 --crop_size 16 --batch_size 2 --steps 2 --ema 0.5 --init_gain 0.5 --num_workers 0
      --device cpu
    """
    content = checkpoint.load_file(FIXTURE)
    assert (content["format"], content["step"], content["description"]["norm"]) == (1, 2, "batch")
    assert set(content) >= {"networks", "optimizers", "ema", "best", "window", "options", "versions"}


def test_a_run_with_the_file_of_format_1_translates_forever(tmp_path):
    shutil.copy(FIXTURE, checkpoint.checkpoint_path(tmp_path, 2))
    checkpoint.set_pointer(tmp_path, "latest", 2)
    image = torch.linspace(-1, 1, 3 * 16 * 16).view(3, 16, 16)
    output = pix2pix.load(tmp_path, device="cpu", dropout="off").translate(image)
    assert output[:, 0, :2].flatten().tolist() == pytest.approx(EXPECTED_IMAGE, abs=1e-4)
    output = pix2pix.load(tmp_path, device="cpu", dropout="off", norm_stats="running").translate(image)
    assert output[:, 0, :2].flatten().tolist() == pytest.approx(EXPECTED_RUNNING, abs=1e-4)


def test_networks_alone_are_a_smaller_file_of_format_1_that_translates_alike(tmp_path):
    path = shutil.copy(FIXTURE, checkpoint.checkpoint_path(tmp_path, 2))
    checkpoint.set_pointer(tmp_path, "latest", 2)
    image = torch.linspace(-1, 1, 3 * 16 * 16).view(3, 16, 16)
    before, size = pix2pix.load(tmp_path, device="cpu").translate(image), path.stat().st_size
    keep_networks_only(tmp_path)
    torch.testing.assert_close(pix2pix.load(tmp_path, device="cpu").translate(image), before, rtol=0, atol=0)
    assert path.stat().st_size < size
    content, whole = checkpoint.load_file(path), checkpoint.load_file(FIXTURE)
    assert {name for name in whole if repr(content[name]) != repr(whole[name])} <= {"optimizers", "window"}
    written = path.stat().st_mtime_ns
    keep_networks_only(tmp_path)
    assert path.stat().st_mtime_ns == written


EXPECTED_IMAGE = [0.054493, -0.123273, 0.119993, -0.085812, 0.000435, 0.167756]
EXPECTED_RUNNING = [0.106957, -0.117008, 0.133944, -0.053665, -0.002484, 0.195932]


def check_flips(saved, count, seed=0):
    data, draw = saved.read_bytes(), random.Random(seed)
    for position in [0, len(data) * 8 - 1, *(draw.randrange(len(data) * 8) for _ in range(count - 2))]:
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        saved.write_bytes(damaged)
        in_mark = len(data) - 40 <= position // 8 < len(data) - 32
        assert ("was not written by this program" if in_mark else "SHA-256") in refusal(saved)


def check_truncations(saved, count, seed=0):
    data, draw = saved.read_bytes(), random.Random(seed)
    for length in [0, 1, 39, 40, len(data) - 1, *(draw.randrange(len(data)) for _ in range(count - 5))]:
        saved.write_bytes(data[:length])
        assert "was not written by this program" in refusal(saved)


def test_a_flipped_bit_is_found(saved):
    check_flips(saved, 60)


def test_a_cut_file_is_found(saved):
    check_truncations(saved, 30)


@pytest.mark.slow
def test_any_of_a_thousand_flips_and_cuts_is_found(saved, tmp_path):
    check_flips(saved, 1000, seed=1)
    checkpoint.save_file(saved, CONTENT)
    check_truncations(saved, 1000, seed=1)


@pytest.mark.parametrize(
    "data", [b"", b"a text\n" * 20, torch_bytes({"state_dict": {}})], ids=["empty", "text", "torch"]
)
def test_a_file_of_another_origin_is_refused(tmp_path, data):
    path = tmp_path / "other.pt"
    path.write_bytes(data)
    assert "was not written by this program" in refusal(path)


def test_an_absent_file_and_a_folder_are_refused(tmp_path):
    assert "there is no checkpoint" in refusal(tmp_path / "none.pt")
    assert re.search("--name.*--checkpoints_dir", refusal(tmp_path / "none.pt"))
    assert "cannot be read as a checkpoint (" in refusal(tmp_path)


def test_a_newer_format_and_another_content_are_refused(saved):
    saved.write_bytes(seal(torch_bytes({"format": 2})))
    assert re.search("format 2.* format 1", refusal(saved))
    saved.write_bytes(seal(torch_bytes([1, 2])))
    assert "has format list" in refusal(saved)
    saved.write_bytes(seal(b"no zip file, and yet with the right checksum"))
    assert "cannot be read as a checkpoint (" in refusal(saved)


class Gadget:
    """What pickle rebuilds by calling a function of the attacker's choice."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def legacy_tar(payload):
    """The oldest file format of PyTorch, a tar archive of pickles."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            entry = tarfile.TarInfo(name)
            entry.size = len(payload)
            archive.addfile(entry, io.BytesIO(payload))
    return buffer.getvalue()


@pytest.mark.parametrize("function", [os.system, eval, exec, os.makedirs], ids=lambda f: f.__name__)
@pytest.mark.parametrize("sealed", [True, False])
def test_a_file_that_calls_functions_is_refused_uncalled(tmp_path, function, sealed):
    target = tmp_path / "executed"
    code = {"system": f"touch {target}", "makedirs": str(target)}.get(function.__name__, f"open({str(target)!r}, 'w')")
    gadget = Gadget(function, code)
    buffers = [torch_bytes({"format": 1, "step": gadget}), pickle.dumps(gadget), legacy_tar(pickle.dumps(gadget))]
    path = tmp_path / "evil.pt"
    for body in buffers:
        path.write_bytes(seal(body) if sealed else body)
        refusal(path)
        assert not target.exists()


def rezipped(data, mutate):
    """A torch file whose pickle went through `mutate`, as a whole zip again."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, mutate(old.read(name)) if name.endswith("data.pkl") else old.read(name))
    return buffer.getvalue()


def check_crafted_pickles(path, count, seed=0):
    data, draw, messages = torch_bytes({"format": 1, **CONTENT}), random.Random(seed), []

    def mutate(pickled):
        changed = bytearray(pickled)
        for _ in range(draw.choice([1, 2, 5])):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        return bytes(changed)

    for _ in range(count):
        path.write_bytes(seal(rezipped(data, mutate)))
        try:
            checkpoint.load_file(path)
        except CheckpointError as error:
            messages.append(str(error))
    assert len(messages) > count / 2
    assert all(str(path) in message for message in messages)


@pytest.mark.filterwarnings("ignore")
def test_a_crafted_pickle_gives_no_other_error(tmp_path):
    check_crafted_pickles(tmp_path / "a.pt", 50)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_any_of_two_thousand_crafted_pickles_gives_no_other_error(tmp_path):
    check_crafted_pickles(tmp_path / "a.pt", 2000, seed=1)


@contextmanager
def files_limited_to(size):
    """Let the system refuse files of more than so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def refuse(*_):
    raise OSError(5, "Input/output error")


@pytest.mark.parametrize("operation", ["write 0", "write 300", "write 1000", "fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(saved, monkeypatch, operation):
    before = saved.read_bytes()
    limited = nullcontext()
    if operation.startswith("write"):
        limited = files_limited_to(int(operation.split()[1]))
    else:
        monkeypatch.setattr(os, operation, refuse)
    with pytest.raises(CheckpointError, match="cannot be written") as caught, limited:
        checkpoint.save_file(saved, {"step": 8, "weights": torch.zeros(100)})
    assert str(saved) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(saved.parent.iterdir()) == [saved]
    assert saved.read_bytes() == before


def test_a_disk_too_full_is_found_before_anything_is_written(saved, monkeypatch):
    usage = shutil.disk_usage(saved.parent)
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda _: usage._replace(free=7))
    path = checkpoint.checkpoint_path(saved.parent, 8)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.save_file(path, {"a": [{"b": (torch.zeros(10), torch.zeros(3, dtype=torch.int64))}]})
    assert re.search(f"{path}.*64.*7", str(caught.value))
    assert list(saved.parent.iterdir()) == [saved]


def test_steps_are_found_in_order_and_other_files_passed_over(tmp_path):
    for name in (
        "step_00000010.pt",
        "step_00000009.pt",
        "step_123456789.pt",
        "step_1.pt",
        "x.pt",
        ".step_00000011.pt.tmp",
    ):
        (tmp_path / name).touch()
    assert checkpoint.list_steps(tmp_path) == [9, 10, 123456789]
    assert checkpoint.checkpoint_path(tmp_path, 10).name == "step_00000010.pt"


def test_a_pointer_names_a_file_in_one_line(saved):
    assert checkpoint.read_pointer(saved.parent, "latest") is None
    checkpoint.set_pointer(saved.parent, "latest", 7)
    assert (saved.parent / "latest").read_text() == "step_00000007.pt\n"
    assert checkpoint.read_pointer(saved.parent, "latest") == saved
    assert sorted(path.name for path in saved.parent.iterdir()) == ["latest", saved.name]


@pytest.mark.parametrize("text", [b"", b"../../secret.pt\n", b"\xff\n", b"step_7.pt"])
def test_a_pointer_that_names_no_checkpoint_points_nowhere(tmp_path, text):
    (tmp_path / "latest").write_bytes(text)
    assert checkpoint.read_pointer(tmp_path, "latest") is None


def test_latest_best_and_a_step_are_resolved(saved):
    checkpoint.set_pointer(saved.parent, "latest", 7)
    checkpoint.set_pointer(saved.parent, "best", 7)
    assert {checkpoint.resolve(saved.parent, epoch) for epoch in ("latest", "best", "7")} == {saved}


def test_what_cannot_be_resolved_is_answered_with_what_is_there(saved):
    folder = saved.parent
    with pytest.raises(CheckpointError) as caught:
        checkpoint.resolve(folder, "8")
    assert re.search(f"{folder}.*'8'.*7", str(caught.value))
    saved.unlink()
    with pytest.raises(CheckpointError, match=r"'latest'.*none"):
        checkpoint.resolve(folder, "latest")


def test_an_unknown_run_is_answered_with_the_runs_there_are(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no run .*x; "):
        checkpoint.resolve(tmp_path / "x", "latest")
    for name in ("maps", "facades"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "options.yaml").touch()
    with pytest.raises(CheckpointError, match=r"x;.*facades, maps"):
        checkpoint.resolve(tmp_path / "x", "latest")


def test_the_newest_sound_file_is_taken_and_what_is_wrong_with_newer_ones_reported(saved):
    for step in (8, 9):
        checkpoint.checkpoint_path(saved.parent, step).write_bytes(saved.read_bytes()[:-step])
    content, complaints = checkpoint.load_newest_valid(saved.parent)
    assert content["step"] == 7
    assert [line.partition(" is truncated")[0] for line in complaints] == [
        str(checkpoint.checkpoint_path(saved.parent, step)) for step in (9, 8)
    ]
    saved.write_bytes(b"")
    content, complaints = checkpoint.load_newest_valid(saved.parent)
    assert content is None
    assert len(complaints) == 3


def test_pruning_keeps_the_newest_and_the_best(saved):
    for step in (1, 2, 3, 4):
        shutil.copy(saved, checkpoint.checkpoint_path(saved.parent, step))
    checkpoint.set_pointer(saved.parent, "best", 2)
    checkpoint.prune(saved.parent, keep=2)
    assert checkpoint.list_steps(saved.parent) == [2, 4, 7]
    checkpoint.prune(saved.parent, keep=9)
    assert checkpoint.list_steps(saved.parent) == [2, 4, 7]


def test_sweeping_deletes_temporary_files_alone(saved):
    (saved.parent / ".step_00000008.pt.tmp").touch()
    (saved.parent / ".latest.tmp").touch()
    checkpoint.remove_temporary_files(saved.parent)
    assert list(saved.parent.iterdir()) == [saved]


def test_weights_are_restored_into_a_network_of_the_same_shapes():
    network, other = nn.Linear(2, 3), nn.Linear(2, 3)
    checkpoint.load_weights(network, other.state_dict(), "G")
    assert torch.equal(network.weight, other.weight)


def test_a_network_of_other_shapes_is_refused_with_the_differences():
    network, other = nn.Linear(2, 3), nn.Linear(2, 4, bias=False)
    before = network.weight.clone()
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load_weights(network, other.state_dict() | {"x": torch.ones(1)}, "G")
    assert re.search(r"\bG\b.*bias.*weight.*\(4, 2\).*\(3, 2\).*\bx\b", str(caught.value))
    assert torch.equal(network.weight, before)


def test_of_many_differences_the_first_five_are_reported():
    states = [nn.Sequential(*(nn.Linear(size, size, bias=False) for _ in range(7))) for size in (1, 2)]
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load_weights(states[0], states[1].state_dict(), "D")
    assert str(caught.value).count("(2, 2)") == 5
    assert "2 more" in str(caught.value)
