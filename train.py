"""Train a translator: `python train.py --help`."""

import sys

from pix2pix.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["train", *sys.argv[1:]]))
