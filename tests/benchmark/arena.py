"""A table in DynamoDB Local, and who is compared on it: Leasegate, plain boto3, the sequential algorithm."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config

from leasegate import Limit, Limiter, RateLimitExceeded
from leasegate.operations import Operation, Outcome, Refused, Set, Update
from leasegate.repository.dynamodb import DynamoRepository, dynamodb_client
from scripts import template
from tests.benchmark.baseline import as_sequential
from tests.benchmark.sequential.app import SequentialLimiter
from tests.direct.pair import requests_of
from tests.unmocked import unmocked

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from leasegate.repository import Observer

NAMES: Final = ("rpm", "tpm", "rpd", "tpd", "images", "audio", "tools", "batch")
RESOURCE: Final = "gpt-4"
_CONNECTIONS: Final = 50
_WARMING: Final = 200


def lasting(count: int, burst: int = 1_000_000) -> tuple[Limit, ...]:
    """Return so many limits of which hardly a token flows back while it is measured."""
    return tuple([Limit.per_day(name, 1, burst=burst) for name in NAMES[:count]])


class Watch:
    """Counts the calls of a repository, and those that were refused."""

    def __init__(self) -> None:
        self.calls = 0
        self.refused = 0

    def __call__(
        self, operations: tuple[Operation, ...], outcomes: tuple[Outcome, ...], _start_ns: int, _end_ns: int
    ) -> None:
        self.calls += len(operations)
        self.refused += sum([isinstance(outcome, Refused) for outcome in outcomes])


@dataclass(frozen=True)
class Arena:
    """A table, and the clients that are compared on it."""

    client: DynamoDBClient
    """One with the direct path."""
    plain: DynamoDBClient
    table_name: str

    @contextmanager
    def process(self, observer: Observer | None = None) -> Iterator[Limiter]:
        """Return a limiter that knows nothing, on connections that all share."""
        with DynamoRepository(self.client, self.table_name, observer=observer) as repository:
            yield Limiter(repository)

    def sequential(self) -> SequentialLimiter:
        return SequentialLimiter(self.plain, self.table_name)

    def store(self, limits: Sequence[Limit], *entity_ids: str) -> None:
        """Store entities with these limits for both algorithms, each the child of the one before."""
        sequential = self.sequential()
        with self.process() as admin:
            for parent_id, entity_id in zip((None, *entity_ids), entity_ids, strict=False):
                admin.create_entity(entity_id, parent_id)
                admin.set_limits(entity_id, limits, resource=RESOURCE)
                sequential.create_entity(entity_id, parent_id)
                sequential.set_limits(as_sequential(tuple(limits)), entity_id, RESOURCE)

    def plain_update(self, limits: Sequence[Limit], entity_id: str) -> Callable[[], object]:
        """Return what an acquire asks of the table, asked by the plain client, under another request id each time.

        It is of a bucket that has been spent from, so it is granted again and again.
        """
        seen: list[Operation] = []
        self.store(limits, entity_id)
        with self.process(lambda operations, *_: seen.extend(operations)) as limiter:
            for _ in range(2):
                limiter.acquire(entity_id, RESOURCE, dict.fromkeys([limit.name for limit in limits], 1))
        update = seen[-1]
        assert isinstance(update, Update)
        (id_before,) = {
            str(one.value) for one in update.changes if isinstance(one, Set) and one.attribute[:2] == "r."
        }
        ((_, request),) = requests_of(update, self.table_name)
        parameters = request.parameters()
        values = parameters["ExpressionAttributeValues"]
        names = [name for name, value in values.items() if value == {"S": id_before}]

        def ask() -> object:
            request_id = {"S": secrets.token_urlsafe(12)}
            return self.plain.update_item(
                **{**parameters, "ExpressionAttributeValues": {**values, **dict.fromkeys(names, request_id)}}
            )

        return ask


@contextmanager
def arena(endpoint_url: str, table_name: str) -> Iterator[Arena]:
    """Open a table that is there, and end its stream; connections suffice for the benchmarks' threads.

    The more records there are in its streams, the longer DynamoDB Local takes for each write; AWS does not.
    """
    config = Config(max_pool_connections=_CONNECTIONS)
    client = unmocked(dynamodb_client(endpoint_url=endpoint_url, direct=True, config=config))
    plain = unmocked(boto3.client("dynamodb", endpoint_url=endpoint_url, config=config))
    with closing(client), closing(plain):
        plain.update_table(TableName=table_name, StreamSpecification={"StreamEnabled": False})
        yield Arena(client, plain, table_name)


def is_refused(call: Callable[[], object]) -> bool:
    """Make a call, and say whether it was refused."""
    try:
        return call() is False
    except RateLimitExceeded:
        return True


def warm(endpoint_url: str) -> None:
    """Ask DynamoDB Local for some hundreds of acquires by both algorithms, on a table that is deleted again."""
    template.create_table(boto3.client("dynamodb", endpoint_url=endpoint_url), "warm")
    with arena(endpoint_url, "warm") as on:
        on.store(lasting(2), "project", "key-1")
        sequential = on.sequential()
        with on.process() as limiter:
            for _ in range(_WARMING):
                sequential.acquire("key-1", RESOURCE, {"rpm": 1, "tpm": 1}, cascade=True)
                for _ in range(4):
                    limiter.acquire("key-1", RESOURCE, {"rpm": 1, "tpm": 1})
        on.plain.delete_table(TableName=on.table_name)
