"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table of these heads, with a line for each row; cells stand in it as they are."""
    return "\n".join([_line(heads), f"|{'---|' * len(heads)}", *map(_line, rows)])


def _line(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"
