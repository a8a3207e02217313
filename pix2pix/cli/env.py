"""`python -m pix2pix env`: what a bug report needs."""

import json
from collections.abc import Sequence

from pix2pix.cli.sentences import print_long
from pix2pix.errors import UserError
from pix2pix.options import Answer


def env(argv: Sequence[str]) -> int:
    """Print versions, processor and devices as JSON."""
    if argv in (["--help"], ["-h"]):
        raise Answer("usage: python -m pix2pix env\n\nPrints versions, processor and devices as JSON.")
    if argv:
        raise UserError(f"env takes no options, got {argv[0]!r}")
    from pix2pix.environment import environment

    print_long(json.dumps(environment(), indent=2))
    return 0
