"""Writes docs/options.md: `python -m pix2pix.options > docs/options.md`."""

import sys

from pix2pix.options.reference import options_page

if __name__ == "__main__":
    sys.stdout.write(options_page())
