"""What the benchmarks of single calls ask for: an acquire of a known bucket, and single operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from leasegate import Knowledge, Limit, Limiter, schema
from leasegate.limits import HOUR_MS
from leasegate.operations import (
    Add,
    AllOf,
    Applied,
    AtLeast,
    AtMost,
    BatchGet,
    Get,
    Item,
    Key,
    Operation,
    Outcome,
    Set,
    Transact,
    Update,
)
from leasegate.repository.asking import METHODS
from leasegate.repository.dynamodb import DynamoRepository
from leasegate.repository.memory import MemoryRepository
from tests.direct.pair import requests_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE_NAME: Final = "leasegate"
RESOURCE: Final = "gpt-4"
ENTITY: Final = "key-1"
ACQUIRE: Final = "acquire"
"""What tables call a whole acquire."""
PLAIN: Final = "plain"
"""How the entities of the operations that are compared begin."""
REFUSED: Final = "refused"
"""The entity whose updates the null server refuses."""
LIMITS: Final = (Limit.per_minute("rpm", 10**6), Limit.per_minute("tpm", 10**9))
"""So much that no benchmark comes to its end."""
CONSUME: Final = {"rpm": 1, "tpm": 500}
CREDENTIALS: Final[Mapping[str, Any]] = {
    "aws_access_key_id": "ASIA" + "X" * 16,
    "aws_secret_access_key": "x" * 40,
    "aws_session_token": "t" * 900,
    "region_name": "us-east-1",
}
"""As long as Lambda's."""


def acquire(limiter: Limiter, **options: Any) -> object:  # noqa: ANN401 - the options of an acquire
    """Spend what the benchmarks spend."""
    return limiter.acquire(ENTITY, RESOURCE, CONSUME, **options)


def bucket_item() -> Item:
    """Return a bucket of two limits that has granted a few times, as an acquire meets it."""
    seen: list[Outcome] = []

    def observe(_operations: tuple[Operation, ...], outcomes: tuple[Outcome, ...], *_times: int) -> None:
        seen.append(outcomes[0])

    limiter = Limiter(MemoryRepository(observer=observe))
    limiter.create_entity(ENTITY)
    limiter.set_limits(ENTITY, LIMITS, resource=RESOURCE)
    for _ in range(3):
        acquire(limiter)
    outcome = seen[-1]
    assert isinstance(outcome, Applied)
    assert outcome.item is not None
    return outcome.item


def plain_keys() -> tuple[Key, ...]:
    """Return the keys of three items like those that clients of DynamoDB are compared by."""
    return tuple([schema.bucket_key(f"{PLAIN}-{number}", RESOURCE) for number in range(3)])


def plain_item() -> Item:
    """Return such an item: with its key 11 attributes, 311 bytes of an answer."""
    return {
        "v.rpm": 107_374_182_400_000,
        "u.rpm": 123_456,
        "v.tpm": 107_374_182_400_000,
        "u.tpm": 123_456,
        "cfg": "e:1800000000000",
        "n": 1_800_000_000_000_123,
        "at": 1_800_000_000_000,
        "r.3": "abcdefghijkl",
        "ttl": 1_800_000_100,
    }


def operations() -> Mapping[str, Operation]:
    """Return the operations that are compared, by what the tables call them.

    An update has three changes, and a condition of two parts; an acquire's own has more of both.
    """
    first, second, _ = plain_keys()
    refused = schema.bucket_key(REFUSED, RESOURCE)
    update, other, declined = (_update(key) for key in (first, second, refused))
    return {
        "UpdateItem": update,
        "GetItem": Get(first),
        "BatchGetItem of 3": BatchGet(plain_keys()),
        "TransactWriteItems of 2": Transact((update, other), "a-token-of-26-characters-xx"),
        "UpdateItem, refused": declined,
    }


def _update(key: Key) -> Update:
    changes = (Add("v.rpm", 1_000), Add("u.rpm", 1), Set("at", 1_800_000_000_000))
    return Update(key, changes, AllOf((AtMost("v.rpm", 10**14), AtLeast("v.rpm", 5))))


def plainly(client: DynamoDBClient, operation: Operation) -> Callable[[], object]:
    """Return a call of a boto3 client that asks for the same as an operation, refused or not."""
    ((name, request),) = requests_of(operation, TABLE_NAME)
    parameters = request.parameters()
    method = getattr(client, METHODS[name])

    def call() -> object:
        try:
            return method(**parameters)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return error

    return call


def pairs(
    client: DynamoDBClient, plain: DynamoDBClient
) -> Iterator[tuple[str, Callable[[], object], Callable[[], object]]]:
    """Yield each call by its name, made through the repository and made of a plain boto3 client.

    The last is an acquire, and beside it an update. What its limiter knows outlasts the counting, for to read it
    anew would be more than an acquire.
    """
    repository = DynamoRepository(client, TABLE_NAME)
    limiter = Limiter(repository, knowledge=Knowledge(max_age_ms=HOUR_MS))
    for name, operation in operations().items():
        yield name, partial(repository.execute, (operation,), timeout_ms=60_000), plainly(plain, operation)
    yield ACQUIRE, partial(acquire, limiter), plainly(plain, operations()["UpdateItem"])
