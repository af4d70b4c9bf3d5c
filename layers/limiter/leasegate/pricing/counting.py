"""What it costs to count usage from the table's stream: formulas, which tests hold to the aggregator.

A month's changes fall evenly into batches, and a batch's into buckets; each bucket of a batch is one write for
each window of time. So the question is how many of n places are taken where r things fall evenly among them:

    taken(n, r) = n (1 - (1 - 1/n)^r)

Each shard of the stream gathers changes for ``usage_window_s``, up to ``usage_batch``. Where that is seldom full,
a month has T spans of so many seconds, and

    batches       taken(shards T, changes)
    writes        taken(buckets T, changes), for each window of time

and where changes come faster,

    batches       changes / batch
    writes        batches taken(buckets / shards, batch), for each window of time

Either way,

    totals        taken(buckets W, changes), where a month has W such windows: the items that are written
    write units   u for each write of an item of u units, one for the index entry of each total, and two whenever
                  that moves: it sorts by the bits of all that was counted, which k writes of the same size
                  lengthen at most log2(k) times, rounded up, and at most k - 1 times
    read units    half a one whenever a process looks for a total for the first time: for each total once in each
                  of as many processes as there are shards, or for each write where one cannot remember them all

Uneven traffic costs less: it fills batches, and repeats buckets in them. Left out is what is written twice because
another process counted the same bucket meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, localcontext
from math import ceil
from typing import Final, NamedTuple

from .. import schema
from ..aggregator import TOTALS_REMEMBERED
from ..operations import Item, Key
from ..repository.sizes import item_size, write_units
from ..windows import UsagePlan, Window
from .months import HOURS, MINUTES, SECONDS
from .shapes import Family
from .traffic import Traffic

_DIGITS: Final = 60
"""What is left of the power of a number next to 1 where places and things have 15 digits each."""
_LOOK_UNITS: Final = Decimal("0.5")

WINDOWS_A_MONTH: Final[Mapping[Window, Decimal]] = {
    "minute": Decimal(MINUTES),
    "hour": Decimal(HOURS),
    "day": Decimal(HOURS) / 24,
    "month": Decimal(1),
}


class Total(NamedTuple):
    """The totals of a window of time as items: ``units`` of a write, bytes with their entry in the index."""

    units: int
    item_bytes: int
    entry_bytes: int

    @classmethod
    def of(cls, family: Family, window: Window, plan: UsagePlan) -> Total:
        """Size the totals of a bucket."""
        key, item = family.usage(window, plan)
        return cls(write_units(key, item), item_size(key, item), item_size(key, _entry(key, item)))


class Counted(NamedTuple):
    """What counting a month costs: ``totals`` are the items written, by window of time."""

    changes: Decimal
    batches: Decimal
    writes: Decimal
    totals: Mapping[Window, Decimal]
    write_units: Decimal
    read_units: Decimal


def taken(places: Decimal, things: Decimal) -> Decimal:
    """Return how many of so many places are taken, on average, where things fall evenly among them."""
    if places <= 1 or things <= 1:
        return min(things, Decimal(1))
    with localcontext(prec=_DIGITS):
        return places * (1 - (1 - 1 / places) ** things)


def write_units_of(writes: Decimal, totals: Decimal, units: int) -> Decimal:
    """Return the write units of so many writes, evenly of so many totals, with their entries in the index."""
    if not totals:
        return Decimal(0)
    each = writes / totals
    doublings = min(Decimal((ceil(each) - 1).bit_length()), each - 1)
    return writes * units + totals * (1 + 2 * doublings)


def changes_of(traffic: Traffic) -> tuple[Decimal, Decimal]:
    """Return the changes of buckets in a month: of those who acquire, and of their ancestors.

    A grant, a correction and the end of a lease are a change of each level. What is refused is none, but where one
    level of a cascade refuses: the others are spent from and given back, unless all is one transaction.
    """
    each = traffic.granted + traffic.corrected + traffic.stored
    above = each * traffic.cascade * (traffic.levels - 1)
    refused = traffic.acquires * traffic.refused * (1 - traffic.durable)
    returned = refused * traffic.cascade * 2 * (traffic.levels - 1)
    return each, above + returned


def count(traffic: Traffic, plan: UsagePlan) -> Counted:
    """Return what counting a month costs."""
    own, above = changes_of(traffic)
    changes = own + above
    spans = Decimal(SECONDS) / traffic.usage_window_s
    shards, batch = Decimal(traffic.shards), Decimal(traffic.usage_batch)
    is_full = changes > shards * spans * batch
    batches = changes / batch if is_full else taken(shards * spans, changes)
    buckets = traffic.buckets + traffic.ancestors
    is_remembered = buckets * len(plan.windows) <= TOTALS_REMEMBERED
    family = traffic.families()[-1][1]
    writes = units = looks = Decimal(0)
    totals: dict[Window, Decimal] = {}
    for window in plan.windows:
        per_month = WINDOWS_A_MONTH[window]
        of_window = Total.of(family, window, plan)
        for number, of_population in ((Decimal(traffic.buckets), own), (Decimal(traffic.ancestors), above)):
            items = taken(number * per_month, of_population)
            if is_full:
                written = batches * taken(number / shards, batch * of_population / changes)
            else:
                written = taken(number * spans, of_population)
            written = max(written, items)
            writes += written
            units += write_units_of(written, items, of_window.units)
            looks += min(written, items * shards) if is_remembered else written
            totals[window] = totals.get(window, Decimal(0)) + items
    return Counted(changes, batches, writes, totals, units, looks * _LOOK_UNITS)


def _entry(key: Key, item: Item) -> Item:
    return {name: item[name] for name in (schema.GSI1PK, schema.GSI1SK)}
