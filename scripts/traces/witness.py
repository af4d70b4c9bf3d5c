"""What X-Ray recorded of requests to a stack: the calls behind each answer, held to what the functions say of it.

The last part of the demonstration. Nothing that was asked had anything to do with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.table import Table

from leasegate.cli.waterfall import operations
from leasegate.tracing import Trace


class Seen(NamedTuple):
    """Requests that ended alike with the same calls; ``calls`` joins by ``+`` what ran side by side."""

    operation: str
    verdict: str
    calls: str
    depth: int
    round_trips: int
    call_count: int

    @property
    def is_right(self) -> bool:
        """Whether DynamoDB was waited for as often as the function says.

        An emulator on the same machine may answer a call before another has left that goes out beside it. So what
        runs side by side may be deeper here, though not less deep.
        """
        is_sequential = self.round_trips == self.call_count
        return self.depth == self.round_trips or (not is_sequential and self.depth > self.round_trips)


def witness(traces: Iterable[Trace]) -> Counter[Seen]:
    """Count the requests among some traces; what no request began is left out."""
    return Counter([_seen(trace) for trace in traces if "operation" in trace.annotations])


def _seen(trace: Trace) -> Seen:
    noted = trace.annotations
    verdict, round_trips = str(noted["verdict"]), int(noted["round_trips"])
    return Seen(str(noted["operation"]), verdict, operations(trace), trace.depth, round_trips, len(trace.calls))


def render(counts: Counter[Seen]) -> Table:
    """Show what was seen how often, most of it first."""
    table = Table(title=f"What X-Ray recorded of {counts.total()} requests")
    for title in ("request", "verdict", "calls to DynamoDB, in order"):
        table.add_column(title)
    for title in ("depth", "round trips", "times"):
        table.add_column(title, justify="right")
    for seen, times in _ordered(counts):
        sign = "[green]✓[/]" if seen.is_right else "[red]✗[/]"
        numbers = (str(seen.depth), str(seen.round_trips), f"{times:,}")
        table.add_row(f"{sign} {seen.operation}", seen.verdict, seen.calls or "[dim]none[/]", *numbers)
    return table


def _ordered(counts: Counter[Seen]) -> Sequence[tuple[Seen, int]]:
    return sorted(counts.items(), key=lambda counted: (counted[0].operation, -counted[1], counted[0]))
