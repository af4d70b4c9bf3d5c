"""What is asked of the DynamoDB client for each operation, and how its answer reads; ``reads`` has the reads.

A call holds its whole request, so that every attempt sends the very same one. ``send`` makes one attempt: it
returns the outcome, a refusal among them, or raises what ``failures`` understands.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import batched
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from botocore.exceptions import ClientError

from ..operations import (
    Applied,
    BatchGet,
    Cancelled,
    Check,
    Condition,
    Delete,
    Get,
    Item,
    Operation,
    Outcome,
    Put,
    Query,
    Refused,
    Scan,
    Transact,
    Update,
)
from .expressions import compile_shape, take_apart
from .failures import CANCELLED, CONDITION_FAILED, error_code, is_refusal
from .pages import check_query, check_scan
from .reads import BatchGetCall, GetCall, PageCall, query_request, scan_request
from .transactions import check_transaction
from .wire import decode_item, encode_item, encode_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

    from ..operations import Action, Change
    from .reads import Request

_SHAPES_KEPT: Final = 1024
_KEYS_IN_A_BATCH_MAX: Final = 100


class Call(Protocol):
    """One request to DynamoDB, which may be sent more than once."""

    @property
    def writes(self) -> bool:
        """Whether an attempt without an answer may have changed the table."""
        ...

    def send(self) -> Outcome:
        """Make one attempt."""
        ...


class Desk:
    """Turns operations into calls for one client and one table, and remembers the shapes it has compiled."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name
        self._compile = lru_cache(maxsize=_SHAPES_KEPT)(compile_shape)

    @property
    def compilations(self) -> int:
        """How many times a shape had to be compiled."""
        return self._compile.cache_info().misses

    def calls(self, operation: Operation) -> tuple[Call, ...]:
        """Return the calls that answer an operation together: one; for a long BatchGet one for 100 keys each.

        Raises ``TypeError`` or ``ValueError`` for operations that no store could execute; nothing was sent then.
        """
        match operation:
            case Update():
                return (UpdateCall(self._client, self._update(operation)),)
            case Put():
                return (WholeItemCall(self._client.put_item, self._put(operation), operation.item),)
            case Delete():
                return (WholeItemCall(self._client.delete_item, self._delete(operation), None),)
            case Transact():
                check_transaction(operation)
                actions = [self._action(action) for action in operation.actions]
                return (TransactCall(self._client, actions, operation.token),)
            case BatchGet(keys, is_consistent):
                chunks = batched(dict.fromkeys(keys), _KEYS_IN_A_BATCH_MAX, strict=False)
                return tuple(
                    [
                        BatchGetCall(self._client, self._table_name, chunk, is_consistent=is_consistent)
                        for chunk in chunks
                    ]
                )
            case Get():
                return (GetCall(self._client, self._table_name, operation),)
            case Query():
                check_query(operation)
                return (PageCall(self._client.query, query_request(self._table_name, operation)),)
            case Scan():
                check_scan(operation)
                return (PageCall(self._client.scan, scan_request(self._table_name, operation)),)
        raise TypeError(f"not an operation: {operation!r}")

    def _action(self, action: Action) -> TransactWriteItemTypeDef:
        match action:
            case Update():
                return cast("TransactWriteItemTypeDef", {"Update": self._update(action)})
            case Put():
                return cast("TransactWriteItemTypeDef", {"Put": self._put(action)})
            case Delete():
                return cast("TransactWriteItemTypeDef", {"Delete": self._delete(action)})
            case Check():
                request = self._request((), action.condition) | {"Key": encode_key(action.key)}
                return cast("TransactWriteItemTypeDef", {"ConditionCheck": request})
        raise TypeError(f"not an action: {action!r}")

    def _update(self, update: Update) -> Request:
        if not update.changes:
            raise ValueError("an update needs at least one change")
        request = self._request(update.changes, update.condition)
        request["Key"] = encode_key(update.key)
        return request

    def _put(self, put: Put) -> Request:
        request = self._request((), put.condition)
        request["Item"] = encode_item(put.key, put.item)
        return request

    def _delete(self, delete: Delete) -> Request:
        request = self._request((), delete.condition)
        request["Key"] = encode_key(delete.key)
        return request

    def _request(self, changes: tuple[Change, ...], condition: Condition | None) -> Request:
        request: Request = {"TableName": self._table_name, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        if not changes and condition is None:
            return request
        shape, holders, values = take_apart(changes, condition)
        expressions = self._compile(shape)
        if changes:
            request["UpdateExpression"] = expressions.update
        if condition is not None:
            request["ConditionExpression"] = expressions.condition
        request["ExpressionAttributeNames"] = expressions.names
        if holders:
            request["ExpressionAttributeNames"] = {
                **expressions.names,
                **dict(zip(expressions.holders, holders, strict=True)),
            }
        if values:
            request["ExpressionAttributeValues"] = dict(zip(expressions.placeholders, values, strict=True))
        return request


class UpdateCall:
    """UpdateItem."""

    __slots__ = ("_client", "_request")
    writes: Final = True

    def __init__(self, client: DynamoDBClient, request: Request) -> None:
        self._client = client
        self._request = request
        request["ReturnValues"] = "ALL_NEW"

    def send(self) -> Outcome:
        try:
            answer = self._client.update_item(**self._request)
        except ClientError as error:
            return _refusal(error)
        # An update that only takes away, from an item that is not there, leaves nothing that could be sent.
        return Applied(decode_item(answer.get("Attributes", {})))


class WholeItemCall:
    """PutItem or DeleteItem; ``write`` is the client's method for it, ``item`` what there is afterwards."""

    __slots__ = ("_item", "_request", "_write")
    writes: Final = True

    def __init__(self, write: Callable[..., object], request: Request, item: Item | None) -> None:
        self._write = write
        self._request = request
        self._item = item

    def send(self) -> Outcome:
        try:
            self._write(**self._request)
        except ClientError as error:
            return _refusal(error)
        return Applied(self._item)


class TransactCall:
    """TransactWriteItems."""

    __slots__ = ("_actions", "_client", "_token")
    writes: Final = True

    def __init__(self, client: DynamoDBClient, actions: list[TransactWriteItemTypeDef], token: str) -> None:
        self._client = client
        self._actions = actions
        self._token = token

    def send(self) -> Outcome:
        try:
            self._client.transact_write_items(TransactItems=self._actions, ClientRequestToken=self._token)
        except ClientError as error:
            return _cancellation(error)
        return Applied(None)


def _refusal(error: ClientError) -> Refused:
    if error_code(error) != f"{CONDITION_FAILED}Exception":
        raise error
    return _refused_by(error.response)


def _cancellation(error: ClientError) -> Cancelled:
    if error_code(error) != CANCELLED or not is_refusal(error.response):
        raise error
    reasons = error.response.get("CancellationReasons", ())
    return Cancelled(
        tuple([_refused_by(reason) if reason.get("Code") == CONDITION_FAILED else None for reason in reasons])
    )


def _refused_by(answer: Any) -> Refused:  # noqa: ANN401 - an error's answer, or a reason in it; boto3 types neither
    attributes = answer.get("Item")
    return Refused(decode_item(attributes) if attributes else None)
