"""What must hold of every history: the invariant of exact admission, and that nothing is charged from nowhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import cast

from leasegate import Limit, schema
from leasegate.operations import Item, Key


@dataclass
class LimitLedger:
    """Holds one limit of one bucket to: cost(i..j) - returned(i..j) <= (now_j - now_i) * A + C * P.

    In tokens weighed by P, in the order in which writes were applied, with the clock reading each carried.
    Checked in O(1) a write: the i that allows least is the one with the greatest ``now_i * A - spent before i``.
    """

    limit: Limit
    spent: int = 0
    worst: int | None = None

    def write(self, tokens: int, now_ms: int, *, is_granted: bool = True) -> None:
        """Take in a grant (positive) or a return (negative), and check the grant.

        What was not granted, a correction upward, is spent whatever is there; the grants after it have to wait.
        """
        weight = tokens * self.limit.period_ms
        if weight > 0:
            slack = now_ms * self.limit.amount - self.spent
            self.worst = slack if self.worst is None else max(self.worst, slack)
        self.spent += weight
        if weight > 0 and is_granted:
            assert self.worst is not None
            allowed = now_ms * self.limit.amount + self.limit.capacity * self.limit.period_ms - self.worst
            assert self.spent <= allowed, f"{self.limit} over-admitted {self.spent - allowed} at {now_ms}"


@dataclass
class Ledger:
    """Follows every write of every bucket through the items it leaves."""

    buckets: dict[Key, Item] = field(default_factory=dict)
    limits: dict[tuple[Key, str], LimitLedger] = field(default_factory=dict)

    def follow(self, key: Key, item: Item | None) -> dict[str, int]:
        """Take in a bucket as it is now (None: deleted); return what was spent since, by limit."""
        before = self.buckets.get(key)
        if item is None:
            self.buckets.pop(key, None)
            for place in [place for place in self.limits if place[0] == key]:
                del self.limits[place]
            return {}
        if item is before:
            return {}
        spent: dict[str, int] = {}
        is_granted = _grants(item) > _grants(before)
        self.buckets[key] = item
        for name, limit in schema.parse_bucket(item).limits.items():
            used = cast("int", item.get(schema.used_attribute(name), 0))
            used_before = 0 if before is None else cast("int", before.get(schema.used_attribute(name), 0))
            ledger = self.limits.get((key, name))
            if ledger is None or ledger.limit != limit:
                ledger = self.limits[key, name] = LimitLedger(limit)
            spent[name] = used - used_before
            ledger.write(used - used_before, cast("int", item[schema.WRITTEN_AT]), is_granted=is_granted)
        return spent


def _grants(item: Item | None) -> int:
    return 0 if item is None else cast("int", item.get(schema.GRANTS, 0))


def lacks(limit: Limit, tat: int | None, cost: int, now_ms: int) -> bool:
    """Say, by rational numbers and not by the limiter's own arithmetic, that the tokens are not there."""
    if tat is None:
        return cost > limit.capacity
    debt = max(Fraction(0), Fraction(tat, limit.amount) - now_ms) * Fraction(limit.amount, limit.period_ms)
    return limit.capacity - debt < cost
