"""What is asked of the DynamoDB client for each operation, and how its answer reads; ``reads`` has the reads.

A call holds its whole request, so that every attempt sends the very same one. ``send`` makes one attempt: it
returns the outcome, a refusal among them, or raises what ``failures`` understands.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import batched
from typing import TYPE_CHECKING, Any, Final, Protocol

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
from .asking import asking
from .direct.requests import Request
from .expressions import Shape, take_apart
from .failures import CANCELLED, CONDITION_FAILED, error_code, is_refusal
from .pages import check_query, check_scan
from .reads import BatchGetCall, GetCall, PageCall, query_request, scan_request
from .templates import ITEM, KEY, Template, compile_template
from .transactions import check_transaction
from .wire import decode_item, encode_item, quoted, written

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from ..operations import Action, Change
    from .asking import Ask

type _Written = tuple[Mapping[str, Any], str]
"""What may be seen of a request, and its text."""

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
        self._ask = asking(client)
        self._table_name = table_name
        condition = {"TableName": table_name, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        self._in_transaction: Mapping[str, str] = condition
        self._alone: Mapping[str, str] = condition | {"ReturnValues": "ALL_NEW"}
        self._compile = lru_cache(maxsize=_SHAPES_KEPT)(self._compile_template)

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
                seen, body = self._update(operation, is_alone=True)
                return (UpdateCall(self._ask, Request(seen, body)),)
            case Put():
                seen, body = self._put(operation)
                return (WholeItemCall(self._ask, "PutItem", Request(seen, body), operation.item),)
            case Delete():
                seen, body = self._delete(operation)
                return (WholeItemCall(self._ask, "DeleteItem", Request(seen, body), None),)
            case Transact():
                check_transaction(operation)
                actions = ",".join([self._action(action) for action in operation.actions])
                body = f'{{"TransactItems":[{actions}],"ClientRequestToken":{quoted(operation.token)}}}'
                return (TransactCall(self._ask, Request({"ClientRequestToken": operation.token}, body)),)
            case BatchGet(keys, is_consistent):
                chunks = batched(dict.fromkeys(keys), _KEYS_IN_A_BATCH_MAX, strict=False)
                return tuple(
                    [
                        BatchGetCall(self._ask, self._table_name, chunk, is_consistent=is_consistent)
                        for chunk in chunks
                    ]
                )
            case Get():
                return (GetCall(self._ask, self._table_name, operation),)
            case Query():
                check_query(operation)
                return (PageCall(self._ask, "Query", query_request(self._table_name, operation)),)
            case Scan():
                check_scan(operation)
                return (PageCall(self._ask, "Scan", scan_request(self._table_name, operation)),)
        raise TypeError(f"not an operation: {operation!r}")

    def _action(self, action: Action) -> str:
        match action:
            case Update():
                return f'{{"Update":{self._update(action, is_alone=False)[1]}}}'
            case Put():
                return f'{{"Put":{self._put(action)[1]}}}'
            case Delete():
                return f'{{"Delete":{self._delete(action)[1]}}}'
            case Check():
                pk, sk = action.key
                _, body = self._write((), action.condition, KEY, (quoted(pk), quoted(sk)), is_update=False)
                return f'{{"ConditionCheck":{body}}}'
        raise TypeError(f"not an action: {action!r}")

    def _update(self, update: Update, *, is_alone: bool) -> _Written:
        if not update.changes:
            raise ValueError("an update needs at least one change")
        pk, sk = update.key
        return self._write(update.changes, update.condition, KEY, (quoted(pk), quoted(sk)), is_update=is_alone)

    def _put(self, put: Put) -> _Written:
        return self._write((), put.condition, ITEM, (written(encode_item(put.key, put.item)),), is_update=False)

    def _delete(self, delete: Delete) -> _Written:
        pk, sk = delete.key
        return self._write((), delete.condition, KEY, (quoted(pk), quoted(sk)), is_update=False)

    def _write(
        self,
        changes: tuple[Change, ...],
        condition: Condition | None,
        place: str,
        target: tuple[str, ...],
        *,
        is_update: bool,
    ) -> _Written:
        """Return what may be seen of a write, and its text; ``is_update`` for one that answers with the item."""
        shape, holders, values = take_apart(changes, condition)
        template = self._compile(is_update, place, shape)
        return template.seen, template.filled(target, holders, values)

    def _compile_template(self, is_update: bool, place: str, shape: Shape) -> Template:
        return compile_template(self._alone if is_update else self._in_transaction, place, shape)


class UpdateCall:
    """UpdateItem."""

    __slots__ = ("_ask", "_request")
    writes: Final = True

    def __init__(self, ask: Ask, request: Request) -> None:
        self._ask = ask
        self._request = request

    def send(self) -> Outcome:
        try:
            answer = self._ask("UpdateItem", self._request)
        except ClientError as error:
            return _refusal(error)
        # An update that only takes away, from an item that is not there, leaves nothing that could be sent.
        return Applied(decode_item(answer.get("Attributes", {})))


class WholeItemCall:
    """PutItem or DeleteItem; ``item`` is what there is afterwards."""

    __slots__ = ("_ask", "_item", "_operation", "_request")
    writes: Final = True

    def __init__(self, ask: Ask, operation: str, request: Request, item: Item | None) -> None:
        self._ask = ask
        self._operation = operation
        self._request = request
        self._item = item

    def send(self) -> Outcome:
        try:
            self._ask(self._operation, self._request)
        except ClientError as error:
            return _refusal(error)
        return Applied(self._item)


class TransactCall:
    """TransactWriteItems."""

    __slots__ = ("_ask", "_request")
    writes: Final = True

    def __init__(self, ask: Ask, request: Request) -> None:
        self._ask = ask
        self._request = request

    def send(self) -> Outcome:
        try:
            self._ask("TransactWriteItems", self._request)
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
