"""What a crowd got, as it is judged by a stream: delivery by figures, and every excess."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from leasegate import Limit, schema
from leasegate.operations import Item, Value
from leasegate.stream import StreamRecord
from scripts.crowd.judging import judge
from tests.stream import stream_record

LIMIT: Final = Limit.per_second("rps", 10, burst=2)
KEY: Final = schema.bucket_key("crowd", "gpt-4")
START_MS: Final = 1_790_000_000_000


def stream(times_ms: Iterable[int]) -> list[StreamRecord]:
    """Return the records of a bucket that granted one token at each of these times."""
    records: list[StreamRecord] = []
    before: Item | None = None
    for count, time_ms in enumerate(times_ms, 1):
        item: dict[str, Value] = {
            schema.LIMITS: schema.render_limits({LIMIT.name: LIMIT}),
            schema.STAMP: "e:1",
            schema.VERSION: count,
            schema.WRITTEN_AT: START_MS + time_ms,
            schema.GRANTS: count,
            schema.EXPIRES_AT: 0,
            schema.used_attribute(LIMIT.name): count,
        }
        records.append(stream_record(KEY, before, item, count))
        before = item
    return records


def test_grants_at_the_rate_of_the_limit_are_all_of_it() -> None:
    verdict = judge(stream([0, 0, *range(100, 1_001, 100)]), KEY, LIMIT, START_MS + 1_000)
    assert verdict.excess is None
    assert (verdict.granted, verdict.allowed, verdict.share) == (12, 12, 1)
    assert verdict.longest_pause_ms == 100


def test_one_grant_too_many_is_an_excess() -> None:
    verdict = judge(stream([0, 0, 99]), KEY, LIMIT, START_MS + 1_000)
    assert verdict.excess is not None


def test_what_was_not_delivered_shows() -> None:
    verdict = judge(stream([0, 500]), KEY, LIMIT, START_MS + 800)
    assert verdict.share == 0.2
    assert verdict.longest_pause_ms == 500


def test_other_buckets_are_left_out() -> None:
    other = stream_record(schema.bucket_key("other", "gpt-4"), None, {schema.WRITTEN_AT: START_MS})
    assert judge([other, *stream([0])], KEY, LIMIT, START_MS).writes == 1
