"""A small crowd of processes at one bucket of the deployed stack, judged as by ``make crowd``, but not timed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leasegate import Limit
from scripts.crowd.__main__ import ask

if TYPE_CHECKING:
    from scripts.stack import Stack

PROCESSES = 4
SECONDS = 4


def test_a_crowd_gets_what_the_bucket_counts_and_never_more_than_the_limit(stack: Stack) -> None:
    limit = Limit.per_minute("rpm", 60, burst=5)
    outcome = ask(stack, "small-crowd", limit, PROCESSES, SECONDS)
    verdict = outcome.verdict
    assert verdict.excess is None
    assert verdict.granted == verdict.writes == sum(outcome.each)
    assert outcome.tally.unknown == 0
    assert limit.capacity <= verdict.granted <= verdict.allowed
    assert outcome.tally.answers[429] >= PROCESSES
