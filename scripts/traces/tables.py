"""The comparison in figures that are the same in every run: calls and depths, for a terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.table import Table

from scripts.markdown import table
from scripts.toolchain import ROOT
from scripts.traces.comparison import DELAY_MS, Comparison

DOCUMENT: Final = ROOT / "docs" / "traces.md"
PART: Final = "traces: comparison"
"""The part of the document that is this table."""

_COLUMNS: Final = ("an acquire", "calls before", "depth", "calls after", "depth", "waits saved")


def make_table(comparisons: Iterable[Comparison]) -> Table:
    """Write a case a row, for a terminal."""
    name, *numbers = _COLUMNS
    title = f"Calls to DynamoDB, which is {DELAY_MS} ms away, and their sequential depth"
    shown = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    shown.add_column(name)
    for number in numbers:
        shown.add_column(number.replace(" ", "\n"), justify="right")
    for comparison in comparisons:
        shown.add_row(*_cells(comparison))
    return shown


def render_table(comparisons: Iterable[Comparison]) -> str:
    """Write a case a row, as Markdown."""
    return table(_COLUMNS, map(_cells, comparisons))


def _cells(comparison: Comparison) -> Sequence[str]:
    case, before, after = comparison
    numbers = (len(before.calls), before.depth, len(after.calls), after.depth, comparison.saved)
    return (case.name, *map(str, numbers))
