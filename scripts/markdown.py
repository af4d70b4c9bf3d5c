"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from tabulate import DataRow, TableFormat, tabulate

_ROW: Final = DataRow("|", "|", "|")
_FORM: Final = TableFormat(
    lineabove=None,
    linebelowheader=lambda widths, _alignments: f"|{'---|' * len(widths)}",
    linebetweenrows=None,
    linebelow=None,
    headerrow=_ROW,
    datarow=_ROW,
    padding=1,
    with_header_hide=None,
)
"""GitHub's, without blanks to make cells as wide as the widest one, for some hold whole sentences."""


def table(heads: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table of these heads, with a line for each row; cells stand in it as they are."""
    return tabulate(rows, heads, tablefmt=_FORM, disable_numparse=True, stralign=None, numalign=None)
