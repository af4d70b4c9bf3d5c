"""What a caller asks: JSON bodies, read strictly.

Every mistake raises :class:`InvalidRequest` with the path of the field (``consume.tpm``, ``limits[1].burst``;
``body`` for what is no JSON object at all). Nothing is guessed: no unknown fields, no numbers as strings, no
``1.0`` for ``1``, no null for absent.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from ..errors import InvalidRequest
from ..flows.grants import Cascade, check_cascade
from ..identifiers import MAX_TOKENS, check_amounts, check_identifier, check_integer, check_limit_name
from ..limits import DAY_MS, HOUR_MS, MAX_LIMITS, MAX_PERIOD_MS, MINUTE_MS, SECOND_MS, Limit

MAX_BODY_BYTES: Final = 65_536

_PERIODS_MS: Final[Mapping[str, int]] = {
    "second": SECOND_MS,
    "minute": MINUTE_MS,
    "hour": HOUR_MS,
    "day": DAY_MS,
}
_MAX_PATH_LENGTH: Final = 100


@dataclass(frozen=True, slots=True)
class AcquireRequest:
    """The body of ``POST /acquire``; the fields are the arguments of :meth:`Limiter.acquire`."""

    entity_id: str
    resource: str
    consume: Mapping[str, int]
    limits: tuple[Limit, ...] | None
    parent_id: str | None
    cascade: Cascade


class Object(dict[str, object]):
    """A JSON object; ``repeated`` is a key that it gives twice, if it does."""

    def __init__(self, members: list[tuple[str, object]]) -> None:
        """Take the members in the order of the text."""
        super().__init__(members)
        self.repeated: str | None = None
        if len(self) != len(members):
            ((self.repeated, _),) = Counter([key for key, _ in members]).most_common(1)


def parse_acquire(body: str | None, *, is_base64: bool = False) -> AcquireRequest:
    """Read the body of ``POST /acquire``, base64 as API Gateway passes on what it takes for binary.

    ::

        {"entity_id": "key-1", "resource": "gpt-4", "consume": {"rpm": 1, "tpm": 500},
         "limits": [{"name": "rpm", "amount": 60, "period": "minute"},
                    {"name": "tpm", "capacity": 20000, "amount": 10000, "period_ms": 60000}],
         "parent_id": "project-1", "cascade": true}

    The first three are required. A limit is given as to ``Limit.per_minute``, with ``period`` (``second``,
    ``minute``, ``hour``, ``day``) and perhaps ``burst``, or as to ``Limit``, with ``capacity`` and
    ``period_ms``; not as a mixture. ``cascade`` is true, false or ``"transaction"``.
    """
    fields = _read_object(
        "",
        _parse_json(_decode(body, is_base64)),
        required=("entity_id", "resource", "consume"),
        optional=("limits", "parent_id", "cascade"),
    )
    return AcquireRequest(
        entity_id=check_identifier("entity_id", fields["entity_id"]),
        resource=check_identifier("resource", fields["resource"]),
        consume=_read_amounts("consume", fields["consume"]),
        limits=_read_limits("limits", fields["limits"]) if "limits" in fields else None,
        parent_id=check_identifier("parent_id", fields["parent_id"]) if "parent_id" in fields else None,
        cascade=check_cascade(fields.get("cascade", True)),
    )


# --- text ------------------------------------------------------------------------------------------


def _decode(body: str | None, is_base64: bool) -> str:
    if not body:
        raise InvalidRequest("body", "must be a JSON object, not empty")
    # What is too long is so in base64 or escapes too; looking first spares the work.
    if len(body) > 2 * MAX_BODY_BYTES:
        raise InvalidRequest("body", f"must be at most {MAX_BODY_BYTES} bytes")
    data = body.encode(errors="surrogatepass")
    if is_base64:
        try:
            data = base64.b64decode(data, validate=True)
            body = data.decode()
        except ValueError as error:
            raise InvalidRequest("body", "must be base64 of UTF-8") from error
    if len(data) > MAX_BODY_BYTES:
        raise InvalidRequest("body", f"must be at most {MAX_BODY_BYTES} bytes")
    return body


def _parse_json(text: str) -> object:
    try:
        value: object = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise InvalidRequest("body", f"must be JSON: {error.msg} at character {error.pos}") from error
    except ValueError as error:
        raise InvalidRequest("body", "must be JSON with numbers of fewer digits") from error
    except RecursionError as error:
        raise InvalidRequest("body", "must not be nested so deeply") from error
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidRequest("body", f"must be JSON, which has no {name}")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=Object, parse_constant=_refuse_constant)


# --- values ----------------------------------------------------------------------------------------


def _read_object(
    path: str, value: object, *, required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Mapping[str, object]:
    """Return a JSON object with all required and no unknown fields; the path of the body itself is empty."""
    fields = _check_object(path, value)
    for name in fields:
        if name not in required and name not in optional:
            known = ", ".join(required + optional)
            raise InvalidRequest(_join(path, name), f"is unknown; the fields are {known}")
    for name in required:
        if name not in fields:
            raise InvalidRequest(_join(path, name), "is required")
    return fields


def _read_amounts(path: str, value: object) -> dict[str, int]:
    amounts = check_amounts(path, _check_object(path, value))
    if len(amounts) > MAX_LIMITS:
        raise InvalidRequest(path, f"must name at most {MAX_LIMITS} limits, not {len(amounts)}")
    return amounts


def _read_limits(path: str, value: object) -> tuple[Limit, ...]:
    if not isinstance(value, list):
        raise InvalidRequest(path, "must be an array of limits")
    return tuple([_read_limit(f"{path}[{index}]", limit) for index, limit in enumerate(value)])


def _read_limit(path: str, value: object) -> Limit:
    if "period" in _check_object(path, value):
        fields = _read_object(path, value, required=("name", "amount", "period"), optional=("burst",))
        period = fields["period"]
        if not isinstance(period, str) or period not in _PERIODS_MS:
            raise InvalidRequest(f"{path}.period", f"must be one of {', '.join(_PERIODS_MS)}")
        period_ms, burst = _PERIODS_MS[period], "burst" if "burst" in fields else "amount"
    else:
        fields = _read_object(path, value, required=("name", "capacity", "amount", "period_ms"))
        period_ms = check_integer(f"{path}.period_ms", fields["period_ms"], 1, MAX_PERIOD_MS)
        burst = "capacity"
    return Limit(
        name=check_limit_name(f"{path}.name", fields["name"]),
        capacity=check_integer(f"{path}.{burst}", fields[burst], 1, MAX_TOKENS),
        amount=check_integer(f"{path}.amount", fields["amount"], 1, MAX_TOKENS),
        period_ms=period_ms,
    )


def _check_object(path: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, Object):
        raise InvalidRequest(path or "body", "must be a JSON object")
    if value.repeated is not None:
        raise InvalidRequest(_join(path, value.repeated), "is given twice")
    return value


def _join(path: str, name: str) -> str:
    # The caller chose the name, perhaps thousands of characters of it.
    return (f"{path}.{name}" if path else name)[:_MAX_PATH_LENGTH]
