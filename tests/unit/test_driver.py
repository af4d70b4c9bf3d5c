"""How a flow's round trips share the time of its call."""

from __future__ import annotations

import pytest

from leasegate.driver import drive
from leasegate.errors import StoreUnavailable
from leasegate.operations import Applied, Failed, Flow, Get, Key, Operation, Outcome

READ = Get(Key("a", "s"))


class SlowTable:
    """A repository whose round trips take all their time, or as much as ``takes_ms`` says; some fail."""

    def __init__(self, takes_ms: list[int | None], fails: set[int]) -> None:
        self.takes_ms = takes_ms
        self.fails = fails
        self.now_ms = 0.0
        self.timeouts_ms: list[int] = []

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        number = len(self.timeouts_ms)
        takes_ms = self.takes_ms[number]
        self.now_ms += timeout_ms if takes_ms is None else takes_ms
        self.timeouts_ms.append(timeout_ms)
        failure = Failed(StoreUnavailable("no answer"))
        return tuple(failure if number in self.fails else Applied({}) for _ in operations)


def ask(times: int) -> Flow[str]:
    for _ in range(times):
        yield (READ, READ)
    return "done"


def timeouts_ms(timeout_ms: int, takes_ms: list[int | None], *fails: int) -> list[int]:
    table = SlowTable(takes_ms, set(fails))
    assert drive(ask(len(takes_ms)), table, timeout_ms, lambda: table.now_ms / 1000) == "done"
    assert table.now_ms <= timeout_ms
    return table.timeouts_ms


def test_round_trips_share_the_time_but_for_what_is_kept_to_give_back() -> None:
    assert timeouts_ms(1000, [100, 200, 0]) == [900, 800, 600]


@pytest.mark.parametrize(("timeout_ms", "kept_ms"), [(2000, 100), (500, 100), (100, 20), (4, 0), (0, 0)])
def test_what_is_kept_is_a_fifth_of_a_short_time(timeout_ms: int, kept_ms: int) -> None:
    assert timeouts_ms(timeout_ms, [None, None], 0) == [timeout_ms - kept_ms, kept_ms]


def test_after_a_failure_the_rest_is_there_for_all_that_follows() -> None:
    assert timeouts_ms(1000, [100, 600, 30, 0], 1) == [900, 800, 300, 270]


def test_without_a_failure_nothing_touches_what_is_kept() -> None:
    assert timeouts_ms(1000, [None, None, 0]) == [900, 0, 0]


def test_a_flow_that_goes_on_past_its_time_is_given_none() -> None:
    assert timeouts_ms(1000, [None, None, None], 0, 1) == [900, 100, 0]
