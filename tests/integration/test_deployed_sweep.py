"""The deployed sweep: invoked by hand, and by the emulator's own schedule."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from leasegate import Limit, Limiter
from leasegate.repository.dynamodb import DynamoRepository
from leasegate.session import wall_clock_ms
from scripts.deployment import client, dynamodb_client, outputs
from tests.samples import SWEEP, load_event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.stack import Stack

LIMITS = [Limit.per_day("rpd", 1, burst=100)]
SCHEDULED_WITHIN_S = 150
"""Two minutes of the schedule, and what the emulator takes to look at it and to start a process."""


@pytest.fixture(scope="session")
def repository(stack: Stack) -> Iterator[DynamoRepository]:
    """Reach the deployed table, as a service in the same account would."""
    with DynamoRepository(dynamodb_client(stack.endpoint_url), stack.table_name) as repository:
        yield repository


@pytest.fixture(scope="session")
def library(repository: DynamoRepository) -> Limiter:
    return Limiter(repository)


def acquire(library: Limiter, entity_id: str, expires_in: int) -> None:
    """Spend 10 tokens by a lease that nobody ends."""
    library.set_limits(entity_id, LIMITS)
    library.acquire(entity_id, "gpt-4", {"rpd": 10}, durable=True, expires_in=expires_in)


def available(library: Limiter, entity_id: str) -> int:
    return library.available(entity_id, "gpt-4")["rpd"].available


def sweep(stack: Stack, event: object) -> dict[str, Any]:
    """Invoke the function by hand, and wait for its answer."""
    reply = client("lambda", stack.endpoint_url).invoke(
        FunctionName=outputs(stack.endpoint_url)["SweepFunctionName"], Qualifier="live", Payload=json.dumps(event)
    )
    answer: dict[str, Any] = json.loads(reply["Payload"].read())
    assert "FunctionError" not in reply, answer
    return answer


# Whether the schedule was quicker than the test is chance, so what counts is what the table says afterwards.


@pytest.mark.parametrize("event", [*map(load_event, SWEEP), {}], ids=[*SWEEP, "by hand"])
def test_a_lease_whose_time_is_over_gives_its_tokens_back(
    stack: Stack, repository: DynamoRepository, event: dict[str, Any]
) -> None:
    past = Limiter(repository, clock=lambda: wall_clock_ms() - 60_000)
    acquire(past, f"swept-{len(event)}", 30)

    answer = sweep(stack, event)

    assert (answer["failed"], answer["is_complete"]) == (0, True)
    assert available(past, f"swept-{len(event)}") == 100


def test_the_function_waits_for_a_lease_that_is_about_to_expire(stack: Stack, library: Limiter) -> None:
    acquire(library, "awaited", 2)
    assert available(library, "awaited") == 90

    sweep(stack, {})

    assert available(library, "awaited") == 100


def test_the_schedule_ends_leases_though_nobody_asks(library: Limiter) -> None:
    acquire(library, "scheduled", 1)
    deadline = time.monotonic() + SCHEDULED_WITHIN_S

    while available(library, "scheduled") < 100 and time.monotonic() < deadline:
        time.sleep(1)

    assert available(library, "scheduled") == 100
