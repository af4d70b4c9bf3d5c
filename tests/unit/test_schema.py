"""Items: their sizes decide what a write costs."""

from __future__ import annotations

from leasegate import Limit, schema
from leasegate.identifiers import MAX_TOKENS
from leasegate.limits import MAX_PERIOD_MS
from leasegate.pricing.shapes import AT_MS
from scripts.costs.sizes import LONGEST, ORDINARY, fullest_bucket, fullest_size


def test_a_bucket_of_ten_limits_costs_one_where_nothing_is_out_of_the_ordinary() -> None:
    assert fullest_size(10, ORDINARY) <= 1024


def test_a_bucket_of_four_limits_costs_one_and_of_sixteen_three_however_long_its_names_and_numbers() -> None:
    assert fullest_size(4) <= 1024
    assert fullest_size(16) <= 3072


def test_a_bucket_is_read_as_it_was_written() -> None:
    bucket = schema.parse_bucket(fullest_bucket(3))
    assert list(bucket.limits) == sorted(bucket.limits)
    assert bucket.limits == LONGEST.limits(3)
    first, *_ = bucket.limits.values()
    assert first == Limit(first.name, MAX_TOKENS - 1, MAX_TOKENS - 1, MAX_PERIOD_MS - 1)
    assert len(first.name) == 16
    assert bucket.parent_id == "p" * 64
    assert bucket.version > AT_MS * 1000
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
