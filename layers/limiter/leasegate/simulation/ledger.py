"""The invariant of exact admission, and what a refusal is held to: by sums of their own, from items alone.

Whatever wrote the items, a simulated table or a real one: nothing is refused that is there, and for every two
grants of a limit ``cost(i..j) - returned(i..j) <= (now_j - now_i) * A + C * P``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import cast

from .. import schema
from ..limits import Limit
from ..operations import Item, Key
from .calls import Violation

type Terms = tuple[int, int, int]
"""Capacity, tokens a period, period in ms; or capacity, 0, lease in ms."""


@dataclass(slots=True)
class Line:
    """Holds what is spent of one limit to the invariant, in the order in which the table applied the writes.

    In tokens weighed by P, with the clock reading that each write carried. One look a write: the i that allows
    least is the one with the greatest ``now_i * A - spent before i``.
    """

    spent: int = 0
    worst: int | None = None

    def spend(self, terms: Terms, tokens: int, now_ms: int) -> bool:
        """Take in what was spent, or (negative) returned; say whether the limit allows it.

        Only a grant has to ask: a correction spends whatever is there, and the grants after it have to wait.
        """
        capacity, amount, period_ms = terms
        if tokens > 0:
            slack = now_ms * amount - self.spent
            self.worst = slack if self.worst is None else max(self.worst, slack)
        self.spent += tokens * period_ms
        return self.worst is None or self.spent <= now_ms * amount + capacity * period_ms - self.worst


@dataclass(slots=True)
class Ledger:
    """Follows every write of every bucket through the items that it left, as a stream or a table shows them."""

    buckets: dict[Key, Item] = field(default_factory=dict)
    lines: dict[tuple[Key, str], tuple[Terms, Line]] = field(default_factory=dict)

    def follow(self, key: Key, item: Item | None) -> dict[str, int]:
        """Take in a bucket as it is now (None: deleted); return what was spent since, by limit.

        Raises :class:`~leasegate.simulation.calls.Violation` where a grant was of tokens that were not there.
        """
        before = self.buckets.get(key, {})
        if item is None:
            self.buckets.pop(key, None)
            for place in [place for place in self.lines if place[0] == key]:
                del self.lines[place]
            return {}
        if item is before:
            return {}
        self.buckets[key] = item
        is_granted = _count(item, schema.GRANTS) > _count(before, schema.GRANTS)
        now_ms = _count(item, schema.WRITTEN_AT)
        spent: dict[str, int] = {}
        for name, terms in cast("Mapping[str, Terms]", item[schema.LIMITS]).items():
            used = schema.used_attribute(name)
            tokens = spent[name] = _count(item, used) - _count(before, used)
            known, line = self.lines.get((key, name), ((), Line()))
            if known != terms:
                line = Line()
            self.lines[key, name] = terms, line
            if not line.spend(terms, tokens, now_ms) and tokens > 0 and is_granted:
                raise Violation(f"{tokens} tokens of {name} were granted that were not there, at {now_ms}", key)
        return spent


def lacks(item: Item, limit: Limit, cost: int, now_ms: int) -> bool:
    """Say, by rational numbers and not by the limiter's own arithmetic, that so much is not in a bucket."""
    if limit.is_concurrent:
        prefix = schema.holder_attribute(limit.name, "")
        untils = [cast("int", until) for name, until in item.items() if name.startswith(prefix)]
        return sum([until > now_ms for until in untils]) + cost > limit.capacity
    tat = cast("int | None", item.get(schema.tat_attribute(limit.name)))
    if tat is None:
        return cost > limit.capacity
    debt = max(Fraction(0), Fraction(tat, limit.amount) - now_ms) * Fraction(limit.amount, limit.period_ms)
    return limit.capacity - debt < cost


def _count(item: Item, attribute: str) -> int:
    return cast("int", item.get(attribute, 0))
