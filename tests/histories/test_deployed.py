"""A random history over HTTP, on the deployed stack: threads that acquire, repeat their keys, and settle."""

from __future__ import annotations

import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Final

import pytest

from leasegate import Limit, Limiter, schema
from leasegate.repository.dynamodb import DynamoRepository
from scripts.deployment import client, dynamodb_client
from tests.histories.accounts import Spent, without_zeros
from tests.histories.books import Books, final, granted, scan
from tests.stream import read_stream

if TYPE_CHECKING:
    from scripts.api import Answer, ApiClient
    from scripts.stack import Stack

SEEDS: Final = (1, 2)
THREADS: Final = 6
ACTIONS: Final = 20
LIMITS: Final = (Limit.per_minute("rpm", 60, burst=20), Limit.per_minute("tpm", 6_000, burst=2_000))
WIDER: Final = (Limit.per_minute("rpm", 120, burst=40), Limit.per_minute("tpm", 12_000, burst=3_000))
CONSUMES: Final = ({"rpm": 1, "tpm": 40}, {"tpm": 100}, {"rpm": 2})


@dataclass
class Customer:
    """One thread of a service that spends over HTTP.

    Attributes:
        net: what it was told to have spent, by entity and limit, without what it was granted durably.
        granted: by lease, what it was granted under keys; ends: the answers to their settlement.
    """

    api: ApiClient
    stem: str
    number: int
    seed: int
    net: Spent = field(default_factory=Counter)
    granted: dict[str, dict[str, int]] = field(default_factory=dict)
    ends: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    refused: int = 0
    replays: int = 0

    def spend(self) -> None:
        """Do what a service does."""
        choice = Random(f"{self.seed}:{self.number}")
        # Two threads each ask for the same under the same keys.
        shared = Random(f"{self.seed}:pair {self.number // 2}")
        keys = itertools.count()
        for _ in range(ACTIONS):
            if choice.random() < 0.5:
                self._acquire(choice)
            else:
                self._acquire_under_key(choice, shared, f"{self.stem}-{self.number // 2}-{next(keys)}")

    def _acquire(self, choice: Random) -> None:
        consume = choice.choice(CONSUMES)
        entity_id = f"{self.stem}-key-{choice.randrange(2)}"
        answer = self._post({"entity_id": entity_id, "consume": consume})
        if answer.status == 200:
            for each in (entity_id, f"{self.stem}-org"):
                self.net.update({(each, name): tokens for name, tokens in consume.items()})
        else:
            self._note_refusal(answer)

    def _acquire_under_key(self, choice: Random, shared: Random, key: str) -> None:
        consume = shared.choice(CONSUMES)
        body = {"entity_id": f"{self.stem}-key-{shared.randrange(2)}", "consume": consume}
        answers = [self._post(body, key) for _ in range(choice.randint(1, 3))]
        leases = {answer.json()["lease"]["id"] for answer in answers if answer.status == 200}
        for answer in answers:
            if answer.status != 200:
                self._note_refusal(answer)
        self.replays += sum(answer.status == 200 for answer in answers[1:])
        assert len(leases) <= 1, "one key has one lease"
        for lease in leases:
            self.granted[lease] = consume
            if choice.random() < 0.7:
                self._settle(choice, lease, consume)

    def _settle(self, choice: Random, lease: str, consume: dict[str, int]) -> None:
        actual = {name: choice.randint(0, tokens) for name, tokens in consume.items()}
        for _ in range(choice.randint(1, 2)):
            answer = self.api.post(f"/leases/{lease}/settle", {"actual": actual})
            assert answer.status == 200, answer.body
            self.ends.setdefault(lease, []).append(answer.json()["consumed"])

    def _post(self, body: dict[str, Any], key: str | None = None) -> Answer:
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.api.post("/acquire", {**body, "resource": "gpt-4"}, headers=headers)

    def _note_refusal(self, answer: Answer) -> None:
        assert answer.status == 429, answer.body
        assert int(answer.headers["Retry-After"]) > 0
        self.refused += 1


@pytest.mark.parametrize("seed", SEEDS)
def test_threads_over_http_spend_what_they_are_told(stack: Stack, seed: int) -> None:
    table, streams = dynamodb_client(stack.endpoint_url), client("dynamodbstreams", stack.endpoint_url)
    stem = f"history-{seed}"
    with DynamoRepository(table, stack.table_name) as repository:
        admin = Limiter(repository)
        admin.create_entity(f"{stem}-org")
        admin.set_limits(f"{stem}-org", WIDER)
        for number in range(2):
            admin.create_entity(f"{stem}-key-{number}", f"{stem}-org")
            admin.set_limits(f"{stem}-key-{number}", LIMITS)
    customers = [Customer(stack.api(), stem, number, seed) for number in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(customer.spend) for customer in customers]:
            done.result()

    told: dict[str, dict[str, int]] = {}
    ends: dict[str, list[dict[str, Any]]] = {}
    for customer in customers:
        for lease, consume in customer.granted.items():
            assert told.setdefault(lease.partition(".")[0], consume) == consume
        for lease, answers in customer.ends.items():
            ends.setdefault(lease.partition(".")[0], []).extend(answers)

    books = Books()
    records = read_stream(table, streams, stack.table_name, of=(f"BUCKET#{stem}-",))
    leases = read_stream(table, streams, stack.table_name, of=tuple(f"LEASE#{name}" for name in told))
    books.follow([*records, *leases])
    items = {key: item for key, item in scan(table, stack.table_name).items() if key in books.items}
    assert books.items == items, "the stream leads to the table"
    assert books.leases().keys() == told.keys()
    assert not books.repetitions

    expected: Spent = Counter()
    for customer in customers:
        expected.update(customer.net)
    for name, stored in books.leases().items():
        levels = {entity_id for entity_id, _ in granted(stored)}
        assert len(levels) == 2
        assert granted(stored) == {(each, x): tokens for each in levels for x, tokens in told[name].items()}
        assert books.ends[name] == (name in ends), "settled exactly once"
        if name in ends:
            assert stored.end is not None
            assert all(each == dict(stored.end.consumed) for each in ends[name])
            expected.update(final(stored))
        else:
            expected.update(granted(stored))
    assert books.charged() == without_zeros(expected)
    assert sum(customer.refused for customer in customers) > 5
    assert sum(customer.replays for customer in customers) > 5
    assert schema.bucket_key(f"{stem}-org", "gpt-4") in books.items
