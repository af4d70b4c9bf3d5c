"""Answers that DynamoDB would give in trouble, as they stand on the wire."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.faults.faults import Fault

_CRC32: Final = "x-amz-crc32"
_DYNAMODB: Final = "com.amazonaws.dynamodb.v20120810#"
_CORAL: Final = "com.amazon.coral.availability#"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and body; length and type come with the sending."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def refusal(fault: Fault, operation: str, request: Mapping[str, Any]) -> Answer:
    """Return the answer of a DynamoDB that did nothing."""
    match fault:
        case Fault.FAILED | Fault.FAILED_LATE:
            return _error(500, f"{_DYNAMODB}InternalServerError")
        case Fault.UNAVAILABLE:
            return _error(503, f"{_CORAL}ServiceUnavailableException")
        case Fault.THROTTLED:
            return _error(
                400, f"{_DYNAMODB}ProvisionedThroughputExceededException", ThrottlingReasons=_reasons("Table")
            )
        case Fault.THROTTLED_ACCOUNT:
            return _error(400, f"{_CORAL}ThrottlingException", throttlingReasons=_reasons("Account"))
        case Fault.CONFLICT if operation == "TransactWriteItems":
            return _cancellation(len(request["TransactItems"]))
        case Fault.CONFLICT:
            return _error(400, f"{_DYNAMODB}TransactionConflictException")
    raise ValueError(f"DynamoDB has no answer for {fault}")


def _cancellation(actions: int) -> Answer:
    """Return the cancellation of a transaction whose last item another one was writing."""
    conflict = {"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"}
    reasons = [*({"Code": "None"} for _ in range(actions - 1)), conflict]
    return _error(400, f"{_DYNAMODB}TransactionCanceledException", CancellationReasons=reasons)


def _reasons(what: str) -> list[dict[str, str]]:
    return [
        {"reason": f"{what}WriteMaxOnDemandThroughputExceeded", "resource": "arn:aws:dynamodb:table/leasegate"}
    ]


def _error(status: int, code: str, **fields: object) -> Answer:
    return answer(status, {"__type": code, "message": "no client decides by this text", **fields})


def answer(status: int, content: object) -> Answer:
    """Return an answer with the checksum of its body."""
    body = json.dumps(content).encode()
    return Answer(status, {_CRC32: str(zlib.crc32(body))}, body)


def bad_checksum(given: Answer) -> Answer:
    """Return an answer whose checksum is another body's."""
    return Answer(given.status, {**given.headers, _CRC32: str(zlib.crc32(given.body) ^ 1)}, given.body)
