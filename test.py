"""Translate with a trained network: `python test.py --help`."""

import sys

from pix2pix.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["test", *sys.argv[1:]]))
