"""Suggest the names that a mistyped word may mean."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, names: Iterable[str], prefix: str = "") -> str:
    """Return ": did you mean A or B?" with at most two names, the nearest first, or "" where none is near.

    A word that resembles no name, such as "LR", may still be part of some.
    """
    known = list(names)
    # One wrong letter of three, as in nfg for ngf, leaves a ratio of 2/3; less is no typo.
    partly = [name for name in known if len(word) > 1 and word.lower() in name.lower()]
    meant = [prefix + name for name in (get_close_matches(word, known, n=2, cutoff=0.65) or partly)[:2]]
    return f": did you mean {' or '.join(meant)}?" if meant else ""
