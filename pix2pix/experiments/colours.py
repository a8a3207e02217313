"""How often each value of L, a and b occurs in translations and in true images, as the pix2pix paper's Figure 7."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pix2pix.experiments.records import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe and Ito's, which colour-blind people tell apart too; black is the truth's. Source: Color Universal Design."""
_STYLES = ("-", "--", ":")


def draw_colours(file: Path, results: Sequence[Result], title: str) -> None:
    """Draw the marginals of L, a and b, logarithmic, of the first seed of each choice and of the true images.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # takes a second; without pyplot it needs no screen

    figure = Figure(figsize=(13, 4.8), layout="constrained")
    figure.suptitle(_plain(title))
    panels = figure.subplots(1, 3)
    for channel, panel in zip(("L", "a", "b"), panels, strict=True):
        _draw_channel(panel, channel, results)
    handles, names = panels[0].get_legend_handles_labels()
    columns = max(1, min(5, int(150 / (max(map(len, names)) + 8))))  # about 150 letters fit into the width
    figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False)
    figure.savefig(file, dpi=120)


def _draw_channel(panel: "Axes", channel: str, results: Sequence[Result]) -> None:
    truth = results[0].metrics["histograms"]
    panel.plot(*_marginal(truth, "truth", channel), color="black", lw=2.5, label="ground truth")
    for number, result in enumerate(results):
        style = _STYLES[number // len(_COLOURS) % len(_STYLES)]
        values, shares = _marginal(result.metrics["histograms"], "output", channel)
        colour = _COLOURS[number % len(_COLOURS)]
        panel.plot(values, shares, style, color=colour, lw=1.5, label=_plain(", ".join(result.cell.labels)))
    panel.set(title=channel, xlabel=channel, yscale="log", ylim=(1e-6, 1))
    panel.set_ylabel("share of all pixels in a bin, logarithmic" if channel == "L" else "")
    panel.grid(color="0.9")


def _plain(text: str) -> str:
    """The text as Matplotlib draws it letter by letter: dollars begin formulas, and legends pass over _names."""
    return f"{' ' * text.startswith('_')}{text}".replace("$", r"\$")


def _marginal(histograms: Mapping[str, Any], of: str, channel: str) -> tuple[list[float], list[float]]:
    """Return the middles of the bins, and the share of the pixels in each; NaN, a gap in the line, for none."""
    counts = histograms[of][channel]
    low, high = histograms["ranges"][channel]
    width = (high - low) / len(counts)
    total = sum(counts)
    shares = [count / total if count else float("nan") for count in counts]
    return [low + width * (place + 0.5) for place in range(len(counts))], shares
