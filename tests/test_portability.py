"""What Windows lacks is not needed to import the package, nor to train in one process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Imports every module, and trains for one step with each kind of cache, without the names that only POSIX systems have.
PROGRAM = """
import os, pkgutil, signal, sys
sys.modules.update(dict.fromkeys(["fcntl", "grp", "pwd", "resource", "termios", "tty"]))  # importing them fails
import multiprocessing.reduction
import torch  # here, where the system is Linux, it needs one of these names
absent = {
    os: ["memfd_create", "pwrite", "pread", "fork", "forkpty", "register_at_fork", "getpgid", "killpg", "setpgid",
         "sysconf", *(name for name in dir(os) if name.startswith("posix_"))],
    signal: ["SIGHUP", "SIGCHLD", "SIGUSR1", "SIGUSR2", "SIGALRM", "setitimer"],
    multiprocessing.reduction: ["DupFd"],
}
for module, names in absent.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
import pix2pix
for module in pkgutil.walk_packages(pix2pix.__path__, "pix2pix."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
from pix2pix.cli import main
sys.exit(any(main(["train", *sys.argv[1:], "--dry_run", "--cache", cache]) for cache in ("ram", "disk")))
"""


@pytest.mark.timeout(400)
def test_nothing_that_windows_lacks_is_needed_to_import_and_to_train(tiny):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *tiny.words("run")],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("dry run: ") == 2
