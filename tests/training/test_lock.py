import os
import signal
import socket
import subprocess
import sys

import pytest

from pix2pix.errors import UserError
from pix2pix.training.checkpointing import lock_folder

# Holds the folder until it reads a line, beside a child as a loader's worker, which lives until its input is closed.
HOLDER = """
import os, pathlib, sys
from pix2pix.training.checkpointing import lock_folder
with lock_folder(pathlib.Path(sys.argv[1])):
    child = os.fork() if hasattr(os, "fork") else -1
    if child:
        print(child, flush=True)
    sys.stdin.readline()
    if not child:
        os._exit(0)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder, and the number of its child."""
    command = [sys.executable, "-c", HOLDER, tmp_path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.child = int(process.stdout.readline())
        yield process
        process.kill()


def refusal(folder):
    with pytest.raises(UserError) as caught, lock_folder(folder):
        pass
    return str(caught.value)


def test_a_locked_folder_tells_who_holds_it(tmp_path):
    for _ in range(2):  # it is free again after the first time
        with lock_folder(tmp_path):
            assert (tmp_path / "LOCK").read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"


def test_the_second_process_is_refused_and_reads_who_the_first_is(tmp_path, holder):
    said = refusal(tmp_path)
    assert said.startswith(f"{tmp_path} is being trained by process {holder.pid} on {socket.gethostname()}; ")
    assert "--name" in said


def test_a_holder_that_has_not_signed_yet_is_another_process(tmp_path, holder):
    (tmp_path / "LOCK").write_text("")
    assert "by another process;" in refusal(tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a child is forked")
def test_a_killed_process_holds_nothing_even_while_its_child_lives(tmp_path, holder):
    holder.kill()
    holder.wait()
    with lock_folder(tmp_path):
        os.kill(holder.child, 0)  # it lives
    os.kill(holder.child, signal.SIGKILL)


def test_an_error_inside_releases_the_folder(tmp_path):
    with pytest.raises(ZeroDivisionError), lock_folder(tmp_path):
        raise ZeroDivisionError
    program = """
import pathlib, sys
from pix2pix.training.checkpointing import lock_folder
with lock_folder(pathlib.Path(sys.argv[1])): pass
"""
    subprocess.run([sys.executable, "-c", program, tmp_path], check=True)
