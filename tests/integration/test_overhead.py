"""The measurement of what tracing costs: that it compares what it says it compares."""

from __future__ import annotations

from collections import Counter

import pytest

from scripts.generated import filled_in
from scripts.traces.daemon import listening
from scripts.traces.overhead import PAGE, PART, QUESTIONS, SERVICE, WAYS, Measured, measure, render

TURNS = 2
REQUESTS = 3


@pytest.fixture(scope="module")
def run(dynamodb_local: str) -> tuple[Measured, Counter[str]]:
    """A short measurement, and how many traces of which process came of it."""
    with listening() as daemon:
        return measure(dynamodb_local, daemon, TURNS, REQUESTS), daemon.waiting()


def test_only_sampled_requests_are_traced(run: tuple[Measured, Counter[str]]) -> None:
    _, traced = run
    turns = 1 + TURNS  # the first is to get warm
    assert traced == {SERVICE.format(way="on, request sampled"): len(QUESTIONS) * turns * REQUESTS}


def test_every_turn_of_every_process_counts(run: tuple[Measured, Counter[str]]) -> None:
    measured, _ = run
    costs = [costs for own in measured.values() for costs in own.values()]
    assert [len(own) for own in costs] == [TURNS] * len(QUESTIONS) * len(WAYS)
    assert all(cost.cpu_s > 0 and cost.wall_s > 0 for own in costs for cost in own)


def test_the_page_has_a_row_for_all_that_is_measured(run: tuple[Measured, Counter[str]]) -> None:
    page = filled_in(PAGE.read_text(), PART)
    rows = [line.split("|")[1:3] for line in render(run[0], REQUESTS).splitlines()]
    assert [line.split("|")[1:3] for line in page.splitlines()] == rows
