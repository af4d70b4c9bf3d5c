"""Keys on DynamoDB Local: replies get lost, threads meet, and every grant is charged once, and whole."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from threading import Lock, local
from typing import TYPE_CHECKING, cast

import pytest
from botocore.exceptions import ReadTimeoutError

from leasegate import Limit, Limiter, RateLimitExceeded, StoreError, schema
from leasegate.flows.leasing import parse_lease
from leasegate.operations import Item, Key
from leasegate.repository.dynamodb import DynamoRepository
from leasegate.repository.wire import decode_item, decode_key
from tests.fixtures.dynamodb import Table, dynamodb_client
from tests.fixtures.stores import Cost, Store

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PROCESSES = 4
THREADS = 8
ACQUIRES = 1_000
LOST_REPLIES = 0.3
TIMEOUT_MS = 10_000
KEYS = [f"key-{number}" for number in range(10)]
PROJECTS = ["project-0", "project-1"]
CONSUMES: list[dict[str, int]] = [{"rpm": 1, "tpm": 40}, {"tpm": 100}, {"rpm": 2, "slots": 1}]
RPM, TPM = Limit.per_day("rpm", 100_000), Limit.per_day("tpm", 10_000_000)
SLOTS = Limit.concurrent("slots", 20, lease_seconds=3_600)

type Charges = Counter[tuple[str, str]]
"""Tokens, and places, by entity and limit."""


class LossyReplies:
    """Loses the reply of some writes of a client, after DynamoDB has answered."""

    def __init__(self, client: DynamoDBClient, share: float) -> None:
        self.lost = 0
        self._share = share
        self._random = random.Random(1)
        self._lock = Lock()
        for operation in ("TransactWriteItems", "UpdateItem"):
            client.meta.events.register(f"after-call.dynamodb.{operation}", self._lose)

    def _lose(self, **_call: object) -> None:
        with self._lock:
            if self._random.random() >= self._share:
                return
            self.lost += 1
        raise ReadTimeoutError(endpoint_url="http://lost")


def items(table: Table) -> dict[Key, Item]:
    """Read the whole table."""
    pages = table.client.get_paginator("scan").paginate(TableName=table.name, ConsistentRead=True)
    return {decode_key(item): decode_item(item) for page in pages for item in page["Items"]}


def charged(found: dict[Key, Item]) -> Charges:
    """Return what the buckets say was spent, and how many places are held."""
    total: Charges = Counter()
    for key, item in found.items():
        if key.pk.startswith("BUCKET#"):
            entity_id = key.pk.split("#")[1]
            for name, value in item.items():
                if name.startswith(("u.", "k.")):
                    total[entity_id, name[2:]] += cast("int", value)
            assert sum(name.startswith("h.") for name in item) == total[entity_id, "slots"]
    return total


def stored(found: dict[Key, Item]) -> dict[str, Charges]:
    """Return what the leases say was spent and taken, by their names."""
    leases: dict[str, Charges] = {}
    for key, item in found.items():
        if key.pk.startswith("LEASE#"):
            charges = parse_lease(item).read().grant.charges
            leases[schema.lease_of(key)] = Counter(
                {(charge.entity_id, name): n for charge in charges for name, n in charge.amounts.items()}
            )
    return leases


def sum_of(charges: dict[str, Charges]) -> Charges:
    total: Charges = Counter()
    for each in charges.values():
        total.update(each)
    return total


def populate(admin: Limiter) -> None:
    """Put the keys under two projects, all with limits."""
    for project in PROJECTS:
        admin.create_entity(project)
        admin.set_limits(project, [RPM, TPM])
    for key in KEYS:
        admin.create_entity(key, project_of(key))
        admin.set_limits(key, [RPM, TPM, SLOTS])


def project_of(key: str) -> str:
    return PROJECTS[KEYS.index(key) % len(PROJECTS)]


def charges_of(key: str, consume: dict[str, int]) -> Charges:
    """Return what an acquire spends at both levels."""
    return Counter(
        {
            (entity_id, name): n
            for name, n in consume.items()
            for entity_id in ([key] if name == "slots" else [key, project_of(key)])
        }
    )


class ImpatientClock(local):
    """A clock of each thread's own that only pauses move on: they leave time for three repetitions of a call."""

    now_ns = 0

    def __call__(self) -> int:
        return self.now_ns

    def pause(self, _seconds: float) -> None:
        self.now_ns += TIMEOUT_MS * 1_000_000 * 3 // 10


@dataclass
class Askers:
    """Threads of several processes that ask under a key each until they have an answer.

    ``unanswered`` counts the errors in place of answers, by name.
    """

    limiters: list[Limiter]
    granted: dict[str, Charges] = field(default_factory=dict)
    refused: int = 0
    unanswered: Counter[str] = field(default_factory=Counter)

    def ask(self, number: int, key: str, consume: dict[str, int]) -> None:
        """Ask, perhaps another process each time."""
        for attempt in itertools.count():
            limiter = self.limiters[(number + attempt) % PROCESSES]
            try:
                lease = limiter.acquire(key, "gpt-4", consume, idempotency_key=f"{number}", timeout_ms=TIMEOUT_MS)
            except StoreError as error:
                self.unanswered[type(error).__name__] += 1
            except RateLimitExceeded:
                self.refused += 1
                return
            else:
                assert lease.consumed == consume
                assert lease.id is not None
                self.granted[lease.id.partition(".")[0]] = charges_of(key, consume)
                return

    def check(self, table: Table) -> None:
        """Hold the buckets, and the leases, to what was granted."""
        found = items(table)
        assert stored(found) == self.granted
        assert charged(found) == sum_of(self.granted)


@pytest.fixture
def admin(table: Table) -> Iterator[Limiter]:
    """Provide a process that has set the limits of all."""
    with DynamoRepository(table.client, table.name) as repository:
        limiter = Limiter(repository)
        populate(limiter)
        yield limiter


@pytest.mark.usefixtures("admin")
def test_a_thousand_keyed_acquires_are_charged_once_though_three_replies_of_ten_get_lost(
    table: Table, dynamodb_local: str
) -> None:
    client = dynamodb_client(dynamodb_local)
    replies = LossyReplies(client, LOST_REPLIES)
    clock = ImpatientClock()
    repository = DynamoRepository(client, table.name, sleep=clock.pause, draw=lambda: 0.0, monotonic_ns=clock)
    askers = Askers([Limiter(repository) for _ in range(PROCESSES)])

    def ask(number: int) -> None:
        choice = random.Random(number)
        askers.ask(number, choice.choice(KEYS), choice.choice(CONSUMES))

    with repository, ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(ask, range(ACQUIRES)))
    client.close()
    askers.check(table)
    assert len(askers.granted) > ACQUIRES / 2
    assert replies.lost > ACQUIRES * LOST_REPLIES
    assert askers.unanswered.total() > 0


def test_threads_that_meet_at_one_bucket_get_whole_grants_or_none(table: Table, admin: Limiter) -> None:
    askers = Askers([admin, *(Limiter(admin._repository) for _ in range(PROCESSES - 1))])
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda number: askers.ask(number, "key-0", {"rpm": 1, "slots": 1}), range(200)))
    askers.check(table)
    assert len(askers.granted) == SLOTS.capacity
    assert askers.refused == 200 - SLOTS.capacity


def test_a_keyed_grant_of_a_cascade_is_one_transaction(store: Store) -> None:
    populate(store.process())
    limiter = store.process()
    limiter.acquire("key-0", "gpt-4", CONSUMES[0])
    acquire = partial(limiter.acquire, "key-0", "gpt-4", CONSUMES[0], idempotency_key="a")
    assert store.cost(acquire) == Cost(("Transact",), 6, 0)
    assert store.cost(acquire) == Cost(("Transact",), 6, 0)
    assert acquire().is_replayed
    assert limiter.available("key-0", "gpt-4")["rpm"].available == RPM.capacity - 2
