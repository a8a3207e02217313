"""Experiments: a grid of runs, each trained and evaluated once, and one table of them."""

from pix2pix.experiments.cells import cells
from pix2pix.experiments.evaluations import evaluated_before, networks
from pix2pix.experiments.records import Cell, Result
from pix2pix.experiments.report import write_report
from pix2pix.experiments.runs import FREE, Run, find, free_name, identity

__all__ = [
    "FREE",
    "Cell",
    "Result",
    "Run",
    "cells",
    "evaluated_before",
    "find",
    "free_name",
    "identity",
    "networks",
    "write_report",
]
