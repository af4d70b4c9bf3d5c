"""A short outage, with real connections and a real table: nothing is admitted that should not be."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from scripts.outage.measurement import CHOICES, TROUBLES, measure
from scripts.outage.proxy import proxy

if TYPE_CHECKING:
    from scripts.outage.records import Record

WITHOUT_THE_TABLE = {"raise": {"failed", "unsure"}, "allow": {"allowed"}, "refuse": {"declined"}}


@pytest.fixture(scope="module")
def records(dynamodb_local: str) -> dict[str, Record]:
    logger = logging.getLogger("leasegate")
    level = logger.level
    logger.setLevel(logging.ERROR)  # a warning for each call
    try:
        with proxy(dynamodb_local) as way:
            measured = measure(dynamodb_local, way, 3, deadline_ms=1000, threads=4, after_s=3)
    finally:
        logger.setLevel(level)
    return {record.on_unavailable: record for record in measured}


def test_every_grant_is_in_the_bucket_and_no_more_than_the_limit_lets_through(records: dict[str, Record]) -> None:
    assert len(TROUBLES) == 3
    assert list(records) == list(CHOICES)
    for record in records.values():
        assert record.is_exact
        assert record.verdicts["granted"] > 0


def test_without_the_table_each_limiter_does_what_it_was_told_and_nothing_else(records: dict[str, Record]) -> None:
    for name, record in records.items():
        others = record.verdicts.keys() - {"granted", "refused", "remembered"}
        assert others
        assert others <= WITHOUT_THE_TABLE[name]


def test_the_table_answers_before_the_outage_and_after_it(records: dict[str, Record]) -> None:
    for record in records.values():
        assert [call for call in record.calls if call.is_answered and call.ended_s < record.down_s]
        assert [call for call in record.calls if call.is_answered and call.began_s > record.up_s]
