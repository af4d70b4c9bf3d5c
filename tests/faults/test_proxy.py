"""Every fault, as the real client meets it and the repository reports it, before DynamoDB Local."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import pytest
from botocore.config import Config

from leasegate.errors import StoreError, StoreThrottled, StoreUnavailable
from leasegate.operations import (
    Add,
    Applied,
    BatchGet,
    Equals,
    Failed,
    Found,
    Key,
    Operation,
    Outcome,
    Put,
    Refused,
    Transact,
    Update,
)
from leasegate.repository.dynamodb import DynamoRepository, dynamodb_client
from tests.faults.faults import Dice, Fault
from tests.faults.proxy import FaultyProxy, faulty
from tests.unmocked import unmocked

if TYPE_CHECKING:
    from tests.fixtures.dynamodb import Table

KEY = Key("a", "s")
COUNT = Update(KEY, (Add("n", 1),))
TIMEOUT_MS = 60_000

UNSURE = {
    Fault.LOST_REQUEST: 0,  # nobody can tell it from a lost reply
    Fault.LOST_REPLY: 1,
    Fault.RESET_REQUEST: 0,
    Fault.RESET_REPLY: 1,
    Fault.HUNG_REQUEST: 0,
    Fault.HUNG_REPLY: 1,
    Fault.FAILED: 0,
    Fault.FAILED_LATE: 1,
    Fault.UNAVAILABLE: 0,
    Fault.CUT_BODY: 1,
    Fault.BROKEN_BODY: 1,
    Fault.BAD_CHECKSUM: 1,
}
"""Faults after which nobody knows whether a write was applied, and how often it was."""
THROTTLES = (Fault.THROTTLED, Fault.THROTTLED_ACCOUNT, Fault.CONFLICT)
"""Faults after which everybody knows that it was not."""


@pytest.fixture
def proxy(dynamodb_local: str) -> Iterator[FaultyProxy]:
    with faulty(dynamodb_local) as proxy:
        yield proxy


class Asker:
    """A repository behind the proxy, whose pauses take no time; it repeats what failed only if it is to."""

    def __init__(self, proxy: FaultyProxy, table: Table) -> None:
        self.proxy = proxy
        self._table = table
        self._repeats = False
        config = Config(connect_timeout=5, read_timeout=0.5)
        client = unmocked(dynamodb_client(endpoint_url=proxy.url, config=config))
        self.repository = DynamoRepository(
            client,
            table.name,
            sleep=lambda _seconds: None,
            draw=lambda: 0.0 if self._repeats else math.inf,
        )

    def ask(self, operation: Operation, *faults: Fault, repeats: bool = False) -> Outcome:
        self.proxy.dice.strike_next(*faults)
        self._repeats = repeats
        (outcome,) = self.repository.execute((operation,), timeout_ms=TIMEOUT_MS)
        return outcome

    def fail(self, operation: Operation, fault: Fault) -> StoreError:
        outcome = self.ask(operation, fault)
        assert isinstance(outcome, Failed), outcome
        return outcome.error

    def counted(self) -> int:
        """Read what DynamoDB itself has counted, past the proxy."""
        item = self._table.client.get_item(
            TableName=self._table.name, Key={"PK": {"S": KEY.pk}, "SK": {"S": KEY.sk}}, ConsistentRead=True
        ).get("Item", {})
        return int(item["n"]["N"]) if "n" in item else 0


@pytest.fixture
def asker(proxy: FaultyProxy, table: Table) -> Iterator[Asker]:
    asker = Asker(proxy, table)
    yield asker
    asker.repository.close()


@pytest.mark.parametrize(("fault", "applied"), UNSURE.items(), ids=[fault.name for fault in UNSURE])
def test_a_write_of_which_nobody_knows_is_reported_as_perhaps_applied(
    asker: Asker, fault: Fault, applied: int
) -> None:
    error = asker.fail(COUNT, fault)
    assert type(error) is StoreUnavailable
    assert error.maybe_applied
    assert asker.counted() == applied
    assert asker.proxy.dice.struck == {("UpdateItem", fault): 1}


@pytest.mark.parametrize("fault", THROTTLES, ids=[fault.name for fault in THROTTLES])
def test_a_throttled_write_is_reported_as_not_applied(asker: Asker, fault: Fault) -> None:
    error = asker.fail(COUNT, fault)
    assert type(error) is StoreThrottled
    assert not error.maybe_applied
    assert asker.counted() == 0


def test_a_transaction_in_conflict_is_throttled_and_not_applied(asker: Asker) -> None:
    error = asker.fail(Transact((COUNT, Put(Key("b", "s"), {"n": 1})), "token"), Fault.CONFLICT)
    assert type(error) is StoreThrottled
    assert not error.maybe_applied
    assert asker.counted() == 0


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.CONFLICT, Fault.FAILED, Fault.RESET_REQUEST])
def test_a_write_is_repeated_until_it_is_answered(asker: Asker, fault: Fault) -> None:
    outcome = asker.ask(COUNT, fault, fault, fault, repeats=True)
    assert isinstance(outcome, Applied)
    assert outcome.item == {"n": 1}
    assert asker.proxy.dice.requests["UpdateItem"] == 4


def test_what_was_unsure_once_is_so_though_it_was_throttled_at_last(asker: Asker) -> None:
    outcome = asker.ask(COUNT, Fault.LOST_REPLY, *[Fault.THROTTLED] * 1_000, repeats=True)
    assert isinstance(outcome, Failed)
    assert type(outcome.error) is StoreThrottled
    assert outcome.error.maybe_applied
    assert asker.counted() == 1


def test_a_write_that_was_applied_and_is_repeated_is_refused_by_its_condition(asker: Asker) -> None:
    asker.ask(Put(KEY, {"n": 1}))
    once = Update(KEY, (Add("n", 1),), Equals("n", 1))
    outcome = asker.ask(once, Fault.LOST_REPLY, repeats=True)
    assert outcome == Refused({"n": 2})
    assert asker.counted() == 2


def test_a_transaction_that_was_applied_and_is_repeated_is_known_by_its_token(asker: Asker) -> None:
    outcome = asker.ask(Transact((COUNT,), "token"), Fault.LOST_REPLY, repeats=True)
    assert outcome == Applied(None)
    assert asker.counted() == 1


def test_a_late_request_is_applied_after_its_client_gave_up(asker: Asker) -> None:
    error = asker.fail(COUNT, Fault.LATE_REQUEST)
    assert error.maybe_applied
    while asker.counted() == 0:
        pass  # the proxy is about to pass it on
    assert asker.counted() == 1


def test_a_slow_answer_is_an_answer(asker: Asker) -> None:
    assert asker.ask(COUNT, Fault.SLOW) == Applied({"n": 1})


@pytest.mark.parametrize(
    "fault", [*UNSURE, Fault.THROTTLED, Fault.THROTTLED_ACCOUNT], ids=lambda fault: fault.name
)
def test_a_read_never_may_have_changed_something(asker: Asker, fault: Fault) -> None:
    error = asker.fail(BatchGet((KEY,)), fault)
    assert not error.maybe_applied


def test_keys_that_stay_unprocessed_are_not_taken_for_absent_items(asker: Asker) -> None:
    error = asker.fail(BatchGet((KEY,)), Fault.UNPROCESSED)
    assert type(error) is StoreThrottled


def test_keys_that_were_not_processed_are_asked_for_again_and_only_those(asker: Asker) -> None:
    keys = tuple(Key(f"k{number}", "s") for number in range(40))
    for number, key in enumerate(keys):
        asker.ask(Put(key, {"n": number}))
    outcome = asker.ask(BatchGet(keys), *[Fault.UNPROCESSED] * 3, repeats=True)
    assert isinstance(outcome, Found)
    assert {key: item["n"] for key, item in outcome.items.items()} == {key: n for n, key in enumerate(keys)}
    assert asker.proxy.dice.times(Fault.UNPROCESSED) == 3
    assert asker.proxy.dice.requests["BatchGetItem"] == 4


def test_dice_of_one_seed_fall_alike_and_at_their_rates() -> None:
    rates = {"UpdateItem": {Fault.LOST_REPLY: 0.2, Fault.THROTTLED: 0.1}, "*": {Fault.UNPROCESSED: 0.5}}
    first, second, other = (Dice(seed, rates) for seed in (1, 1, 2))
    drawn = [[dice.draw("UpdateItem") for _ in range(2_000)] for dice in (first, second, other)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert first.times(Fault.LOST_REPLY) == cast("list[object]", drawn[0]).count(Fault.LOST_REPLY)
    assert 300 < first.times(Fault.LOST_REPLY) < 500
    assert 100 < first.times(Fault.THROTTLED) < 300
    assert first.draw("Query") is None, "only a BatchGetItem has keys to leave unprocessed"
