"""Several processes that train together, as torchrun starts them; most are forked, which takes less time."""

import importlib
import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from pix2pix import distributed
from pix2pix.cli import main
from pix2pix.config.parse import parse
from pix2pix.config.pix2pix import Pix2PixOptions
from pix2pix.data.batch import PairBatch
from pix2pix.data.codec import ImageCodec, PairCodec
from pix2pix.data.loader import batch_samples
from pix2pix.errors import UserError
from pix2pix.losses import pixel
from pix2pix.methods.base import describe_codec
from pix2pix.methods.pix2pix import Pix2Pix
from pix2pix.runtime.device import Runtime

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked from one that has imported torch")

ROOT = Path(__file__).parents[1]
RGB = PairCodec(ImageCodec("photo", 3), ImageCodec("photo", 3))
SAME_MATHS = ("--norm", "instance", "--use_dropout", "false")
NURSERY = "from tests.test_distributed import nurse; nurse()"
LONG = ("--steps", 100_000, "--save_every", 100_000, "--val_every", 100_000)


def nurse():
    """Import once; then, for each line of input, fork processes that call a function of this file."""
    modules = ("data.transforms", "data.loader", "training.loop", "inference.translator", "report.gallery")
    for module in (*(f"pix2pix.{name}" for name in modules), "torch._dynamo"):  # the last by Adam, else
        importlib.import_module(module)
    torch.set_num_threads(1)
    for line in sys.stdin:
        function, arguments, count, output = json.loads(line)
        store = dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)  # as torchrun's agent has one
        children = [fork(globals()[function], arguments, rank, count, store.port, output) for rank in range(count)]
        print(json.dumps(children), flush=True)
        for child in children:
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def fork(function, arguments, rank, count, port, output):
    child = os.fork()
    if child:
        return child
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "MASTER_PORT": str(port)}
    os.environ |= {"MASTER_ADDR": "localhost", "TORCHELASTIC_RUN_ID": "test", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    try:
        status = function(*arguments)
    except SystemExit as end:
        status = end.code
    sys.stdout.flush()
    os._exit(status)


class Together:
    """Processes at work on one thing."""

    def __init__(self, nursery, function, arguments, count, output):
        self.nursery, self.output = nursery, output
        nursery.stdin.write(json.dumps([function, [*arguments], count, str(output)]) + "\n")
        nursery.stdin.flush()
        self.pids = json.loads(nursery.stdout.readline())

    def end(self):
        """Wait for all; return their exit statuses."""
        statuses = [int(self.nursery.stdout.readline()) for _ in self.pids]
        self.pids = []
        return statuses

    def said(self):
        return self.output.read_text().splitlines() if self.output.exists() else []

    def errors(self):
        return [line for line in self.said() if line.startswith(("error: ", "Traceback"))]

    def wait_for_step(self, step):
        deadline = time.monotonic() + 30
        while not any(re.match(rf"step {step}/", line) for line in self.said()):
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture
def together(nursery, tmp_path):
    """Let two processes call a function of this file, or the program."""
    begun = []

    def begin(function, *arguments, count=2):
        output = tmp_path / f"said_{len(begun)}.txt"
        begun.append(Together(nursery, function, [str(argument) for argument in arguments], count, output))
        return begun[-1]

    yield begin
    for processes in begun:
        if processes.pids:
            for pid in processes.pids:
                os.kill(pid, signal.SIGKILL)
            processes.end()


def program(*words):
    return main([*words])


def resumed(tiny, *flags):
    return ("train", "--name", "run", *tiny.places, "--resume", *flags)


def one_step(path, size, *words):
    """Train two steps in float64 on a slice of the same pairs; keep the last gradients and the weights."""
    with distributed.process_group():
        torch.set_default_dtype(torch.float64)
        method = Pix2Pix(parse(words, Pix2PixOptions, program="train.py").options, Runtime("cpu"), describe_codec(RGB))
        for network in method.networks.values():
            network.double()
        slice_ = slice(distributed.rank() * int(size), (distributed.rank() + 1) * int(size))
        for step in range(2):
            images = torch.rand(2, 4, 3, 16, 16, generator=torch.Generator().manual_seed(step)) * 2 - 1
            method.training_step(PairBatch(images[0, slice_], images[1, slice_], ["x"] * int(size)))
        weights = [weight for name in ("G", "D") for weight in method.networks[name].parameters()]
        torch.save([(weight.detach(), weight.grad) for weight in weights], f"{path}_{distributed.rank()}.pt")
    return 0


@pytest.mark.slow
def test_two_processes_make_the_step_of_one_with_both_batches(together, tiny, tmp_path):
    words = tiny.words("run", *SAME_MATHS, "--batch_size")
    one = together("one_step", tmp_path / "one", 4, *words, 4, count=1)
    assert one.end() == [0]
    assert together("one_step", tmp_path / "two", 2, *words, 2).end() == [0, 0]
    alone, *both = (torch.load(tmp_path / name) for name in ("one_0.pt", "two_0.pt", "two_1.pt"))
    for ours in both:
        for (weight, gradient), (expected_weight, expected_gradient) in zip(ours, alone, strict=True):
            assert gradient.dtype == torch.float64
            assert (gradient - expected_gradient).abs().max() <= 1e-10
            assert (weight - expected_weight).abs().max() <= 1e-10
    assert all(torch.equal(x, y) for ours, theirs in zip(*both, strict=True) for x, y in zip(ours, theirs, strict=True))


def test_a_run_of_two_is_that_of_one_with_twice_the_batch_and_one_of_them_writes(together, tiny):
    two = together("program", "train", *tiny.words("run", *SAME_MATHS, "--batch_size", 2))
    assert two.end() == [0, 0]
    assert tiny.train("one", *SAME_MATHS, "--batch_size", 4) == 0
    assert len(tiny.metrics()) == len(tiny.metrics("one")) == 10
    for ours, theirs in zip(tiny.metrics(), tiny.metrics("one"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)
    assert tiny.content()["shown"] == tiny.content("one")["shown"] == 32
    assert {path.name for path in tiny.files()} >= {"best", "latest", "options.yaml", "env.json"}
    assert len(list((tiny.folder() / "tb").iterdir())) == 1
    log = [line.partition("  ")[2] for line in (tiny.folder() / "train.log").read_text().splitlines()]
    assert [line for line in two.said() if line in log] == log
    assert "processes: 2, each with 2 of the 4 pairs in a step" in log
    assert json.loads((tiny.folder() / "env.json").read_text())["processes"] == 2


@pytest.mark.slow
def test_photographs_are_shared_among_processes_as_pairs_are(together, tiny):
    def words(name, batch_size):
        given = ("--model", "johnson", "--dataroot", tiny.data, "--style_image", tiny.data / "test" / "7.png")
        network = ("--ngf", 4, "--blocks", 1, "--load_size", 36, "--crop_size", 32, "--weights", "random")
        losses = ("--rescaled", "false", "--content_layers", "relu2_1", "--style_layers", "relu1_1,relu2_1")
        clock = ("--steps", 4, "--log_every", 1, "--val_every", 2, "--num_workers", 0, "--device", "cpu")
        named = ("--name", name, *tiny.places, "--batch_size", batch_size)
        return [str(word) for word in (*given, *network, *losses, *clock, *named)]

    two = together("program", "train", *words("two", 2))
    assert two.end() == [0, 0]
    assert main(["train", *words("one", 4)]) == 0
    assert len(tiny.metrics("two")) == len(tiny.metrics("one")) == 6
    for ours, theirs in zip(tiny.metrics("two"), tiny.metrics("one"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-2)
    assert "processes: 2, each with 2 of the 4 photos in a step" in two.said()


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two CUDA devices")
def test_two_gpus_that_synchronise_batch_norm_train_as_one_with_twice_the_batch(together, tiny):
    flags = ("--device", "cuda", "--norm", "batch", "--use_dropout", "false", "--batch_size")
    assert together("program", "train", *tiny.words("run", *flags, 2, "--sync_batchnorm")).end() == [0, 0]
    assert together("program", "train", *tiny.words("one", *flags, 4), count=1).end() == [0]
    for ours, theirs in zip(tiny.metrics(), tiny.metrics("one"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-2)


def test_a_run_of_two_cut_and_resumed_equals_one_that_was_not(together, tiny):
    paper = ("--ema", 0.9, "--log_every", 3, "--batch_size", 2)
    assert together("program", "train", *tiny.words("straight", *paper)).end() == [0, 0]
    assert together("program", "train", *tiny.words("run", *paper, "--stop_at_step", 3)).end() == [0, 0]
    assert together("program", *resumed(tiny)).end() == [0, 0]
    assert tiny.metrics() == tiny.metrics("straight")
    ours, theirs = tiny.content(), tiny.content("straight")
    assert ours["shown"] == theirs["shown"] == 32
    for name, state in ours["networks"].items():
        assert all(torch.equal(value, theirs["networks"][name][key]) for key, value in state.items())
    log = (tiny.folder() / "train.log").read_text()
    assert "BatchNorm: each process normalizes over its own pairs\n" in log


def test_a_run_goes_on_with_another_number_of_processes(together, tiny):
    assert together("program", "train", *tiny.words("run", "--stop_at_step", 3)).end() == [0, 0]
    assert tiny.content()["shown"] == 6
    assert tiny.resume("run", "--stop_at_step", 5) == 0
    assert tiny.content()["shown"] == 8
    assert together("program", *resumed(tiny)).end() == [0, 0]
    assert tiny.content()["shown"] == 14
    log = (tiny.folder() / "train.log").read_text()
    changed = (
        "the number of processes has changed: {} before, {} now; a step has {}/{} of the pairs that it had, in the "
    )
    assert changed.format(2, 1, 1, 2) in log
    assert changed.format(1, 2, 2, 1) in log
    assert "steps: 6 to 8 (2.8 epochs)" in log


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--sed", 1), "unknown option --sed: did you mean --seed?"),
        (("--dataroot", "nowhere"), "--dataroot nowhere: no train pairs found: "),
        (("--device", "cuda:1"), "--device cuda:1: torchrun assigns a device to each process; allowed: auto, "),
    ],
)
def test_a_mistake_is_reported_once(together, tiny, flags, message):
    training = together("program", "train", *tiny.words("run", *flags))
    assert training.end() == [2, 2]
    assert len(training.said()) == 1
    assert training.errors()[0].startswith(f"error: {message}")


def test_help_is_printed_once(together):
    asked = together("program", "train", "--help")
    assert asked.end() == [0, 0]
    assert sum(line.startswith("usage: ") for line in asked.said()) == 1


def program_of_machines(*words):
    return main([*words, "--seed", os.environ["RANK"]] if os.environ["RANK"] != "0" else [*words])


@pytest.mark.parametrize("command", ["train", "test"])
def test_processes_that_were_given_different_options_refuse_them(together, tiny, command):
    words = tiny.words("run") if command == "train" else ("--name", "run")
    apart = together("program_of_machines", command, *words)
    assert apart.end() == [2, 2]
    assert apart.said() == ["error: the processes were given different options: --seed; start all with the same ones"]


@pytest.mark.parametrize("command", ["generated", "check"])
def test_what_is_no_work_to_share_is_done_once(together, tiny, command):
    made = ("prepare", "generated", "--train", 2, "--val", 0, "--test", 0, "--out", tiny.home / "new")
    checked = ("check", tiny.data, "--out", tiny.home / "new")
    alone = together("program", *(made if command == "generated" else checked))
    assert alone.end() == [0, 0]
    assert sum(line.startswith(("2 pairs in ", "contact sheet: ")) for line in alone.said()) == 1


def nan_in_one(*words):
    calls, l1 = itertools.count(1), pixel.l1
    factors = {3: math.nan} if os.environ["RANK"] == "1" else {}
    pixel.l1 = lambda x, y: l1(x, y) * factors.get(next(calls), 1)
    return main([*words])


def test_a_dry_run_of_two_writes_no_file_and_speaks_once(together, tiny):
    trial = together("program", "train", *tiny.words("run", "--dry_run"))
    assert trial.end() == [0, 0]
    assert sum(line.startswith("step 1  val/l1 0.") for line in trial.said()) == 1
    assert list(tiny.home.iterdir()) == [trial.output]


def test_a_nan_in_one_process_stops_all_with_one_message_that_names_the_files_of_all(together, tiny):
    training = together("nan_in_one", "train", *tiny.words("run", "--save_every", 1))
    assert training.end() == [1, 1]
    (line,) = training.errors()
    assert line.startswith("error: step 3: loss/G is nan and the norm of its gradients is nan; files of the batch: ")
    assert len(line.partition("batch: ")[2].partition(";")[0].split(", ")) == 2
    assert tiny.steps() == [1, 2]


@pytest.mark.parametrize("phase", ["train", "val"])
def test_a_bad_image_met_by_one_process_costs_no_step_already_made(together, tiny, phase):
    for folder, numbers in (("train", range(6)), ("val", range(6, 8))):
        for number in numbers:
            tiny.write_pair(tiny.home / "data" / folder / f"{number}.png", number)
    (tiny.home / "data" / phase / "9.png").write_text("text")
    flags = ("--dataroot", tiny.home / "data", "--save_every", 100, "--check", "false", "--num_workers", 1)
    place, seed = next(
        (place, seed)
        for seed in range(99)
        if (place := [s.pair for s in batch_samples(0, 7, 7, seed)].index(6)) in (2, 3)
    )
    training = together("program", "train", *tiny.words("run", *flags, "--seed", seed))
    assert training.end() == [2, 2]
    (line,) = training.errors()
    assert "9.png: not a PNG" in line
    assert line.endswith("; or skip it with --resume --skip_bad")
    assert tiny.steps()[-1] == (4 if phase == "val" else place // 2)


def test_an_image_too_small_for_d_in_one_process_ends_both(together, tiny):
    for number in range(8):
        tiny.write_pair(tiny.home / "data" / "train" / f"{number}.png", number, size=(16 if number == 5 else 32, 32))
    flags = ("--dataroot", tiny.home / "data", "--val_fraction", 0, "--preprocess", "none", "--patch", 70)
    training = together("program", "train", *tiny.words("run", *flags))
    assert training.end() == [1, 1]
    assert training.errors() == [
        "error: 5: 16x32 is too small for --patch 70, which needs 24 at least; "
        "choose a smaller --patch or larger images"
    ]


@pytest.mark.parametrize(("rank", "number"), [(0, signal.SIGINT), (1, signal.SIGTERM)])
def test_a_signal_to_one_process_stops_both_after_the_same_step(together, tiny, rank, number):
    training = together("program", "train", *tiny.words("run", *LONG))
    training.wait_for_step(3)
    os.kill(training.pids[rank], number)
    assert training.end() == [128 + number] * 2
    assert training.errors() == []
    step = tiny.content()["step"]
    assert f"stopped after step {step}, which is saved; continue with: " in training.said()[-1]
    assert tiny.metrics()[-1]["step"] == step
    assert tiny.resume("run", "--steps", step + 1) == 0


@pytest.mark.parametrize(("victim", "workers"), [(0, 0), pytest.param(1, 2, marks=pytest.mark.slow)])
def test_killing_one_process_ends_the_other_with_a_sentence_and_the_run_can_be_resumed(together, tiny, victim, workers):
    training = together("program", "train", *tiny.words("run", *LONG, "--save_every", 2, "--num_workers", workers))
    training.wait_for_step(3)
    began = time.monotonic()
    os.kill(training.pids[victim], signal.SIGKILL)
    statuses = training.end()
    assert time.monotonic() - began < 20
    assert statuses[victim] == -signal.SIGKILL
    assert statuses[1 - victim] == 1
    assert training.errors() == [
        "error: another process of this run has ended: see its message, or the system log if it was killed "
        "(often for lack of memory); then continue with --resume"
    ]
    assert tiny.resume("run", "--steps", tiny.content()["step"] + 1) == 0


def outputs(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_processes_test_as_one_does(together, tiny):
    assert tiny.train() == 0
    words = ("test", "--name", "run", *tiny.places, "--results_dir", tiny.home / "results")
    one = together("program", *words, count=1)
    assert one.end() == [0]
    alone = outputs(tiny.results())
    two = together("program", *words)
    assert two.end() == [0, 0]
    assert len(alone) == 11
    assert outputs(tiny.results()) == alone
    results = [[line for line in processes.said() if "image/s" not in line] for processes in (one, two)]
    assert results[0] == results[1]
    assert results[0][-1] == str(tiny.results() / "index.html")


def test_two_processes_paint_as_one_does(together, tiny, style_runs):
    for number in range(2):
        tiny.write_pair(tiny.home / "photos" / f"{number}.png", number)
    results = tiny.home / "results" / "multi_style" / "input_latest"
    words = ("test", "--name", "multi_style", "--checkpoints_dir", style_runs, "--results_dir", tiny.home / "results")
    alone, shared = (
        (together("program", *words, "--content", tiny.home / "photos", count=count).end(), outputs(results))
        for count in (1, 2)
    )
    assert (alone[0], shared[0]) == ([0], [0, 0])
    assert len(alone[1]) == 2 * 2 + 2 + 2 + 2  # outputs, contents, styles, the grid and the page
    assert alone[1] == shared[1]


def test_what_one_process_leaves_out_is_reported_too(together, tiny):
    assert tiny.train() == 0
    for number in range(4):
        tiny.write_pair(tiny.home / "photos" / f"{number}.png", number)
    (tiny.home / "photos" / "1.png").write_text("text")
    words = ("test", "--name", "run", *tiny.places, "--results_dir", tiny.home / "results", "--skip_bad")
    two = together("program", *words, "--input", tiny.home / "photos")
    assert two.end() == [0, 0]
    assert sum(f"skipped: {tiny.home}/photos/1.png: not a PNG" in line for line in two.said()) == 1
    assert {path.name for path in (tiny.results(part="input_latest") / "output").iterdir()} == {
        "0.png",
        "2.png",
        "3.png",
    }


def test_alone_everything_is_the_identity():
    tensor = torch.tensor(2.0, requires_grad=True)
    with distributed.process_group():
        assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)
        assert distributed.gather(3) == distributed.run_on_each(lambda: 3) == [3]
        assert distributed.run_on_main(lambda: 3) == distributed.start_max(3)() == 3
        assert distributed.backward(tensor**2, [tensor]).item() == tensor.grad.item() == 4
        distributed.broadcast([tensor])
        assert distributed.select_device("cuda:5") == "cuda:5"
        assert not dist.is_initialized()


def test_shares_make_the_whole_in_its_order():
    for count, total in itertools.product((1, 2, 3, 5), range(9)):
        whole = list(range(total))
        assert distributed.merge_shares([whole[rank::count] for rank in range(count)]) == whole


@pytest.fixture
def three(monkeypatch):
    """Pretend to be the last of three processes, on a machine with two GPUs."""
    monkeypatch.setattr("pix2pix.distributed.world_size", lambda: 3)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    return lambda rank: monkeypatch.setenv("LOCAL_RANK", str(rank))


def test_each_process_has_a_gpu_of_its_own(three):
    three(1)
    assert [distributed.select_device(asked) for asked in ("auto", "cuda", "cpu")] == ["cuda:1", "cuda:1", "cpu"]
    for asked in ("cuda:0", "mps"):
        with pytest.raises(UserError, match=f"^--device {asked}: torchrun assigns a device to each process; "):
            distributed.select_device(asked)
    three(2)
    with pytest.raises(UserError) as caught:
        distributed.select_device("auto")
    assert str(caught.value) == (
        "torchrun started 3 processes here, and PyTorch finds 2 CUDA devices: "
        "lower --nproc_per_node, or add --device cpu"
    )


def test_machines_that_see_different_checkpoints_are_reported(tiny, error, monkeypatch):
    tiny.train("run", "--stop_at_step", 3)
    monkeypatch.setattr("pix2pix.distributed.gather", lambda value: [value, value if isinstance(value, dict) else None])
    line = error(2, tiny.resume)
    assert line.startswith(f"{tiny.folder()} has checkpoints of different steps on different machines (")
    assert line.endswith("): give a --checkpoints_dir that all of them share")


@pytest.mark.slow
def test_torchrun_trains_and_ends_all_when_one_is_killed(tiny):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "train.py"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    words = [*command, *tiny.words("run")]
    assert subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, timeout=100).returncode == 0
    assert tiny.content()["processes"] == 2
    words = [*command, *tiny.words("run", *LONG, "--save_every", 2, "--overwrite")]
    with subprocess.Popen(words, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as training:
        while not training.stderr.readline().startswith("step 3/"):
            assert training.poll() is None
        children = Path(f"/proc/{training.pid}/task/{training.pid}/children").read_text().split()
        began = time.monotonic()
        os.kill(int(children[1]), signal.SIGKILL)
        said = training.stderr.read()
        assert training.wait() == 1
        assert time.monotonic() - began < 30
    assert said.count("error: another process of this run has ended: ") == 1
    assert tiny.resume("run", "--steps", tiny.content()["step"] + 1) == 0
