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
from .asking import speaker_for
from .direct.requests import Request
from .expressions import take_apart
from .failures import CANCELLED, CONDITION_FAILED, CONDITION_FAILED_ALONE, error_code, is_refusal
from .pages import check_query, check_scan
from .reads import BatchGetCall, GetCall, PageCall, batch_form, get_form, query_request, scan_request
from .templates import ITEM, KEY, compile_template
from .transactions import check_transaction
from .wire import encode_item, key_text, quoted, written

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from ..operations import Action, Change, Key
    from .asking import Speaker
    from .templates import Parameters

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
        self._speaker = speaker_for(client, table_name)
        self._table_name = table_name
        self._in_transaction: Parameters = (
            ("TableName", table_name),
            ("ReturnValuesOnConditionCheckFailure", "ALL_OLD"),
        )
        self._alone: Parameters = (*self._in_transaction, ("ReturnValues", "ALL_NEW"))
        self._get_forms = [get_form(table_name, is_consistent=consistent) for consistent in (False, True)]
        self._batch_forms = [batch_form(table_name, is_consistent=consistent) for consistent in (False, True)]
        self._compile = lru_cache(maxsize=_SHAPES_KEPT)(compile_template)

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
                return (UpdateCall(self._speaker, Request(seen, body)),)
            case Put():
                seen, body = self._put(operation)
                return (WholeItemCall(self._speaker, "PutItem", Request(seen, body), operation.item),)
            case Delete():
                seen, body = self._write(operation.key, (), operation.condition)
                return (WholeItemCall(self._speaker, "DeleteItem", Request(seen, body), None),)
            case Transact():
                check_transaction(operation)
                actions = ",".join([self._action(action) for action in operation.actions])
                body = f'{{"TransactItems":[{actions}],"ClientRequestToken":{quoted(operation.token)}}}'
                return (TransactCall(self._speaker, Request({"ClientRequestToken": operation.token}, body)),)
            case BatchGet():
                form = self._batch_forms[operation.is_consistent]
                keys = [*{key_text(key): None for key in operation.keys}]
                if 0 < len(keys) <= _KEYS_IN_A_BATCH_MAX:
                    return (BatchGetCall(self._speaker, form, keys),)
                chunks = batched(keys, _KEYS_IN_A_BATCH_MAX, strict=False)
                return tuple([BatchGetCall(self._speaker, form, chunk) for chunk in chunks])
            case Get():
                return (GetCall(self._speaker, self._get_forms[operation.is_consistent], operation.key),)
            case Query():
                check_query(operation)
                return (PageCall(self._speaker, "Query", query_request(self._table_name, operation)),)
            case Scan():
                check_scan(operation)
                return (PageCall(self._speaker, "Scan", scan_request(self._table_name, operation)),)
        raise TypeError(f"not an operation: {operation!r}")

    def _action(self, action: Action) -> str:
        match action:
            case Update():
                return f'{{"Update":{self._update(action, is_alone=False)[1]}}}'
            case Put():
                return f'{{"Put":{self._put(action)[1]}}}'
            case Delete():
                return f'{{"Delete":{self._write(action.key, (), action.condition)[1]}}}'
            case Check():
                return f'{{"ConditionCheck":{self._write(action.key, (), action.condition)[1]}}}'
        raise TypeError(f"not an action: {action!r}")

    def _update(self, update: Update, *, is_alone: bool) -> _Written:
        if not update.changes:
            raise ValueError("an update needs at least one change")
        return self._write(update.key, update.changes, update.condition, is_alone=is_alone)

    def _put(self, put: Put) -> _Written:
        item = written(encode_item(put.key, put.item))
        return self._fill(self._in_transaction, ITEM, [item], (), put.condition)

    def _write(
        self, key: Key, changes: tuple[Change, ...], condition: Condition | None, *, is_alone: bool = False
    ) -> _Written:
        """Write what is done to an item by its key; an update that stands alone answers with the item."""
        parameters = self._alone if is_alone else self._in_transaction
        return self._fill(parameters, KEY, [key_text(key)], changes, condition)

    def _fill(
        self,
        parameters: Parameters,
        place: str,
        values: list[Any],
        changes: tuple[Change, ...],
        condition: Condition | None,
    ) -> _Written:
        """Fill a template with values, those of its place first; return what may be seen of it, and its text."""
        shape, holders = take_apart(changes, condition, values)
        template = self._compile(parameters, place, shape)
        for name in holders:
            values.append(quoted(name))  # noqa: PERF401 - seldom any
        return template.seen, template.text % tuple(values)


class UpdateCall:
    """UpdateItem."""

    __slots__ = ("_request", "_speaker")
    writes: Final = True

    def __init__(self, speaker: Speaker, request: Request) -> None:
        self._speaker = speaker
        self._request = request

    def send(self) -> Outcome:
        try:
            answer = self._speaker.ask("UpdateItem", self._request)
        except ClientError as error:
            return _refusal(error, self._speaker)
        # An update that only takes away, from an item that is not there, leaves nothing that could be sent.
        return Applied(self._speaker.read(answer.get("Attributes", {})))


class WholeItemCall:
    """PutItem or DeleteItem; ``item`` is what there is afterwards."""

    __slots__ = ("_item", "_operation", "_request", "_speaker")
    writes: Final = True

    def __init__(self, speaker: Speaker, operation: str, request: Request, item: Item | None) -> None:
        self._speaker = speaker
        self._operation = operation
        self._request = request
        self._item = item

    def send(self) -> Outcome:
        try:
            self._speaker.ask(self._operation, self._request)
        except ClientError as error:
            return _refusal(error, self._speaker)
        return Applied(self._item)


class TransactCall:
    """TransactWriteItems."""

    __slots__ = ("_request", "_speaker")
    writes: Final = True

    def __init__(self, speaker: Speaker, request: Request) -> None:
        self._speaker = speaker
        self._request = request

    def send(self) -> Outcome:
        try:
            self._speaker.ask("TransactWriteItems", self._request)
        except ClientError as error:
            return _cancellation(error, self._speaker)
        return Applied(None)


def _refusal(error: ClientError, speaker: Speaker) -> Refused:
    if error_code(error) != CONDITION_FAILED_ALONE:
        raise error
    return _refused_by(error.response, speaker)


def _cancellation(error: ClientError, speaker: Speaker) -> Cancelled:
    if error_code(error) != CANCELLED or not is_refusal(error.response):
        raise error
    reasons = error.response.get("CancellationReasons", ())
    return Cancelled(tuple([_verdict(reason, speaker) for reason in reasons]))


def _verdict(reason: Any, speaker: Speaker) -> Refused | None:  # noqa: ANN401 - as below
    return _refused_by(reason, speaker) if reason.get("Code") == CONDITION_FAILED else None


def _refused_by(answer: Any, speaker: Speaker) -> Refused:  # noqa: ANN401 - an error's answer, or a reason in it
    attributes = answer.get("Item")
    return Refused(speaker.read(attributes) if attributes else None)
