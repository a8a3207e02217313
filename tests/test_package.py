import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pix2pix
from pix2pix.inference.translator import load


def test_load_is_at_hand_in_the_package():
    assert pix2pix.load is load


def test_the_package_tells_its_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", pix2pix.__version__)


def test_what_the_package_lacks_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'pix2pix' has no attribute 'lode'"):
        _ = pix2pix.lode
    assert not hasattr(pix2pix, "train")


def test_importing_the_package_and_its_options_imports_nothing_heavy():
    program = (
        "import sys, pix2pix, pix2pix.cli, pix2pix.config.parse\n"
        "print(sorted({'torch', 'torchvision', 'numpy', 'cv2', 'PIL', 'albumentations'} & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(pix2pix.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert (done.stdout, done.stderr) == ("[]\n", "")
