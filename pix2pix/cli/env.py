"""`python -m pix2pix env`: what a bug report needs."""

import json
from collections.abc import Sequence

from pix2pix.errors import UserError


def env(argv: Sequence[str]) -> int:
    """Print versions, processor and devices as JSON."""
    if argv:
        raise UserError(f"env takes no options, got {argv[0]!r}")
    from pix2pix.environment import environment

    print(json.dumps(environment(), indent=2))
    return 0
