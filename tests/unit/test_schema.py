"""Items: their sizes decide what a write costs."""

from __future__ import annotations

import pytest

from leasegate import Limit, schema
from leasegate.flows.lifecycle import create, newborn
from leasegate.flows.reading import EntityReading, Resolved
from leasegate.flows.spending import Request
from leasegate.identifiers import MAX_TOKENS
from leasegate.limits import MAX_PERIOD_MS, index_limits
from leasegate.metering import item_size
from leasegate.operations import Item, Put

NOW_MS = 1_790_000_000_123
ENTITY_ID = "e" * 64
RESOURCE = "r" * 64
UNITS = (1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2)
"""Write units of a bucket with 1 to 16 limits: names of 16, ids of 64 characters, numbers as long as they get."""


def fullest_bucket(count: int) -> Item:
    """Build a bucket as big as it gets: every request slot taken, a parent, nothing round about its numbers."""
    limits = index_limits(
        Limit(f"limit-{number:02}-of-many"[:16], MAX_TOKENS - 1, MAX_TOKENS - 1, MAX_PERIOD_MS - 1)
        for number in range(count)
    )
    amounts = dict.fromkeys(limits, MAX_TOKENS - 1)
    request = Request("x" * 16, 0, NOW_MS)
    state = newborn(Resolved(f"e:{NOW_MS}", limits), "p" * 64, amounts, request)
    reading = EntityReading(schema.Entity("p" * 64, frozenset(), created=True), None, None)
    bucket = create(ENTITY_ID, RESOURCE, state, amounts, reading, request)[0]
    assert isinstance(bucket, Put)
    slots = {schema.request_attribute(slot): "x" * 16 for slot in range(schema.REQUEST_SLOTS)}
    return {**bucket.item, **slots}


def test_a_bucket_of_four_limits_costs_one_write_unit() -> None:
    assert item_size(schema.bucket_key(ENTITY_ID, RESOURCE), fullest_bucket(4)) < 1024


@pytest.mark.parametrize("count", range(1, 17))
def test_the_units_of_a_write_are_those_published(count: int) -> None:
    size = item_size(schema.bucket_key(ENTITY_ID, RESOURCE), fullest_bucket(count))
    assert -(-size // 1024) == UNITS[count - 1], f"{count} limits take {size} bytes"


def test_a_bucket_is_read_as_it_was_written() -> None:
    bucket = schema.parse_bucket(fullest_bucket(3))
    assert list(bucket.limits) == sorted(bucket.limits)
    assert bucket.limits["limit-00-of-many"] == Limit(
        "limit-00-of-many", MAX_TOKENS - 1, MAX_TOKENS - 1, MAX_PERIOD_MS - 1
    )
    assert bucket.parent_id == "p" * 64
    assert bucket.version == NOW_MS * 1000
    assert len(bucket.tats) == 3
    assert len(bucket.requests) == 8


def test_keys_of_different_things_never_meet() -> None:
    keys = [
        schema.bucket_key("a", "b"),
        schema.entity_key("a"),
        schema.entity_limits_key("a", "b"),
        schema.entity_limits_key("a", None),
        schema.resource_defaults_key("a"),
        schema.system_defaults_key(),
        schema.registry_key(),
    ]
    assert len(set(keys)) == len(keys)
