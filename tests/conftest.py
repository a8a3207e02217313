"""What tests of whole processes share: a folder of tiny pairs, and runs of tiny networks on them."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pix2pix import checkpoint
from pix2pix.cli import main
from pix2pix.config.base import from_dict, list_options
from pix2pix.config.parse import TRAINING_OPTIONS
from pix2pix.config.yaml import to_yaml
from pix2pix.data.io import write_image
from pix2pix.methods import METHODS
from pix2pix.runtime.device import Runtime
from pix2pix.runtime.environment import collect_environment
from pix2pix.training.checkpointing import TrainState, save_checkpoint

NETWORKS = ("--generator", "unet_16", "--ngf", 2, "--ndf", 2, "--patch", 16, "--load_size", 18, "--crop_size", 16)
CLOCK = ("--steps", 8, "--log_every", 1, "--val_every", 4, "--save_every", 2, "--num_workers", 0, "--device", "cpu")


@dataclass(frozen=True)
class Tiny:
    """Runs that last a moment; `train` and `test` return the exit status, as the programs do."""

    data: Path
    home: Path

    @property
    def places(self):
        return ("--checkpoints_dir", self.home / "checkpoints")

    def words(self, name, *flags):
        """The arguments that begin a run; of a flag given twice the last one counts."""
        return [
            str(word) for word in ("--dataroot", self.data, *NETWORKS, *CLOCK, "--name", name, *self.places, *flags)
        ]

    def train(self, name="run", *flags):
        return main(["train", *self.words(name, *flags)])

    def resume(self, name="run", *flags):
        return main(["train", "--name", name, *map(str, self.places), "--resume", *map(str, flags)])

    def test(self, name="run", *flags):
        return main(["test", "--name", name, *map(str, (*self.places, "--results_dir", self.home / "results", *flags))])

    def folder(self, name="run"):
        return self.home / "checkpoints" / name

    def results(self, name="run", part="test_latest"):
        return self.home / "results" / name / part

    def steps(self, name="run"):
        return checkpoint.list_steps(self.folder(name))

    def content(self, name="run", epoch="latest"):
        return checkpoint.load_file(checkpoint.resolve(self.folder(name), str(epoch)))

    def metrics(self, name="run"):
        """The lines of metrics.jsonl, without what the clock on the wall decides."""
        lines = (self.folder(name) / "metrics.jsonl").read_text().splitlines()
        by_clock = ("images_per_second", "data_wait")
        return [{key: value for key, value in json.loads(line).items() if key not in by_clock} for line in lines]

    def files(self, name="run"):
        """What a run's folder holds: every file's bytes by its path, without run.lock and LOCK."""
        lock = ("run.lock", "LOCK")
        paths = (path for path in self.folder(name).rglob("*") if path.is_file() and path.name not in lock)
        return {path.relative_to(self.folder(name)): path.read_bytes() for path in paths}

    @staticmethod
    def write_pair(path, number, size=(20, 20)):
        """Write a random A of (height, width) beside its negative B."""
        coarse = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        a = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_NEAREST)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, np.concatenate([a, 255 - a], axis=1))


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory):
    """5 pairs to train on, 2 for validation and 3 for the test, of 20 x 20 pixels."""
    root = tmp_path_factory.mktemp("data")
    for phase, numbers in {"train": range(5), "val": range(5, 7), "test": range(7, 10)}.items():
        for number in numbers:
            Tiny.write_pair(root / phase / f"{number}.png", number)
    return root


@pytest.fixture
def tiny(tiny_data, tmp_path):
    return Tiny(tiny_data, tmp_path)


STYLES = {"red": (255, 60, 40), "blue": (20, 60, 240)}  # of runs of multi_style: their names, and their pictures
PLACES = {"dataroot": "photos", "styles": "paintings", "style_image": "red.png"}


def write_style_run(root, name, model, **given):
    """Save what a run of no steps would: random weights, the same each time."""
    record = TRAINING_OPTIONS[model]
    known = {"name": name, "device": "cpu", **PLACES, "ngf": 4, "blocks": 1} | given
    options = from_dict(record, {key: value for key, value in known.items() if key in list_options(record)})
    names = {"johnson": ["red"], "multi_style": list(STYLES), "adain": []}[model]
    pictures = [torch.tensor(STYLES[each], dtype=torch.uint8).reshape(3, 1, 1).expand(3, 8, 12) for each in names]
    description = {"method": model, "styles": names, "style_pictures": pictures, "features": {}}
    torch.manual_seed(0)
    method = METHODS[model](options, Runtime("cpu"), description, training=False)
    for network in method.networks.values():
        for key, tensor in network.state_dict().items():
            if tensor.ndim == 4:
                tensor.normal_(0, 0.1 if model != "adain" else (2 / tensor[0].numel()) ** 0.5)
            elif "running" not in key:
                tensor.normal_(0, 0.5 if model != "adain" else 0.1)
    (root / name).mkdir(parents=True)
    save_checkpoint(method, options, TrainState(step=4), root / name, best=True)
    (root / name / "options.yaml").write_text(to_yaml(options))


@pytest.fixture(scope="session")
def style_runs(tmp_path_factory):
    """Runs named as their methods: johnson, batch (johnson with batch norm), multi_style and adain."""
    root = tmp_path_factory.mktemp("style_runs")
    for model in ("johnson", "multi_style", "adain"):
        write_style_run(root, model, model)
    write_style_run(root, "batch", "johnson", norm="batch")
    return root


@pytest.fixture(scope="session")
def transformer_net():
    """Make weights with the keys and shapes of the PyTorch examples' TransformerNet."""

    def weights(ngf=32, blocks=5):
        generator = torch.Generator().manual_seed(0)
        widths = [3, ngf, 2 * ngf, 4 * ngf]
        layers = {f"conv{n}": (f"in{n}", widths[n], widths[n - 1], 9 if n == 1 else 3) for n in (1, 2, 3)}
        for block, n in product(range(1, blocks + 1), (1, 2)):
            layers[f"res{block}.conv{n}"] = f"res{block}.in{n}", widths[3], widths[3], 3
        layers |= {f"deconv{n}": (f"in{3 + n}", widths[3 - n], widths[4 - n], 3) for n in (1, 2)}
        layers["deconv3"] = None, 3, ngf, 9
        state = {}
        for name, (norm, outputs, inputs, side) in layers.items():
            state[f"{name}.conv2d.weight"] = torch.randn(outputs, inputs, side, side, generator=generator) * 0.05
            state[f"{name}.conv2d.bias"] = torch.randn(outputs, generator=generator)
            if norm:
                state[f"{norm}.weight"] = torch.randn(outputs, generator=generator) * 0.2 + 1
                state[f"{norm}.bias"] = torch.randn(outputs, generator=generator)
        return state

    return weights


@pytest.fixture
def error(capsys):
    """Run a command that must fail with the status; return the one line in which it says why."""

    def said(status, command, *arguments):
        capsys.readouterr()
        assert command(*arguments) == status
        lines = capsys.readouterr().err.splitlines()
        assert [line for line in lines if line.startswith(("error: ", "Traceback"))] == lines[-1:]
        return lines[-1].removeprefix("error: ")

    return said


@pytest.fixture(scope="module")
def nursery(request):
    """A process that runs the module's NURSERY: it imports once, and forks as the lines of its input say."""
    with subprocess.Popen(
        [sys.executable, "-c", request.module.NURSERY],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1"},
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture(autouse=True, scope="session")
def _no_waiting():
    """Leave files to the system's cache, and ask git for the commit once: hundreds of runs would wait for both."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.setattr("pix2pix.runtime.environment.collect_environment", cache(collect_environment))
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Sums of many threads may round differently from run to run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
