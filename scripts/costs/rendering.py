"""The tables of the README, as they are measured now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from scripts.costs.acquires import ACQUIRES
from scripts.costs.administration import ADMINISTRATION
from scripts.costs.leases import LEASES
from scripts.costs.sizes import render_crowds, render_sizes
from scripts.costs.tables import Row, Situation, Table, measure
from scripts.costs.usage import USAGE
from scripts.generated import fill_in
from scripts.markdown import table

README: Final = Path(__file__).parents[2] / "README.md"
SITUATIONS: Final[Mapping[str, Situation]] = {**ACQUIRES, **LEASES, **ADMINISTRATION, **USAGE}


def measure_situation(situation: str, table: Table, among: Mapping[str, Situation] = SITUATIONS) -> Row:
    """Bring an empty table into a situation, make the call, and return what that cost."""
    meter = measure(table, among[situation](table))
    return Row(situation, meter.round_trips, meter.calls, meter.write_units, meter.read_units)


def render_situations(title: str, situations: Mapping[str, Situation]) -> str:
    """Render the round trips as a Markdown table."""
    rows = [measure_situation(situation, Table.in_memory(), situations) for situation in situations]
    return table([title, "round trips", "calls", "write units", "read units"], rows)


def render_tables() -> dict[str, str]:
    """Return all tables by their names, as they are measured now."""
    return {
        "situations": render_situations("an acquire", ACQUIRES),
        "leases": render_situations("to", LEASES),
        "administration": render_situations("to", ADMINISTRATION),
        "usage": render_situations("to", USAGE),
        "sizes": render_sizes(),
        "crowds": render_crowds(),
    }


def fill_in_tables(page: str, tables: Mapping[str, str]) -> str:
    """Return a page with these tables, each between its markers."""
    for name, content in tables.items():
        page = fill_in(page, f"costs: {name}", content)
    return page
