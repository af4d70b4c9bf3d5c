"""The tables of the guide's page on performance, as they are worked out now."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Final

from leasegate.pricing import PRICES
from leasegate.pricing.prices import MILLION, Price
from scripts.costs.acquires import ACQUIRES
from scripts.costs.batches import BATCHES
from scripts.costs.operations import render_operations
from scripts.costs.processors import WAIT_MS, render_functions
from scripts.costs.rendering import measure_situation, render_situations
from scripts.costs.scenarios import render_capacity, render_months
from scripts.costs.tables import Table
from scripts.markdown import table
from scripts.toolchain import ROOT

PAGE: Final[Path] = ROOT / "docs" / "performance.md"


def render_guide() -> dict[str, str]:
    """Return all tables by their names."""
    return {
        "operations": render_operations(),
        "capacity": render_capacity(),
        "functions": render_functions(),
        "batches": render_situations("25 questions", BATCHES),
        "waits": render_waits(),
        "prices": render_prices(),
        "months": render_months(),
    }


def render_waits() -> str:
    """Render the situations of an acquire by how often it waits, as a Markdown table."""
    found: dict[int, list[str]] = defaultdict(list)
    for situation in ACQUIRES:
        row = measure_situation(situation, Table.in_memory())
        # It stands apart here from the one before it, which it is the same as.
        found[row.round_trips].append(situation.replace("the same", "bucket that does not exist yet"))
    rows = [(n, f"{n * WAIT_MS} ms", "; ".join(situations)) for n, situations in sorted(found.items())]
    return table(["round trips", f"at {WAIT_MS} ms each", "an acquire"], rows)


def render_prices() -> str:
    """Render the prices that everything is worked out with as a Markdown table."""
    rows = [
        (f"`{name}`", _asked(price), price.unit, f"[{price.as_of}]({price.source})")
        for name, price in PRICES.items()
    ]
    return table(["`--price`", "asked", "of", "as of"], rows)


def _asked(price: Price) -> str:
    per = " a million" if price.per == MILLION else ""
    return "; ".join([f"${price.usd}{per}", *[f"${usd} above {end:,}" for end, usd in price.above]])
