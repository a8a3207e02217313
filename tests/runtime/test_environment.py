import json
import platform
import subprocess

import pytest
import torch

import pix2pix
from pix2pix.runtime import environment as module
from pix2pix.runtime.environment import collect_environment


def test_the_environment_tells_versions_as_plain_values():
    environment = json.loads(json.dumps(collect_environment()))
    assert environment["pix2pix"] == pix2pix.__version__
    assert environment["python"] == platform.python_version()
    assert torch.__version__.startswith(environment["packages"]["torch"])
    assert f"{torch.get_num_threads()} threads used" in environment["processor"]
    assert len(environment["gpus"]) == torch.cuda.device_count()


def test_an_absent_package_has_no_version():
    assert module.get_version("a-package-that-is-not-there") is None


def test_the_commit_is_what_git_describes(monkeypatch):
    done = subprocess.CompletedProcess([], 0, stdout="abc1234-dirty\n", stderr="")
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: done)
    assert collect_environment()["commit"] == "abc1234-dirty"


@pytest.mark.parametrize("failure", [FileNotFoundError(), subprocess.TimeoutExpired("git", 5), None])
def test_no_git_and_no_checkout_mean_no_commit(monkeypatch, failure):
    def run(*_, **__):
        if failure is not None:
            raise failure
        return subprocess.CompletedProcess([], 128, stdout="", stderr="fatal: not a git repository")

    monkeypatch.setattr(module.subprocess, "run", run)
    assert collect_environment()["commit"] is None
