"""Which names did a mistyped word mean? Ranked by edit distance, since option names are short."""

from collections.abc import Iterable


def distance(a: str, b: str) -> int:
    """Count the deletions, insertions, substitutions and swaps of neighbours that turn a into b.

    Source: Damerau 1964; the variant in which no letter is edited twice (optimal string alignment).
    """
    two_up: list[int] = []
    above = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        row = [i]
        for j, y in enumerate(b, start=1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, two_up[j - 2] + 1)
            row.append(cost)
        two_up, above = above, row
    return above[-1]


def nearest(word: str, names: Iterable[str]) -> list[str]:
    """Return at most two names that the word may have meant, the nearest first; ties keep the order given.

    A word far from all names, such as "batch", may still be part of some.
    """
    limit, known = max(1, len(word) // 3), list(names)
    # Words of another length than any name need no measuring: its time is the product of the lengths.
    near = [(distance(word, name), name) for name in known if abs(len(word) - len(name)) <= limit]
    meant = [name for cost, name in sorted(near, key=lambda pair: pair[0]) if cost <= limit]
    return (meant or [name for name in known if len(word) > 1 and word.lower() in name.lower()])[:2]


def did_you_mean(word: str, names: Iterable[str], prefix: str = "") -> str:
    """Return ": did you mean A or B?", or "" where no name is near."""
    meant = [prefix + name for name in nearest(word, names)]
    return f": did you mean {' or '.join(meant)}?" if meant else ""
