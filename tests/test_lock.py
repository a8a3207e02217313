import os
import socket
import subprocess
import sys
import time

import pytest

from pix2pix.errors import UserError
from pix2pix.lock import locked

HOLDER = """
import os, pathlib, sys, time
from pix2pix.lock import locked
with locked(pathlib.Path(sys.argv[1])):
    if os.fork() == 0:  # as a loader's worker, which may outlive its killed parent
        time.sleep(3)
        os._exit(0)
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder until it reads a line."""
    command = [sys.executable, "-c", HOLDER, tmp_path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_locked_folder_tells_who_holds_it(tmp_path):
    with locked(tmp_path):
        assert (tmp_path / "LOCK").read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"
    with locked(tmp_path):  # free again, and signed anew
        assert (tmp_path / "LOCK").read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"


def test_the_second_process_is_refused_and_told_who_the_first_is(tmp_path, holder):
    with pytest.raises(UserError) as caught, locked(tmp_path):
        pass
    assert str(caught.value) == (
        f"{tmp_path} is being trained by process {holder.pid} on {socket.gethostname()}; "
        "wait for it, stop it, or choose another --name"
    )


def test_a_holder_that_has_not_signed_yet_is_another_process(tmp_path, holder):
    (tmp_path / "LOCK").write_text("")
    with pytest.raises(UserError, match="is being trained by another process; wait"), locked(tmp_path):
        pass


def test_a_killed_process_holds_nothing_even_while_its_children_live(tmp_path, holder):
    killed = time.monotonic()
    holder.kill()
    holder.wait()
    with locked(tmp_path):
        assert time.monotonic() - killed < 3


def test_an_error_inside_releases_the_folder(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    program = "import pathlib, sys\nfrom pix2pix.lock import locked\nwith locked(pathlib.Path(sys.argv[1])): pass"
    subprocess.run([sys.executable, "-c", program, tmp_path], check=True)
