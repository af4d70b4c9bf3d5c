"""What the benchmarks of single calls ask for: an acquire of a known bucket, and operations like its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from botocore.exceptions import ClientError

from leasegate import Limit, Limiter, schema
from leasegate.operations import Applied, BatchGet, Get, Item, Key, Operation, Outcome, Transact, Update
from leasegate.repository.memory import MemoryRepository
from tests.direct.pair import requests_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE_NAME: Final = "leasegate"
RESOURCE: Final = "gpt-4"
ENTITY: Final = "key-1"
REFUSED: Final = "key-refused"
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

_METHODS: Final[Mapping[str, str]] = {
    "BatchGetItem": "batch_get_item",
    "GetItem": "get_item",
    "TransactWriteItems": "transact_write_items",
    "UpdateItem": "update_item",
}


class Traffic(NamedTuple):
    """A round trip of one operation, and its outcome."""

    operation: Operation
    outcome: Outcome


def acquire(limiter: Limiter, **options: Any) -> object:  # noqa: ANN401 - the options of an acquire
    """Spend what the benchmarks spend."""
    return limiter.acquire(ENTITY, RESOURCE, CONSUME, **options)


def traffic(**options: Any) -> Traffic:  # noqa: ANN401 - the options of an acquire
    """Return what an acquire of a known bucket asks of the table; with a parent in a transactional cascade."""
    seen: list[Traffic] = []

    def observe(operations: tuple[Operation, ...], outcomes: tuple[Outcome, ...], *_times: int) -> None:
        seen.append(Traffic(operations[0], outcomes[0]))

    limiter = Limiter(MemoryRepository(observer=observe))
    if options:
        limiter.create_entity("project-1")
        limiter.set_limits("project-1", LIMITS, resource=RESOURCE)
    limiter.create_entity(ENTITY, "project-1" if options else None)
    limiter.set_limits(ENTITY, LIMITS, resource=RESOURCE)
    for _ in range(3):
        acquire(limiter, **options)
    return seen[-1]


def operations() -> Mapping[str, Operation]:
    """Return the operations that are compared, by what the tables call them."""
    update = traffic().operation
    transaction = traffic(cascade="transaction").operation
    assert isinstance(update, Update)
    assert isinstance(transaction, Transact)
    assert len(transaction.actions) == 2
    return {
        "UpdateItem": update,
        "GetItem": Get(update.key),
        "BatchGetItem of 3": BatchGet(bucket_keys()),
        "TransactWriteItems of 2": transaction,
        "UpdateItem, refused": Update(schema.bucket_key(REFUSED, RESOURCE), update.changes, update.condition),
    }


def bucket_keys() -> tuple[Key, ...]:
    """Return the keys of three buckets, the first of which is spent from."""
    return tuple([schema.bucket_key(entity_id, RESOURCE) for entity_id in (ENTITY, "key-2", "key-3")])


def bucket_item() -> Item:
    """Return a bucket of two limits that has granted a few times."""
    outcome = traffic().outcome
    assert isinstance(outcome, Applied)
    assert outcome.item is not None
    return outcome.item


def plainly(client: DynamoDBClient, operation: Operation) -> Callable[[], object]:
    """Return a call of a boto3 client that asks for the same as an operation, refused or not."""
    ((name, request),) = requests_of(operation, TABLE_NAME)
    parameters = request.parameters()
    method = getattr(client, _METHODS[name])

    def call() -> object:
        try:
            return method(**parameters)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return error

    return call
