"""What whoever spends asks: bodies, as the arguments of the library's methods.

Every mistake raises :class:`InvalidRequest` that names the field; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, NotRequired, TypedDict

from ..durable import MAX_EXPIRES_S
from ..errors import InvalidRequest
from ..flows.grants import OnExpiry, check_cascade
from ..identifiers import check_amounts, check_delta, check_identifier, check_integer
from ..limits import MAX_LIMITS
from ..requesting import AcquireRequest, check_key
from ..spender import MAX_BATCH
from .bodies import check_object, read_body, read_object
from .limits import read_limits
from .requests import Request

_REQUIRED: Final = ("entity_id", "resource", "consume")
_OPTIONAL: Final = ("limits", "parent_id", "cascade", "durable", "expires_in", "on_expiry")


class Adjustment(TypedDict):
    """The arguments of ``adjust``."""

    entity_id: str
    resource: str
    delta: Mapping[str, int]
    cascade: NotRequired[bool]


def read_acquire(request: Request) -> AcquireRequest:
    """Read ``POST /acquire``: its body, and the key in its header."""
    asked = parse_acquire(request.body, is_base64=request.is_base64)
    return replace(asked, idempotency_key=request.idempotency_key)


def parse_acquire(body: str | None, *, is_base64: bool = False) -> AcquireRequest:
    """Read the body of ``POST /acquire``, base64 as API Gateway passes on what it takes for binary.

    ::

        {"entity_id": "key-1", "resource": "gpt-4", "consume": {"rpm": 1, "tpm": 500},
         "limits": [{"name": "rpm", "amount": 60, "period": "minute"},
                    {"name": "tpm", "capacity": 20000, "amount": 10000, "period_ms": 60000}],
         "parent_id": "project-1", "cascade": true,
         "durable": true, "expires_in": 600, "on_expiry": "release"}

    The first three are required. ``cascade`` is true, false or ``"transaction"``. A lease that holds places of a
    concurrency limit is durable by itself, for nobody could end it otherwise. There is no null for absent.
    """
    return _read_acquire(read_body(body, is_base64=is_base64))


def read_batch(request: Request) -> list[AcquireRequest | InvalidRequest]:
    """Read ``{"requests": [...]}``, each like the body of ``POST /acquire`` with perhaps an ``idempotency_key``.

    One that is wrong is the error that says so, with the field's path in that request.
    """
    asked = read_object("", request.json(), required=("requests",))["requests"]
    if not isinstance(asked, list) or not 1 <= len(asked) <= MAX_BATCH:
        raise InvalidRequest("requests", f"must be an array of 1 to {MAX_BATCH} requests")
    return [_read_keyed(value) for value in asked]


def read_actual(request: Request) -> dict[str, int] | None:
    """Read ``{"actual": {"tpm": 812}}``; None where nothing is given, and all was used that was acquired."""
    fields = read_object("", request.json(), required=(), optional=("actual",))
    return read_amounts("actual", fields["actual"]) if "actual" in fields else None


def read_renewal(request: Request) -> int | None:
    """Read ``{"expires_in": 60}``; None where nothing is given, and as long is meant as it was acquired for."""
    fields = read_object("", request.json(), required=(), optional=("expires_in",))
    return _read_expires_in(fields)


def read_adjustment(request: Request) -> Adjustment:
    """Read ``{"entity_id": "key-1", "resource": "gpt-4", "adjust": {"tpm": 312, "rpm": -1}, "cascade": true}``."""
    required = ("entity_id", "resource", "adjust")
    fields = read_object("", request.json(), required=required, optional=("cascade",))
    adjustment: Adjustment = {
        "entity_id": check_identifier("entity_id", fields["entity_id"]),
        "resource": check_identifier("resource", fields["resource"]),
        "delta": read_amounts("adjust", fields["adjust"], check_delta),
    }
    if "cascade" in fields:
        adjustment["cascade"] = _read_boolean("cascade", fields["cascade"])
    return adjustment


def read_amounts(
    path: str, value: object, check: Callable[[str, object], dict[str, int]] = check_amounts
) -> dict[str, int]:
    """Read tokens by limit name, of as many limits as a bucket can have."""
    amounts = check(path, check_object(path, value))
    if len(amounts) > MAX_LIMITS:
        raise InvalidRequest(path, f"must name at most {MAX_LIMITS} limits, not {len(amounts)}")
    return amounts


def _read_keyed(value: object) -> AcquireRequest | InvalidRequest:
    try:
        return _read_acquire(value, "idempotency_key")
    except InvalidRequest as error:
        return error


def _read_acquire(value: object, *more: str) -> AcquireRequest:
    fields = read_object("", value, required=_REQUIRED, optional=(*_OPTIONAL, *more))
    return AcquireRequest(
        entity_id=check_identifier("entity_id", fields["entity_id"]),
        resource=check_identifier("resource", fields["resource"]),
        consume=read_amounts("consume", fields["consume"]),
        limits=read_limits("limits", fields["limits"]) if "limits" in fields else None,
        parent_id=check_identifier("parent_id", fields["parent_id"]) if "parent_id" in fields else None,
        cascade=check_cascade(fields.get("cascade", True)),
        idempotency_key=_read_key(fields),
        durable=_read_boolean("durable", fields["durable"]) if "durable" in fields else "if_held",
        expires_in=_read_expires_in(fields),
        on_expiry=_read_on_expiry(fields["on_expiry"]) if "on_expiry" in fields else None,
    )


def _read_key(fields: Mapping[str, object]) -> str | None:
    if "idempotency_key" not in fields:
        return None
    return check_key("idempotency_key", fields["idempotency_key"])


def _read_expires_in(fields: Mapping[str, object]) -> int | None:
    if "expires_in" not in fields:
        return None
    return check_integer("expires_in", fields["expires_in"], 1, MAX_EXPIRES_S)


def _read_on_expiry(value: object) -> OnExpiry:
    if value not in ("release", "keep"):
        raise InvalidRequest("on_expiry", 'must be "release" or "keep"')
    return value


def _read_boolean(path: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest(path, "must be true or false")
    return value
