"""What X-Ray records of a sweep by the built function: leases whose time is over, in a table of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import pytest

from leasegate import Limiter
from leasegate.repository.dynamodb import DynamoRepository
from leasegate.schema import EXPIRY_SHARDS
from tests.samples import load_event
from tests.traces.conftest import MANY_DELAY_MS, Launch
from tests.traces.instances import Instance, beside, check
from tests.traces.scenes import SLOW

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

EVENT: Final = load_event("sweep_scheduled")
QUERIES: Final = beside("Query", EXPIRY_SHARDS)


@pytest.fixture(scope="module")
def table_name(fresh_table: Callable[[], str]) -> str:
    """Create a table in which no other test leaves leases."""
    return fresh_table()


@pytest.fixture(scope="module")
def sweeper(launch: Launch, table_name: str) -> Instance:
    """Run an instance on it."""
    return launch("SweepFunction", table=table_name, delay_ms=MANY_DELAY_MS)


@pytest.fixture
def past(client: DynamoDBClient, table_name: str) -> Iterator[Limiter]:
    """Provide a process whose clock is a minute behind, so that what it grants for a second is over."""
    with DynamoRepository(client, table_name) as repository:
        yield Limiter(repository, clock=lambda: int(time.time() * 1_000) - 60_000)


def test_where_no_lease_is_due_all_partitions_are_asked_side_by_side(sweeper: Instance) -> None:
    swept = sweeper.invoke(EVENT)
    assert swept.answer["released"] == 0
    check(swept, QUERIES, like="sweep, where no lease is due")


def test_a_lease_that_is_due_is_read_and_ended_in_two_more_steps(sweeper: Instance, past: Limiter) -> None:
    past.set_limits("key", SLOW)
    past.acquire("key", "model", {"requests": 1}, durable=True, expires_in=1)
    swept = sweeper.invoke(EVENT)
    assert swept.answer["released"] == 1
    check(swept, QUERIES, "BatchGetItem", "TransactWriteItems", like="sweep, and end a lease")


def test_leases_that_are_due_end_side_by_side(sweeper: Instance, past: Limiter) -> None:
    for number in range(3):
        past.set_limits(f"key-{number}", SLOW)
        past.acquire(f"key-{number}", "model", {"requests": 1}, durable=True, expires_in=1)
    swept = sweeper.invoke(EVENT)
    assert swept.answer["released"] == 3
    check(swept, QUERIES, "BatchGetItem", beside("TransactWriteItems", 3))
