"""Usage as the deployed stack counts it: what is spent over HTTP is counted by way of the table's stream.

The emulator invokes the aggregator as soon as there is something in the stream. How soon is not tested, only that
in the end the totals are those of the ledger that a test keeps. Partial answers to the stream, which the emulator
ignores, are tested in ``tests/unit/test_aggregator_function.py``.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from leasegate import Limit, Limiter
from leasegate.repository.dynamodb import DynamoRepository
from leasegate.windows import LAST_MS, Window, write_start
from scripts.deployment import client, dynamodb_client
from tests.samples import AGGREGATOR, check_counted, load_event, usage_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from scripts.api import Answer, ApiClient
    from scripts.stack import Stack

COUNTED_WITHIN_S = 60
TPM = {"name": "tpm", "amount": 1, "period": "day", "burst": 1_000}
LIMITS = [Limit.per_day("tpm", 1, burst=1_000)]


@pytest.fixture(scope="module")
def repository(stack: Stack) -> Iterator[DynamoRepository]:
    """Reach the deployed table, as a service in the same account would."""
    with DynamoRepository(dynamodb_client(stack.endpoint_url), stack.table_name) as repository:
        yield repository


@pytest.fixture(scope="module")
def library(repository: DynamoRepository) -> Limiter:
    return Limiter(repository)


@pytest.fixture(scope="module")
def api(stack: Stack) -> ApiClient:
    return stack.api()


class Ledger:
    """What answers said of spending: grants and tokens by entity."""

    def __init__(self) -> None:
        self.spent: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))

    def add(self, entity_id: str, tokens: int, grants: int = 0) -> None:
        before = self.spent[entity_id]
        self.spent[entity_id] = (before[0] + grants, before[1] + tokens)


def acquire(api: ApiClient, entity_id: str, tokens: int, *, durable: bool = False) -> Answer:
    body = {"entity_id": entity_id, "resource": "gpt-4", "consume": {"tpm": tokens}, "durable": durable}
    return api.post("/acquire", {**body, "limits": [TPM]})


def within_time[T](look: Callable[[], T], expected: T) -> T:
    """Look until it is as expected, or the time is over; return what was seen last."""
    deadline = time.monotonic() + COUNTED_WITHIN_S
    while (seen := look()) != expected and time.monotonic() < deadline:
        time.sleep(0.2)
    return seen


def totals(library: Limiter, window: Window, entities: Mapping[str, object]) -> dict[str, tuple[int, int]]:
    """Return the grants and tokens of entities, all windows of this length together."""
    found: dict[str, tuple[int, int]] = {}
    for entity_id in entities:
        windows = usage_of(library, entity_id, window)
        found[entity_id] = (sum(grants for grants, _ in windows), sum(tokens for _, tokens in windows))
    return found


def check_totals(library: Limiter, spent: dict[str, tuple[int, int]]) -> None:
    """Hold the totals by the hour and by the day to a ledger, to the token."""
    for window in ("hour", "day"):
        assert within_time(lambda window=window: totals(library, window, spent), spent) == spent  # type: ignore[misc]


def test_the_first_acquire_of_a_bucket_counts(api: ApiClient, library: Limiter) -> None:
    assert acquire(api, "usage-first", 7).status == 200
    check_totals(library, {"usage-first": (1, 7)})


def test_whatever_is_spent_and_given_back_over_http_is_counted_to_the_token(
    api: ApiClient, library: Limiter
) -> None:
    ledger = Ledger()
    library.put_entity("usage-project")
    library.set_limits("usage-project", LIMITS, resource="gpt-4")
    for number in range(3):
        library.put_entity(f"usage-key-{number}", "usage-project")
        library.set_limits(f"usage-key-{number}", LIMITS, resource="gpt-4")

    def spend(number: int) -> None:
        entities = (f"usage-key-{number % 3}", "usage-project")
        granted = acquire(api, entities[0], 10 + number, durable=True)
        assert granted.status == 200
        spent, how, actual = [
            (3, "settle", {"actual": {"tpm": 3}}),
            (0, "release", None),
            (10 + number, "settle", None),
        ][number % 3]
        assert api.post(f"/leases/{granted.json()['lease']['id']}/{how}", actual).status == 200
        for entity_id in entities:
            ledger.add(entity_id, spent, grants=1)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(spend, range(18)))
    assert acquire(api, "usage-key-0", 999).status == 429
    body = {"entity_id": "usage-key-1", "resource": "gpt-4", "adjust": {"tpm": 20}}
    assert api.post("/adjust", body).status == 200
    for entity_id in ("usage-key-1", "usage-project"):
        ledger.add(entity_id, 20)

    check_totals(library, dict(ledger.spent))


def test_hour_0_and_the_day_that_it_begins_are_two_totals(repository: DynamoRepository, library: Limiter) -> None:
    midnight_ms = int(datetime(2099, 6, 1, tzinfo=UTC).timestamp() * 1_000)
    for at_ms, tokens in ((midnight_ms - 1, 5), (midnight_ms, 7), (midnight_ms + 3_600_000, 11)):
        Limiter(repository, clock=lambda at_ms=at_ms: at_ms).acquire(  # type: ignore[misc]
            "usage-midnight", "gpt-4", {"tpm": tokens}, limits=LIMITS
        )

    def by_window() -> list[tuple[str, str, int]]:
        return [
            (window, write_start(record.start_ms), record.limits["tpm"].tokens)
            for window in ("hour", "day")
            for record in library.usage("usage-midnight", "gpt-4", window, 0, LAST_MS).items
        ]

    expected = [
        ("hour", "2099-05-31T23:00Z", 5),
        ("hour", "2099-06-01T00:00Z", 7),
        ("hour", "2099-06-01T01:00Z", 11),
        ("day", "2099-05-31T00:00Z", 5),
        ("day", "2099-06-01T00:00Z", 18),
    ]
    assert within_time(by_window, expected) == expected


def dead_letters(stack: Stack, partition: str) -> list[dict[str, Any]]:
    """Take the letters of an item out of the queue; those of others are there again in a second."""
    queue = client("sqs", stack.endpoint_url)
    url = stack.usage_dead_letters_url
    found = []
    while messages := queue.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=1).get(
        "Messages"
    ):
        for message in messages:
            letter = json.loads(message["Body"])
            if letter.get("record", {}).get("dynamodb", {}).get("Keys", {}).get("PK") == {"S": partition}:
                found.append(letter)
                queue.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def test_a_poison_record_is_one_dead_letter_and_what_follows_is_counted(
    stack: Stack, api: ApiClient, library: Limiter
) -> None:
    item = {"PK": {"S": "BUCKET#usage-poison#gpt-4"}, "SK": {"S": "#STATE"}, "note": {"S": "no bucket"}}
    for number in range(20):
        if number == 10:
            dynamodb_client(stack.endpoint_url).put_item(TableName=stack.table_name, Item=item)
        assert acquire(api, f"usage-good-{number % 2}", 3).status == 200
    check_totals(library, {"usage-good-0": (10, 30), "usage-good-1": (10, 30)})
    assert acquire(api, "usage-good-0", 5).status == 200
    check_totals(library, {"usage-good-0": (11, 35)})

    (letter,) = dead_letters(stack, "BUCKET#usage-poison#gpt-4")
    assert letter["record"]["dynamodb"]["NewImage"] == item
    assert "KeyError" in letter["reason"]


@pytest.mark.parametrize("name", AGGREGATOR)
def test_every_sample_runs_in_the_deployed_function(stack: Stack, library: Limiter, name: str) -> None:
    reply = client("lambda", stack.endpoint_url).invoke(
        FunctionName=stack.aggregator_function_name, Qualifier="live", Payload=json.dumps(load_event(name))
    )
    answer = json.loads(reply["Payload"].read())

    assert "FunctionError" not in reply, answer
    check_counted(library, name, answer)
    letters = dead_letters(stack, "BUCKET#sample-poisoned-by-hand#gpt-4")
    assert len(letters) == (1 if name == "aggregator_poison_record" else 0)
