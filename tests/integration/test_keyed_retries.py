"""Keys on DynamoDB Local: replies get lost, threads meet at one bucket, and every grant is charged once and whole."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, cast

import pytest
from botocore.exceptions import ReadTimeoutError

from leasegate import Lease, Limit, Limiter, RateLimitExceeded, StoreError, StoreThrottled, schema
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
TIMEOUT_MS = 60  # so little that some end without an answer
KEYS = [f"key-{number}" for number in range(10)]
PROJECTS = ["project-0", "project-1"]
CONSUMES: list[dict[str, int]] = [{"rpm": 1, "tpm": 40}, {"tpm": 100}, {"rpm": 2, "slots": 1}]
RPM, TPM = Limit.per_day("rpm", 100_000), Limit.per_day("tpm", 10_000_000)
SLOTS = Limit.concurrent("slots", 20, lease_seconds=60)

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


def name_of(lease: Lease) -> str:
    assert lease.id is not None
    return lease.id.partition(".")[0]


@pytest.fixture
def limiters(table: Table) -> Iterator[list[Limiter]]:
    """Provide processes that know nothing yet, of a table whose limits are set."""
    with DynamoRepository(table.client, table.name) as repository:
        populate(Limiter(repository))
        yield [Limiter(repository) for _ in range(PROCESSES)]


@pytest.mark.usefixtures("limiters")
def test_a_thousand_keyed_acquires_are_charged_once_though_three_replies_of_ten_get_lost(
    table: Table, dynamodb_local: str
) -> None:
    client = dynamodb_client(dynamodb_local)
    replies = LossyReplies(client, LOST_REPLIES)
    granted: dict[str, Charges] = {}
    unanswered: list[int] = []

    def ask_until_answered(limiters: list[Limiter], number: int) -> None:
        choice = random.Random(number)
        consume, key = choice.choice(CONSUMES), choice.choice(KEYS)
        while True:
            limiter = choice.choice(limiters)
            try:
                lease = limiter.acquire(key, "gpt-4", consume, idempotency_key=f"{number}", timeout_ms=TIMEOUT_MS)
            except StoreError:
                unanswered.append(number)
            except RateLimitExceeded:
                return
            else:
                assert lease.consumed == consume
                granted[name_of(lease)] = charges_of(key, consume)
                return

    with DynamoRepository(client, table.name) as repository, ThreadPoolExecutor(THREADS) as pool:
        processes = [Limiter(repository) for _ in range(PROCESSES)]
        list(pool.map(partial(ask_until_answered, processes), range(ACQUIRES)))
    client.close()
    found = items(table)
    assert stored(found) == granted
    assert charged(found) == sum_of(granted)
    assert len(granted) > ACQUIRES / 2
    assert replies.lost > ACQUIRES * LOST_REPLIES
    assert len(unanswered) > ACQUIRES / 100


def test_many_threads_at_one_bucket_get_whole_grants_or_none(table: Table, limiters: list[Limiter]) -> None:
    endings: Counter[str] = Counter()
    granted: dict[str, Charges] = {}
    consume = {"rpm": 1, "slots": 1}

    def ask(number: int) -> None:
        limiter = limiters[number % PROCESSES]
        try:
            lease = limiter.acquire("key-0", "gpt-4", consume, idempotency_key=f"{number}", timeout_ms=10_000)
        except (RateLimitExceeded, StoreThrottled) as error:
            endings[type(error).__name__] += 1
            return
        endings["granted"] += 1
        granted[name_of(lease)] = charges_of("key-0", consume)

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(ask, range(200)))
    found = items(table)
    assert stored(found) == granted
    assert charged(found) == sum_of(granted)
    assert endings["granted"] == SLOTS.capacity
    assert endings.total() == 200


def test_a_keyed_grant_of_a_cascade_is_one_transaction(store: Store) -> None:
    populate(store.process())
    limiter = store.process()
    limiter.acquire("key-0", "gpt-4", CONSUMES[0])
    acquire = partial(limiter.acquire, "key-0", "gpt-4", CONSUMES[0], idempotency_key="a")
    assert store.cost(acquire) == Cost(("Transact",), 6, 0)
    assert store.cost(acquire) == Cost(("Transact",), 6, 0)
    assert acquire().is_replayed
    assert limiter.available("key-0", "gpt-4")["rpm"].available == RPM.capacity - 2
