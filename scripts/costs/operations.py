"""What each kind of call costs in units, by the formulas of the package, for entities alone and in cascades."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from leasegate.pricing import Shape
from leasegate.pricing.shapes import Family
from leasegate.pricing.units import Levels
from leasegate.schema import MAX_LEVELS
from scripts.markdown import table

LIMITS: Final = 2
UNITS: Final[Mapping[tuple[str, str], Callable[[Levels], int]]] = {
    ("granted, or settled by the process that was granted", "`B`"): lambda each: each.granted,
    ("refused by the table", "`2 B - min b`"): lambda each: each.refused,
    ("refused from memory", "0"): lambda _: 0,
    ("guessed wrong: so much more", "`max b`"): lambda each: each.second_try,
    ("adjusted without a lease, or over HTTP", "`2 B`, alone `B`"): lambda each: each.adjusted,
    ("durable lease granted", "`2 (B + l)`"): lambda each: each.stored(expires=False),
    ("durable lease ended", "`2 (B + l)`"): lambda each: each.closed(expires=False),
    ("each of these two where the lease expires", "`2 (B + l) + 1`"): lambda each: each.stored(expires=True),
    ("bucket created: so much more, once for each", "`2 n + 6 - b`"): lambda each: each.created,
    ("read units of a process that meets it first", "`6 + 4 (L - 1)`"): lambda each: each.read,
    ("read units of renewing what is known of a resource, every 15 s", "2"): lambda each: each.renewed,
}
"""What is done, and its formula, as they stand in the table; and how many units that is."""


def render_operations() -> str:
    """Render the units of ordinary buckets of few limits as a Markdown table, by levels that have limits."""
    levels = [Levels.of(Family(Shape(), LIMITS, count)) for count in range(1, MAX_LEVELS + 1)]
    heads = ["an acquire, or what follows it", "units", "alone"]
    heads += [f"{count} levels" for count in range(2, MAX_LEVELS + 1)]
    return table(heads, [[*row, *[units(each) for each in levels]] for row, units in UNITS.items()])
