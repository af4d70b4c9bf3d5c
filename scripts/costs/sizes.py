"""How large buckets get: that decides what a write of one costs."""

from __future__ import annotations

from itertools import groupby
from typing import Final

from leasegate import Limit, schema
from leasegate.flows.lifecycle import create, newborn
from leasegate.flows.reading import EntityReading, Resolved
from leasegate.flows.spending import Request
from leasegate.identifiers import MAX_TOKENS
from leasegate.limits import MAX_CONCURRENT, MAX_LIMITS, MAX_PERIOD_MS, index_limits
from leasegate.metering import item_size
from leasegate.operations import Item, Put
from scripts.costs.tables import LIMITS, START_MS

UNIT_BYTES: Final = 1_024


def fullest_bucket(count: int) -> Item:
    """Build a bucket as big as it gets: names of 16 characters, ids of 64, no round numbers, every slot taken."""
    limits = index_limits(
        Limit(f"limit-{number:02}-of-many", MAX_TOKENS - 1, MAX_TOKENS - 1, MAX_PERIOD_MS - 1)
        for number in range(count)
    )
    amounts = dict.fromkeys(limits, MAX_TOKENS - 1)
    request = Request("x" * 16, 0, START_MS)
    state = newborn(Resolved(f"e:{START_MS}", limits), "p" * 64, amounts, request)
    reading = EntityReading(schema.Entity(parent_id="p" * 64), None, None)
    bucket = create("e" * 64, "r" * 64, state, amounts, reading, request, grants=MAX_TOKENS - 1)[0]
    assert isinstance(bucket, Put)
    slots = {schema.request_attribute(slot): request.id for slot in range(schema.REQUEST_SLOTS)}
    refused = {schema.refused_attribute(name): MAX_TOKENS - 1 for name in limits}
    return {**bucket.item, **slots, **refused}


def fullest_size(count: int) -> int:
    """Return the size in bytes of :func:`fullest_bucket`."""
    return item_size(schema.bucket_key("e" * 64, "r" * 64), fullest_bucket(count))


def crowded_size(leases: int, *, grants: int = 999_999, refused: int = 999_999) -> int:
    """Return the size in bytes of a bucket of two limits of tokens and one of concurrency that leases hold.

    It has granted so many acquires, and each limit has ``refused`` so many.
    """
    limits = index_limits([*LIMITS, Limit.concurrent("streams", MAX_CONCURRENT, 60)])
    request = Request("x" * 16, 0, START_MS)
    amounts = {"rpm": 1, "tpm": 500, "streams": 1}
    state = newborn(Resolved(f"e:{START_MS}", limits), "project-1", amounts, request)
    reading = EntityReading(schema.Entity(), None, None)
    bucket = create("key-1", "gpt-4", state, amounts, reading, request, grants=grants)[0]
    assert isinstance(bucket, Put)
    item = dict(bucket.item)
    item |= {schema.refused_attribute(name): refused for name in limits if refused}
    (holder,) = [name for name in item if schema.is_holder_attribute(name)]
    lapses_at_ms = item.pop(holder)
    stem = holder[: -len(f"{leases:04}")]
    item |= {f"{stem}{number:04}": lapses_at_ms for number in range(leases)}
    item |= {schema.request_attribute(slot): request.id for slot in range(schema.REQUEST_SLOTS)}
    return item_size(schema.bucket_key("key-1", "gpt-4"), item)


def render_sizes() -> str:
    """Render the write units of the fullest buckets as a Markdown table."""
    lines = ["| limits of a bucket | its largest size | write units of a grant |", "|---|---|---|"]
    for units, counts in groupby(range(1, MAX_LIMITS + 1), lambda count: -(-fullest_size(count) // 1024)):
        group = list(counts)
        lines.append(f"| {group[0]} to {group[-1]} | {fullest_size(group[-1]):,} bytes | {units} |")
    return "\n".join(lines)


def render_crowds() -> str:
    """Render the write units of buckets that many leases hold as a Markdown table."""
    lines = ["| leases at a time | size of the bucket | write units of an acquire |", "|---|---|---|"]
    crowds = groupby(range(MAX_CONCURRENT + 1), lambda leases: -(-crowded_size(leases) // UNIT_BYTES))
    rows = [(units, list(leases)) for units, leases in crowds]
    for units, leases in [*rows[:3], rows[-1]]:
        lines.append(f"| {leases[0]:,} to {leases[-1]:,} | {crowded_size(leases[-1]):,} bytes | {units} |")
    return "\n".join(lines)
