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
from leasegate.pricing.shapes import Family, Shape
from scripts.costs.tables import LIMITS, START_MS
from scripts.markdown import table

UNIT_BYTES: Final = 1_024


ORDINARY: Final = Shape()
LONGEST: Final = Shape(ids=64, names=16, tokens=MAX_TOKENS - 1, period_ms=MAX_PERIOD_MS - 1)
ABOUT: Final = {
    ORDINARY: "ids of 36 characters, limit names of 5, tokens and counts to a million",
    LONGEST: "ids of 64 characters, limit names of 16, every number as long as it can get",
}


def fullest_bucket(count: int, shape: Shape = LONGEST) -> Item:
    """Build a bucket with a parent as big as it gets."""
    return Family(shape, count, levels=2).fullest_bucket()


def fullest_size(count: int, shape: Shape = LONGEST) -> int:
    """Return the size in bytes of :func:`fullest_bucket`."""
    return item_size(shape.key(), fullest_bucket(count, shape))


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
    rows = []
    for shape, about in ABOUT.items():
        sizes = [fullest_size(count, shape) for count in range(1, MAX_LIMITS + 1)]
        for units, counts in groupby(enumerate(sizes, start=1), lambda sized: -(-sized[1] // UNIT_BYTES)):
            (first, _), *_, (last, size) = counts
            rows.append((about, f"{first} to {last}", f"{size:,} bytes", units))
    return table(["a bucket with", "limits", "largest size", "write units of a grant"], rows)


def render_crowds() -> str:
    """Render the write units of buckets that many leases hold as a Markdown table."""
    crowds = groupby(range(MAX_CONCURRENT + 1), lambda leases: -(-crowded_size(leases) // UNIT_BYTES))
    steps = [(units, list(leases)) for units, leases in crowds]
    rows = [
        (f"{leases[0]:,} to {leases[-1]:,}", f"{crowded_size(leases[-1]):,} bytes", units)
        for units, leases in [*steps[:3], steps[-1]]
    ]
    return table(["leases at a time", "size of the bucket", "write units of an acquire"], rows)
