"""Write docs/options.md: `python -m pix2pix.config > docs/options.md`."""

import sys

from pix2pix.config.help import format_options_page

"""Writes docs/options.md: `python -m pix2pix.config > docs/options.md`."""


if __name__ == "__main__":
    sys.stdout.write(format_options_page())
