"""What X-Ray records of calls that fail: one that is repeated is one call, and what fails for good is red."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.faults import Fault
from tests.faults.proxy import FaultyProxy, faulty
from tests.traces.conftest import Launch
from tests.traces.instances import Instance, Invocation, beside, check
from tests.traces.scenes import Scene


@pytest.fixture(scope="module")
def proxy(dynamodb_local: str) -> Iterator[FaultyProxy]:
    """Stand before DynamoDB Local."""
    with faulty(dynamodb_local) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def instance(launch: Launch, proxy: FaultyProxy) -> Instance:
    """Run an instance whose calls may be throttled."""
    return launch("AcquireFunction", endpoint=proxy.url)


def reasons(invocation: Invocation) -> list[str]:
    """Return why what X-Ray shows in red failed."""
    return [document["cause"]["exceptions"][0]["type"] for document in invocation.red]


@pytest.mark.parametrize("refusals", [1, 2])
def test_a_throttled_call_and_its_repetitions_are_one_call(
    instance: Instance, proxy: FaultyProxy, scene: Scene, refusals: int
) -> None:
    scene.family("key")
    scene.ask(instance)
    proxy.dice.strike_next(*[Fault.THROTTLED] * refusals)
    granted = scene.ask(instance)
    assert granted.status == 200
    check(granted, "UpdateItem", attempts=1 + refusals)
    assert granted.trace.calls[0].attempts == 1 + refusals
    assert reasons(granted) == ["ProvisionedThroughputExceededException"] * refusals


def test_calls_side_by_side_are_repeated_each_by_itself(
    instance: Instance, proxy: FaultyProxy, scene: Scene
) -> None:
    scene.family("project", "key")
    scene.ask(instance)
    proxy.dice.strike_next(Fault.THROTTLED, Fault.THROTTLED)
    granted = scene.ask(instance)
    assert granted.status == 200
    check(granted, beside("UpdateItem", 2), attempts=4)
    assert [call.attempts for call in granted.trace.calls] == [2, 2]


def test_a_call_that_fails_for_good_is_red(launch: Launch, scene: Scene) -> None:
    instance = launch("AcquireFunction", table="no-such-table")
    body = scene.request()
    unanswered = instance.send("POST", "/acquire", body, may_fail=True)
    assert unanswered.status == 500
    assert (unanswered.steps, unanswered.verdicts) == (("BatchGetItem",), ("failed",))
    assert reasons(unanswered) == ["ResourceNotFoundException"]
    assert unanswered.trace.is_failed
