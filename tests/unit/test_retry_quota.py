"""How much a process repeats while its table does not answer, and when it answers again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from botocore.hooks import HierarchicalEmitter

from leasegate.errors import StoreThrottled, StoreUnavailable
from leasegate.operations import Add, Applied, BatchGet, Below, Failed, Key, Operation, Outcome, Refused, Update
from leasegate.repository.dynamodb import DynamoRepository
from leasegate.repository.quota import RetryQuota

KEY = Key("BUCKET#a#b", "#STATE")
WRITE = Update(KEY, (Add("n", 1),), Below("n", 5))
READ = BatchGet((KEY,))


def answered(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "UpdateItem")  # type: ignore[typeddict-item] # as much of it as counts


THROTTLED = answered("ProvisionedThroughputExceededException")
CONFLICT = answered("TransactionConflictException")
REFUSED = answered("ConditionalCheckFailedException")
UNREACHABLE = EndpointConnectionError(endpoint_url="https://dynamodb.example")
TIMED_OUT = ReadTimeoutError(endpoint_url="https://dynamodb.example")


class Table:
    """A table that is down as ``trouble`` says, or answers; the next attempts go by ``plan``."""

    meta = SimpleNamespace(events=HierarchicalEmitter())

    def __init__(self, trouble: Exception | None = None) -> None:
        self.trouble = trouble
        self.plan: list[Exception | None] = []
        self.attempts = 0
        self.pauses_s: list[float] = []
        self.now_ns = 0

    def _answer(self, **_request: object) -> dict[str, Any]:
        self.attempts += 1
        trouble = self.plan.pop(0) if self.plan else self.trouble
        if trouble is not None:
            raise trouble
        return {"Attributes": {}, "Responses": {}}

    update_item = batch_get_item = _answer

    def repository(self, draw: float = 1.0) -> DynamoRepository:
        client: Any = self
        return DynamoRepository(
            client, "table", sleep=self._sleep, draw=lambda: draw, monotonic_ns=lambda: self.now_ns
        )

    def _sleep(self, seconds: float) -> None:
        self.pauses_s.append(seconds)
        self.now_ns += round(seconds * 1e9)


def attempts_of_calls(table: Table, repository: DynamoRepository, calls: int) -> list[int]:
    """Make calls, each with a second's time, and return how many attempts each made."""
    counts = []
    for _ in range(calls):
        before = table.attempts
        repository.execute((WRITE,), timeout_ms=1000)
        counts.append(table.attempts - before)
    return counts


def execute(repository: DynamoRepository, operation: Operation = WRITE) -> Outcome:
    (outcome,) = repository.execute((operation,), timeout_ms=1000)
    return outcome


@pytest.mark.parametrize(
    ("trouble", "repetitions"),
    [(THROTTLED, 100), (UNREACHABLE, 100), (TIMED_OUT, 50), (answered("InternalServerError"), 100)],
)
def test_a_table_that_is_down_is_asked_once_a_call_when_the_quota_is_spent(
    trouble: Exception, repetitions: int
) -> None:
    table = Table(trouble)
    counts = attempts_of_calls(table, table.repository(), 100)
    assert sum(counts) == 100 + repetitions
    assert counts[:3] == [6, 6, 6]  # at 0, 25, 75, 175, 375 and 775 ms
    assert counts[-50:] == [1] * 50


def test_a_call_without_quota_fails_by_the_cause_and_does_not_pause() -> None:
    table = Table(THROTTLED)
    repository = table.repository()
    attempts_of_calls(table, repository, 100)
    table.pauses_s.clear()
    outcome = execute(repository)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, StoreThrottled)
    assert outcome.error.__cause__ is THROTTLED
    assert table.pauses_s == []


def test_unprocessed_keys_are_governed_too() -> None:
    class Busy(Table):
        def batch_get_item(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - as boto3's
            self.attempts += 1
            return {"Responses": {}, "UnprocessedKeys": request["RequestItems"]}

    table = Busy()
    repository = table.repository()
    for _ in range(100):
        outcome = execute(repository, READ)
    assert table.attempts == 200
    assert isinstance(outcome, Failed)


def test_a_conflict_is_repeated_with_no_quota_left_and_takes_none() -> None:
    table = Table(UNREACHABLE)
    repository = table.repository()
    attempts_of_calls(table, repository, 100)
    assert attempts_of_calls(table, repository, 1) == [1]
    table.trouble, table.plan = None, [CONFLICT, CONFLICT]
    before = table.attempts
    assert execute(repository) == Applied({})
    assert table.attempts - before == 3
    table.trouble = CONFLICT
    assert attempts_of_calls(table, repository, 2) == [6, 6]


def test_a_lone_failure_costs_nothing_in_the_end() -> None:
    table = Table()
    repository = table.repository()
    for _ in range(1000):
        table.plan = [THROTTLED, TIMED_OUT, UNREACHABLE]
        assert execute(repository) == Applied({})
    assert table.attempts == 4000


def test_answers_earn_the_quota_back_be_they_refusals() -> None:
    table = Table(UNREACHABLE)
    repository = table.repository()
    attempts_of_calls(table, repository, 100)
    table.trouble = REFUSED
    for _ in range(10):
        assert execute(repository) == Refused(None)
    table.trouble = UNREACHABLE
    assert attempts_of_calls(table, repository, 2) == [3, 1]  # ten tokens are two repetitions


def test_an_answer_that_is_an_error_earns_nothing() -> None:
    table = Table(UNREACHABLE)
    repository = table.repository()
    attempts_of_calls(table, repository, 100)
    table.trouble = answered("AccessDeniedException")
    attempts_of_calls(table, repository, 10)
    table.trouble = UNREACHABLE
    assert attempts_of_calls(table, repository, 1) == [1]


def test_pauses_are_drawn_anew_from_nothing_to_all_of_a_time_that_doubles() -> None:
    table = Table(UNREACHABLE)
    draws = iter([0.0, 0.5, 1.0, 0.25])
    client: Any = table
    repository = DynamoRepository(
        client, "table", sleep=table._sleep, draw=lambda: next(draws, 1.0), monotonic_ns=lambda: table.now_ns
    )
    repository.execute((WRITE,), timeout_ms=250)
    assert table.pauses_s == [0.0, 0.025, 0.1, 0.05]


def test_side_by_side_calls_share_one_quota() -> None:
    table = Table(UNREACHABLE)
    with table.repository(draw=0.0) as repository:
        outcomes = repository.execute((WRITE, WRITE, WRITE), timeout_ms=1000)
    assert table.attempts == 103  # without pauses, the time would never end
    assert all(isinstance(outcome, Failed) and isinstance(outcome.error, StoreUnavailable) for outcome in outcomes)


def test_a_quota_never_holds_more_than_it_began_with() -> None:
    quota = RetryQuota(20)
    assert quota.take(10)
    assert not quota.take(11)
    quota.give_back(10)
    quota.give_back(10)
    assert quota.tokens == 20
    assert quota.take(20)
    quota.give_back(0)
    assert quota.tokens == 1
