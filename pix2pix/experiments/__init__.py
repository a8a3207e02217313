"""Experiments: a grid of runs, each trained and evaluated once, and one table of them."""

from pix2pix.experiments.records import Cell, Result

__all__ = ["Cell", "Result"]
