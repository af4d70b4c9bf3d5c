"""The sequential algorithm on a table of its own, and what it asks of DynamoDB."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from leasegate import Limit
from tests.benchmark.sequential.app import Limit as SequentialLimit

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class Bill(NamedTuple):
    """What a call costs."""

    calls: int
    read_units: float
    write_units: int


class Counted:
    """What the sequential algorithm asks of a client, and what AWS bills for that.

    All its items are small: a write of one is a unit, in a transaction two, a read a unit or, if it need not be
    consistent, half of one. https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
    """

    def __init__(self, client: DynamoDBClient) -> None:
        """Begin to count what the client is asked for."""
        self._bills: list[Bill] = []
        client.meta.events.register("before-parameter-build.dynamodb", self._note)

    def bill(self, call: Callable[[], object]) -> Bill:
        """Make a call, and return what it cost."""
        self._bills.clear()
        call()
        calls, reads, writes = zip(*self._bills, strict=True)
        return Bill(sum(calls), sum(reads), sum(writes))

    def _note(self, params: Mapping[str, Any], model: Any, **_event: object) -> None:  # noqa: ANN401 - botocore has no types for it
        match model.name:
            case "GetItem" | "Query":
                self._bills.append(Bill(1, 1 if params.get("ConsistentRead") else 0.5, 0))
            case "PutItem":
                self._bills.append(Bill(1, 0, 1))
            case "TransactWriteItems":
                self._bills.append(Bill(1, 0, 2 * len(params["TransactItems"])))


def as_sequential(limits: tuple[Limit, ...]) -> list[SequentialLimit]:
    """Return limits as the sequential algorithm takes them."""
    return [SequentialLimit(limit.name, limit.capacity, limit.amount, limit.period_ms) for limit in limits]
