"""How large buckets get: that decides what a write of one costs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Final

from leasegate import Limit, schema
from leasegate.flows.lifecycle import create, newborn
from leasegate.flows.reading import EntityReading, Resolved
from leasegate.flows.spending import Request
from leasegate.identifiers import MAX_TOKENS
from leasegate.limits import MAX_CONCURRENT, MAX_LIMITS, MAX_PERIOD_MS, index_limits
from leasegate.metering import item_size
from leasegate.operations import Item, Key, Put
from scripts.costs.tables import LIMITS, START_MS

UNIT_BYTES: Final = 1_024


@dataclass(frozen=True, slots=True)
class Shape:
    """How long everything in a bucket is; numbers without round ones, which would be shorter.

    Attributes:
        about: what it is, in words.
        name: the names of limits, by their number.
        ids: how long ids are.
        tokens: capacities, amounts, and whatever is counted.
        period_ms: the period of all limits.
    """

    about: str
    name: str
    ids: int
    tokens: int
    period_ms: int

    def key(self) -> Key:
        """Return the key of a bucket of this shape."""
        return schema.bucket_key("e" * self.ids, "r" * self.ids)


ORDINARY: Final = Shape(
    "ids of 36 characters, limit names of 5, tokens and counts to a million", "lim{:02}", 36, 999_999, 60_000
)
LONGEST: Final = Shape(
    "ids of 64 characters, limit names of 16, every number as long as it can get",
    "limit-{:02}-of-many",
    64,
    MAX_TOKENS - 1,
    MAX_PERIOD_MS - 1,
)


def fullest_bucket(count: int, shape: Shape = LONGEST) -> Item:
    """Build a bucket as big as it gets: every slot taken, every limit in use, and refusals of each."""
    limits = index_limits(
        Limit(shape.name.format(number), shape.tokens, shape.tokens, shape.period_ms) for number in range(count)
    )
    amounts = dict.fromkeys(limits, shape.tokens)
    request = Request("x" * 16, 0, START_MS)
    parent_id = "p" * shape.ids
    state = newborn(Resolved(f"e:{START_MS}", limits), parent_id, amounts, request)
    reading = EntityReading(schema.Entity(parent_id=parent_id), None, None)
    entity_id, resource = schema.bucket_of(shape.key())
    bucket = create(entity_id, resource, state, amounts, reading, request, grants=shape.tokens)[0]
    assert isinstance(bucket, Put)
    slots = {schema.request_attribute(slot): request.id for slot in range(schema.REQUEST_SLOTS)}
    refused = {schema.refused_attribute(name): shape.tokens for name in limits}
    return {**bucket.item, **slots, **refused}


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
    lines = ["| a bucket with | limits | largest size | write units of a grant |", "|---|---|---|---|"]
    for shape in (ORDINARY, LONGEST):
        sizes = [fullest_size(count, shape) for count in range(1, MAX_LIMITS + 1)]
        for units, counts in groupby(enumerate(sizes, start=1), lambda sized: -(-sized[1] // UNIT_BYTES)):
            (first, _), *_, (last, size) = counts
            lines.append(f"| {shape.about} | {first} to {last} | {size:,} bytes | {units} |")
    return "\n".join(lines)


def render_crowds() -> str:
    """Render the write units of buckets that many leases hold as a Markdown table."""
    lines = ["| leases at a time | size of the bucket | write units of an acquire |", "|---|---|---|"]
    crowds = groupby(range(MAX_CONCURRENT + 1), lambda leases: -(-crowded_size(leases) // UNIT_BYTES))
    rows = [(units, list(leases)) for units, leases in crowds]
    for units, leases in [*rows[:3], rows[-1]]:
        lines.append(f"| {leases[0]:,} to {leases[-1]:,} | {crowded_size(leases[-1]):,} bytes | {units} |")
    return "\n".join(lines)
