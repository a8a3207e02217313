"""What happens to a training whose process is killed, interrupted or doubled."""

import json
import os
import random
import re
import signal
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked from one that has imported torch")

# Imports once, then runs `train` in a fresh process group for each line, of a file for its errors and of arguments;
# tells its number, then its end. While there is a file of errors' name and .hang, reading a pair does not end.
NURSERY = """
import json, os, sys, time
import torch, pix2pix.data.transforms, pix2pix.data.loader, pix2pix.methods, pix2pix.training.loop
from pix2pix.cli import main
from pix2pix.data.dataset import PairDataset
torch.set_num_threads(1)
read = PairDataset.read
def slow_read(pairs, index):
    while os.path.exists(errors + ".hang"):
        time.sleep(0.1)
    return read(pairs, index)
PairDataset.read = slow_read
for line in sys.stdin:
    errors, *words = json.loads(line)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT), 2)
        status = main(["train", *words])
        sys.stdout.flush()
        os._exit(status)
    print("began", child, flush=True)
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
LONG = ("--steps", 100_000, "--save_every", 1, "--val_every", 100_000)


class Training:
    """A training in a process of its own."""

    def __init__(self, nursery, folder, errors, words):
        self.nursery, self.folder, self.errors, self.status = nursery, folder, errors, None
        nursery.stdin.write(json.dumps([str(errors), *words]) + "\n")
        nursery.stdin.flush()
        self.pid = self._told("began")

    def wait_for_step(self, step):
        """Wait until the log tells of a step; step 0 is the run's beginning."""
        wait_until((self.folder / "options.yaml").exists)
        wait_until(lambda: logged_steps(self.folder) >= step)

    def workers(self):
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def end(self):
        """Wait for the end; return the exit status, negative if a signal killed it."""
        if self.status is None:
            self.status = self._told("ended")
        return self.status

    def kill(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
        return self.end()

    def _told(self, what):
        word, number = self.nursery.stdout.readline().split()
        assert word == what  # else the number might be a status, and be killed as a process
        return int(number)


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def group_exists(number):
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True


def logged_steps(folder):
    file = folder / "metrics.jsonl"
    return len(re.findall(rb'"lr"', file.read_bytes())) if file.exists() else 0


@pytest.fixture
def start(nursery, tiny):
    """Begin a training in a process of its own, one in a test."""
    begun = []

    def begin(*flags):
        begun.append(Training(nursery, tiny.folder(), tiny.home / "stderr.txt", tiny.words("run", *flags)))
        return begun[0]

    yield begin
    for training in begun:
        training.kill()


def test_a_run_killed_between_two_steps_goes_on_as_if_it_had_not_been(start, tiny):
    training = start("--steps", 16, "--save_every", 1)
    training.wait_for_step(3)
    assert training.kill() == -signal.SIGKILL
    assert tiny.resume() == 0
    assert tiny.train("straight", "--steps", 16, "--save_every", 1) == 0
    assert tiny.metrics() == tiny.metrics("straight")


@pytest.mark.parametrize("number", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, *range(2, 22)))])
def test_killed_at_any_moment_a_run_resumes_with_its_name_alone(start, tiny, number):
    """Saving takes most of the time here. Number 0 is killed before the first checkpoint, the others somewhere."""
    chance = random.Random(number)
    every = 1 if number else 40
    workers = chance.choice([0, 2])
    training = start("--steps", 40, "--save_every", every, "--val_every", 40, "--num_workers", workers)
    training.wait_for_step(chance.randint(0, 30) if number else 0)
    time.sleep(chance.uniform(0, 0.03) if number else 0)
    assert training.kill() == -signal.SIGKILL
    saved = len(tiny.steps())
    assert number or not saved
    assert tiny.resume() == 0
    assert tiny.content()["step"] == 40
    assert [line["step"] for line in tiny.metrics() if "lr" in line] == list(range(1, 41))
    assert not list(tiny.folder().glob(".*"))
    log = (tiny.folder() / "train.log").read_text()
    assert (f"{tiny.folder()} has no checkpoint yet: beginning at step 1\n" in log) == (not saved)


@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 20))])
def test_a_trainer_killed_beside_two_live_workers_is_resumed_at_once(start, tiny, number):
    training = start(*LONG, "--num_workers", 2)
    training.wait_for_step(number % 4 + 2)
    time.sleep(random.Random(number).uniform(0, 0.05))
    assert training.kill() == -signal.SIGKILL
    step = max(tiny.steps())
    assert group_exists(training.pid), "the workers live"
    assert tiny.resume("run", "--steps", step + 1) == 0
    assert tiny.content()["step"] == step + 1


def assert_ends_in_one_line(training, *words):
    began = time.monotonic()
    assert training.end() == 1
    assert time.monotonic() - began < 10
    *before, last = training.errors.read_text().splitlines()
    assert last.startswith("error: ")
    assert all(word in last for word in words)
    assert not any(line.startswith(("error: ", "Traceback")) for line in before)
    assert not group_exists(training.pid)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="workers are found in /proc")
@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 20))])
def test_a_worker_killed_at_any_moment_ends_the_training_in_one_line(start, tiny, number):
    chance = random.Random(number)
    training = start(*LONG, "--num_workers", 2, "--cache", "off")
    training.wait_for_step(chance.randint(2, 6))
    time.sleep(chance.uniform(0, 0.05))
    os.kill(chance.choice(training.workers()), signal.SIGKILL)
    assert_ends_in_one_line(training, "a worker process", "--num_workers")
    assert tiny.resume("run", "--steps", max(tiny.steps()) + 1) == 0


@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 5))])
def test_a_disk_that_answers_no_more_ends_the_training_in_one_line(start, number):
    training = start(*LONG, "--num_workers", 2, "--cache", "off", "--loader_timeout", 1.5)
    training.wait_for_step(number + 1)
    training.errors.with_name(training.errors.name + ".hang").touch()
    assert_ends_in_one_line(training, "--loader_timeout 1.5 s", "--dataroot")


@pytest.mark.parametrize(
    ("number", "workers"),
    [
        (signal.SIGINT, 2),
        (signal.SIGTERM, 0),
        pytest.param(signal.SIGINT, 0, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 2, marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_the_step_saves_it_and_leaves_no_process(start, tiny, number, workers):
    """It goes to the whole group, workers included, as Ctrl-C and a queue's time limit do."""
    training = start(*LONG, "--num_workers", workers)
    training.wait_for_step(3)
    os.killpg(training.pid, number)
    began = time.monotonic()
    assert training.end() == 128 + number
    assert time.monotonic() - began < 10
    assert not group_exists(training.pid)
    step = tiny.content()["step"]
    assert step == logged_steps(tiny.folder()) >= 3
    log = (tiny.folder() / "train.log").read_text()
    assert f"stopped after step {step}, which is saved; continue with: python train.py --name run " in log
    assert tiny.resume("run", "--steps", step + 1) == 0


def test_a_second_interrupt_leaves_at_once(start, tiny):
    """The first one waits for the step, which here takes half a minute."""
    slow = ("--generator", "unet_256", "--ngf", 64, "--load_size", 256, "--crop_size", 256, "--batch_size", 16)
    training = start(*LONG, *slow)
    wait_until(lambda: (log := training.folder / "train.log").exists() and "steps: 1 to" in log.read_text())
    time.sleep(1)  # in the first step
    os.kill(training.pid, signal.SIGINT)
    time.sleep(0.5)
    assert os.getpgid(training.pid) == training.pid, "it still runs"
    os.kill(training.pid, signal.SIGINT)
    began = time.monotonic()
    assert training.end() == 130
    assert time.monotonic() - began < 2


def test_an_interrupt_while_saving_costs_no_checkpoint(tiny, monkeypatch):
    """As the second one may."""
    replace = os.replace

    def interrupted(source, target):
        if Path(target).name == "step_00000004.pt":
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    assert tiny.train() == 130
    assert [path.name for path in tiny.folder().glob(".*")] == [".step_00000004.pt.tmp"]
    assert tiny.content()["step"] == 2
    monkeypatch.undo()
    assert tiny.resume() == 0
    assert not list(tiny.folder().glob(".*"))


def test_two_runs_never_share_a_folder(start, tiny, error):
    training = start(*LONG)
    training.wait_for_step(1)
    for command in (tiny.train, tiny.resume):
        line = error(2, command)
        assert line.startswith(f"{tiny.folder()} is being trained by process {training.pid} on ")
        assert "--name" in line
    assert tiny.train("other") == 0
    training.kill()
    step = max(tiny.steps())
    assert tiny.resume("run", "--steps", step + 1) == 0, "the lock of a dead process is no obstacle"
