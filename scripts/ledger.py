"""What the demonstration spent, as the table's stream has counted it: the last part of the demonstration.

Nothing that acquired had anything to do with it. The aggregator counts a moment later, so this waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rich.markup import escape
from rich.table import Table

from scripts.api import ApiClient

RESOURCE: Final = "gpt-4"
"""What is spent in all parts of the demonstration."""
DEADLINE_S: Final = 30
_PAUSE_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Spent:
    """What an entity was granted, as the demonstration itself noted it."""

    entity_id: str
    grants: int
    tokens: Mapping[str, int]


@dataclass(slots=True)
class Counted:
    """What is counted of an entity: its windows, as the API shows them."""

    spent: Spent
    windows: Sequence[Mapping[str, Any]] = field(default_factory=tuple)

    @property
    def grants(self) -> int:
        """All grants that are counted."""
        return sum(window["grants"] for window in self.windows)

    def tokens(self, name: str) -> int:
        """All tokens of a limit that are counted."""
        return sum(window["limits"].get(name, {}).get("tokens", 0) for window in self.windows)

    @property
    def is_right(self) -> bool:
        """Whether just that is counted which was spent."""
        tokens = {name: self.tokens(name) for name in self.spent.tokens}
        return self.grants == self.spent.grants and tokens == self.spent.tokens


def await_counts(api: ApiClient, spent: Sequence[Spent], deadline_s: float = DEADLINE_S) -> list[Counted]:
    """Ask for the usage of every entity until all is counted, or the time is over."""
    counts = [Counted(each) for each in spent]
    deadline = time.monotonic() + deadline_s
    while True:
        for count in counts:
            path = f"/entities/{count.spent.entity_id}/usage?resource={RESOURCE}&window=hour"
            count.windows = api.get(path).json().get("items", ())
        if all(count.is_right for count in counts) or time.monotonic() > deadline:
            return counts
        time.sleep(_PAUSE_S)


def render(counts: Sequence[Counted]) -> Table:
    """Show every window of every entity, limit by limit."""
    table = Table(title=f"What the table's stream says was spent of {RESOURCE}, by the hour")
    for title in ("who", "hour"):
        table.add_column(title)
    for title in ("grants", "limit", "tokens", "most in use", "refused"):
        table.add_column(title, justify="right")
    for count in counts:
        sign = "[green]✓[/]" if count.is_right else "[red]✗[/]"
        for window in count.windows:
            for name, limit in window["limits"].items():
                figures = (limit["tokens"], limit["peak"], limit["refused"])
                table.add_row(
                    f"{sign} {escape(count.spent.entity_id)}",
                    window["start"],
                    f"{window['grants']:,}",
                    escape(name),
                    *(f"{figure:,}" for figure in figures),
                )
    return table
