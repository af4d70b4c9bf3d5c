"""What bodies look like, as JSON Schema (2020-12) under the names that the routes use.

For documents and tests: the functions read bodies with code of their own, which a test holds to these schemas.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..durable import MAX_EXPIRES_S
from ..flows.tickets import MAX_TICKET_LENGTH
from ..flows.usage import METRICS
from ..identifiers import DOT_SEGMENTS, MAX_TOKENS
from ..limits import MAX_CONCURRENT, MAX_LEASE_S, MAX_LIMITS, MAX_PERIOD_MS
from ..records import LEVELS
from ..spender import MAX_BATCH
from ..windows import WINDOWS
from .limits import PERIODS_MS

type Schema = dict[str, object]


def ref(name: str) -> Schema:
    """Point at a schema of this table, from within an OpenAPI document."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(
    required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None, about: str = ""
) -> Schema:
    """Describe an object without any other fields."""
    schema: Schema = {"type": "object", "properties": {**required, **(optional or {})}}
    if required:
        schema["required"] = list(required)
    schema["additionalProperties"] = False
    return {"description": about, **schema} if about else schema


def _array(items: Schema, **more: object) -> Schema:
    return {"type": "array", "items": items, **more}


def _map(values: Schema, about: str = "", **more: object) -> Schema:
    schema: Schema = {"type": "object", "additionalProperties": values, **more}
    return {"description": about, **schema} if about else schema


def _or_null(schema: Schema, about: str = "") -> Schema:
    either: Schema = {"anyOf": [schema, {"type": "null"}]}
    return {"description": about, **either} if about else either


def _string(about: str = "", **more: object) -> Schema:
    schema: Schema = {"type": "string", **more}
    return {"description": about, **schema} if about else schema


def _integer(low: int | None = None, high: int | None = None, about: str = "") -> Schema:
    schema: Schema = {"type": "integer"}
    if low is not None:
        schema["minimum"] = low
    if high is not None:
        schema["maximum"] = high
    return {"description": about, **schema} if about else schema


def _boolean(about: str) -> Schema:
    return {"description": about, "type": "boolean"}


def _page(items: Schema) -> Schema:
    return _object({"items": _array(items)}, {"cursor": ref("Cursor")}, "A page; without a cursor it is the last.")


_MS: Final = "ms since 1970"
_LEASE_NAME_LENGTH: Final = 22
_TOKENS: Final = _integer(1, MAX_TOKENS)
_BY_LIMIT: Final[Schema] = {"propertyNames": ref("LimitName"), "minProperties": 1, "maxProperties": MAX_LIMITS}

_IDENTIFIERS: Final[Mapping[str, Schema]] = {
    "Identifier": _string(
        "An entity or a resource.", pattern="^[A-Za-z0-9._:@+-]{1,256}$", **{"not": {"enum": list(DOT_SEGMENTS)}}
    ),
    "LimitName": _string("A limit.", pattern="^[a-z0-9_-]{1,32}$"),
    "LeaseId": _string(
        "A durable lease, opaque: characters of A-Z a-z 0-9 . _ -",
        minLength=_LEASE_NAME_LENGTH,
        maxLength=_LEASE_NAME_LENGTH + 1 + MAX_TICKET_LENGTH,
    ),
    "IdempotencyKey": _string(
        "A String of RFC 9651 (quoted), or bare: the same key. Keys of different callers do not meet.",
        pattern=r'^("(?:[ !#-\[\]-~]|\\["\\]){1,255}"|[!#-~]([ -~]{0,253}[!-~])?)$',
    ),
    "Scope": _string(
        'What was changed: "system", "resource:{id}" or "entity:{id}".',
        pattern="^(system|(resource|entity):[A-Za-z0-9._:@+-]{1,256})$",
    ),
    "Cursor": _string("Opaque; from the page before.", minLength=1),
    "PageSize": {**_integer(1, 1_000), "default": 100},
    "Flag": {"type": "boolean", "default": True},
    "Children": _string(
        'What becomes of children: "reparent" gives them to the parent above.',
        enum=["refuse", "reparent"],
        default="refuse",
    ),
    "Window": _string("A window of time, in UTC.", enum=list(WINDOWS)),
    "Metric": _string(enum=list(METRICS), default="tokens"),
    "Time": _string(
        "Such as 2026-11-21T22:00Z or 2026-11-21T23:00%2B01:00; a date, which begins in UTC; or ms since 1970.",
        pattern="^([0-9]{1,15}|[0-9]{4}-[0-9]{2}-[0-9]{2}.*)$",
    ),
}

_LIMITS: Final[Mapping[str, Schema]] = {
    "Limit": {"anyOf": [ref("TokenLimit"), ref("ConcurrentLimit")]},
    "TokenLimit": _object(
        {
            "name": ref("LimitName"),
            "capacity": {**_TOKENS, "description": "The most tokens that are there at once."},
            "amount": {**_TOKENS, "description": "The tokens that come back every period, evenly."},
            "period_ms": _integer(1, MAX_PERIOD_MS),
        }
    ),
    "PeriodicLimit": _object(
        {"name": ref("LimitName"), "amount": _TOKENS, "period": _string(enum=list(PERIODS_MS))},
        {"burst": {**_TOKENS, "description": "The most at once; as much as amount where it is not given."}},
    ),
    "ConcurrentLimit": _object(
        {
            "name": ref("LimitName"),
            "concurrent": _integer(1, MAX_CONCURRENT, "The most leases that there are at a time."),
            "lease_seconds": _integer(1, MAX_LEASE_S, "When a lease loses its place, unless it is renewed."),
        }
    ),
    "GivenLimits": _array({"anyOf": [ref("PeriodicLimit"), ref("Limit")]}, minItems=1, maxItems=MAX_LIMITS),
    "SetLimits": _object({"limits": ref("GivenLimits")}),
    "Limits": _object({"limits": _array(ref("Limit"), maxItems=MAX_LIMITS)}),
    "LimitsByResource": _page(
        _object(
            {
                "resource": _or_null(ref("Identifier"), "null: all resources without limits of their own"),
                "limits": _array(ref("Limit")),
            }
        )
    ),
    "Resolution": _object(
        {
            "entity_id": ref("Identifier"),
            "resource": ref("Identifier"),
            "level": _or_null(_string(enum=list(LEVELS)), "The level that wins; null where none has limits."),
            "limits": _array(ref("Limit")),
            "levels": _map(
                _array(ref("Limit")), "All levels that have limits.", propertyNames={"enum": list(LEVELS)}
            ),
            "reason": _string("Why this level wins."),
            "disabled": _boolean("Nothing may be spent, whatever the limits say."),
        }
    ),
}

_ASKED: Final[Mapping[str, Schema]] = {
    "entity_id": ref("Identifier"),
    "resource": ref("Identifier"),
    "consume": _map(
        _integer(0, MAX_TOKENS),
        "Tokens by limit; of a concurrency limit, how many of its places the lease holds.",
        **_BY_LIMIT,
    ),
}
_ASKED_OF_A_LEASE: Final[Mapping[str, Schema]] = {
    "limits": ref("GivenLimits"),
    "parent_id": {**ref("Identifier"), "description": "A hint for the first read, never trusted."},
    "cascade": {"enum": [True, False, "transaction"], "default": True},
    "durable": _boolean(
        "Store the lease, so that its id can end it; by default, where it holds places of a concurrency limit."
    ),
    "expires_in": {
        **_integer(1, MAX_EXPIRES_S),
        "description": "The seconds after which a durable lease ends by itself; by default it does not.",
    },
    "on_expiry": _string(
        "What becomes then of the tokens: given back, or left spent.", enum=["release", "keep"], default="release"
    ),
}
_LEFT: Final[Mapping[str, Schema]] = {
    "entity_id": ref("Identifier"),
    "resource": ref("Identifier"),
    "limits": ref("LimitStates"),
    "ancestors": ref("Ancestors"),
}
_EXPIRES: Final = _or_null(_integer(0), f"When the lease expires, {_MS}; null where it does not.")
_HELD: Final = _or_null(
    _integer(0), f"When it loses its places under concurrency limits, {_MS}; null where it holds none."
)

_SPENDING: Final[Mapping[str, Schema]] = {
    "Acquire": _object(_ASKED, _ASKED_OF_A_LEASE),
    "AcquireBatch": _object({"requests": _array(ref("AcquireInBatch"), minItems=1, maxItems=MAX_BATCH)}),
    "AcquireInBatch": _object(
        _ASKED,
        {
            **_ASKED_OF_A_LEASE,
            "idempotency_key": _string("In place of the header Idempotency-Key.", pattern="^[ -~]{1,255}$"),
        },
        "One that is wrong is answered with a 400 of its own.",
    ),
    "LimitStates": _map(
        _object(
            {
                "available": _integer(about="Whole tokens, or places; negative in debt."),
                "capacity": _TOKENS,
                "retry_after_ms": _integer(0, about="When the same cost fits; one token where none was asked."),
            }
        ),
        propertyNames=ref("LimitName"),
    ),
    "Ancestors": _array(_object({"entity_id": ref("Identifier"), "limits": ref("LimitStates")})),
    "Grant": _object(
        {"granted": {"const": True}, **_LEFT},
        {
            "lease": ref("Lease"),
            "degraded": {"const": True, "description": "The table did not answer; nothing was spent."},
        },
    ),
    "Lease": _object(
        {
            "id": ref("LeaseId"),
            "expires_at_ms": _EXPIRES,
            "held_until_ms": _HELD,
            "kept_until_ms": _integer(0, about=f"Until when it and its key are remembered at least, {_MS}."),
        },
        about="The lease, where it is durable.",
    ),
    "Verdicts": _object(
        {"results": _array(ref("Verdict"), minItems=1, maxItems=MAX_BATCH)},
        about="Of each request, in order, what POST /acquire would have answered.",
    ),
    "Verdict": _object(
        {
            "status": _integer(200, 599),
            "headers": _map({"type": "string"}, "RateLimit fields, Retry-After and so on."),
            "body": {"anyOf": [ref("Grant"), ref("Refusal"), ref("InvalidRequest"), ref("Problem")]},
        }
    ),
    "Settlement": _object(
        {},
        {
            "actual": _map(
                _integer(0, MAX_TOKENS),
                "What was really used, by limit; of those that are not given, what was acquired.",
                **_BY_LIMIT,
            )
        },
    ),
    "LeaseEnd": _object(
        {
            "lease_id": ref("LeaseId"),
            "outcome": _string("How it ended, now or before.", enum=["settled", "released"]),
            "consumed": _map(_integer(0, MAX_TOKENS), "What it spent in the end.", propertyNames=ref("LimitName")),
            "ended_at_ms": _integer(0, about=_MS),
        }
    ),
    "RenewLease": _object(
        {},
        {
            "expires_in": {
                **_integer(1, MAX_EXPIRES_S),
                "description": "Seconds from now; by default as many as it was acquired for.",
            }
        },
    ),
    "Renewal": _object({"lease_id": ref("LeaseId"), "expires_at_ms": _EXPIRES, "held_until_ms": _HELD}),
    "Adjust": _object(
        {
            "entity_id": ref("Identifier"),
            "resource": ref("Identifier"),
            "adjust": _map(
                _integer(-MAX_TOKENS, MAX_TOKENS),
                "Tokens by limit: more was used, or (negative) less.",
                **_BY_LIMIT,
            ),
        },
        {"cascade": {"type": "boolean", "default": True}},
    ),
    "Standing": _object(_LEFT),
}

_ENTITIES: Final[Mapping[str, Schema]] = {
    "Names": _page(ref("Identifier")),
    "Metadata": _map(_string(maxLength=256), propertyNames={"minLength": 1, "maxLength": 256}, maxProperties=50),
    "Name": _or_null(_string(minLength=1, maxLength=256)),
    "EntityFields": _object(
        {}, {"parent_id": _or_null(ref("Identifier")), "name": ref("Name"), "metadata": ref("Metadata")}
    ),
    "EntityChanges": _object(
        {},
        {
            "parent_id": _or_null(ref("Identifier")),
            "name": ref("Name"),
            "metadata": _or_null(
                _map(_or_null(_string(maxLength=256)), propertyNames={"minLength": 1, "maxLength": 256})
            ),
        },
        "A JSON merge patch (RFC 7396).",
    ),
    "Entity": _object(
        {
            "entity_id": ref("Identifier"),
            "parent_id": _or_null(ref("Identifier")),
            "name": ref("Name"),
            "metadata": ref("Metadata"),
            "created_at_ms": _or_null(_integer(0), f"{_MS}; null where it only has limits, buckets or a state"),
            "disabled_at_ms": _or_null(_integer(0), f"{_MS}; null where it is not disabled as a whole"),
            "disabled_resources": _map(_integer(0), _MS, propertyNames=ref("Identifier")),
            "children": _integer(0, about="How many entities are right below."),
            "buckets": _integer(0, about="How many resources it has buckets for."),
            "is_being_deleted": _boolean("Its deletion began, and is to be repeated."),
            "has_pending_changes": _boolean("Not every bucket was told of a change, which is to be repeated."),
        }
    ),
    "Deletion": _object(
        {"limits": _integer(0), "buckets": _integer(0), "children_moved": _integer(0)},
        about="How much this request deleted; there is more.",
    ),
    "EntitySwitch": _object({}, {"resource": {**ref("Identifier"), "description": "All, if it is not given."}}),
    "Nothing": _object({}),
    "Switch": _object({"disabled": {"type": "boolean"}, "changed": _boolean("false where it was so before.")}),
    "Buckets": _page(
        _object(
            {
                "resource": ref("Identifier"),
                "source": _string(
                    "The level of its limits, inline (given with a call), stale (they changed since) or disabled."
                ),
                "limits": ref("LimitStates"),
            }
        )
    ),
    "Reset": _object(
        {"resource": ref("Identifier")},
        {"limits": _array(ref("LimitName"), minItems=1), "operation_id": ref("OperationId")},
    ),
    "TopUp": _object(
        {
            "resource": ref("Identifier"),
            "tokens": _map(_integer(0, MAX_TOKENS), "Tokens by limit.", **_BY_LIMIT),
        },
        {"operation_id": ref("OperationId")},
    ),
    "OperationId": {**ref("Identifier"), "description": "Makes it safe to repeat for 90 days."},
    "Replenishment": _object({"done": _boolean("false where this operation was done before.")}),
}

_RECORDS: Final[Mapping[str, Schema]] = {
    "Resource": _object(
        {
            "resource": ref("Identifier"),
            "limits": _array(ref("Limit"), maxItems=MAX_LIMITS),
            "disabled_at_ms": _or_null(_integer(0), f"{_MS}; null where it is not disabled"),
        }
    ),
    "Usage": _page(
        _object(
            {
                "entity_id": ref("Identifier"),
                "resource": ref("Identifier"),
                "window": ref("Window"),
                "start": _string("When the window begins.", format="date-time"),
                "end": _string("When the next one begins.", format="date-time"),
                "start_ms": _integer(0, about=_MS),
                "end_ms": _integer(0, about=_MS),
                "grants": _integer(about="Acquires that were granted, net of those that were taken back."),
                "limits": _map(ref("LimitUsage"), "What was spent of each limit.", propertyNames=ref("LimitName")),
                "counted_at_ms": _integer(0, about=f"The latest change that is counted, {_MS}."),
            }
        )
    ),
    "LimitUsage": _object(
        {
            "tokens": _integer(
                about="Spent, net of what was given back; negative where more came back than was spent."
            ),
            "refused": _integer(0, about="Acquires that this limit refused, as far as they were reported."),
            "peak": _integer(0, about="The most tokens, or places, that were in use after a change."),
        }
    ),
    "AuditRecords": _page(
        _object(
            {
                "scope": ref("Scope"),
                "id": _string("Names the change among those of the same ms."),
                "at_ms": _integer(0, about=_MS),
                "actor": _string("The ARN of who signed the request."),
                "action": _string(),
                "resource": _or_null(ref("Identifier")),
                "before": {"description": "What was there; null for nothing."},
                "after": {"description": "What is there now; null for nothing."},
            }
        )
    ),
}

_PROBLEM: Final[Mapping[str, Schema]] = {
    "type": _string(format="uri-reference"),
    "title": _string(),
    "status": _integer(400, 599),
    "detail": _string(),
}

_PROBLEMS: Final[Mapping[str, Schema]] = {
    "Problem": _object(
        _PROBLEM,
        {
            "retry_after_ms": _integer(0),
            "granted": {"const": False},
            "degraded": {"const": True, "description": "Refused without the table, which does not answer."},
        },
        "RFC 9457.",
    ),
    "InvalidRequest": _object(
        {**_PROBLEM, "field": _string("The path of what is wrong; body, where it is the body as such.")}
    ),
    "Refusal": _object(
        {
            **_PROBLEM,
            "violated-policies": _array(_string(), minItems=1),
            "granted": {"const": False},
            "retry_after_ms": _integer(0),
            "entity_id": ref("Identifier"),
            "resource": ref("Identifier"),
            "limits": ref("LimitStates"),
            "ancestors": ref("Ancestors"),
        }
    ),
    "Forbidden": _object({"message": _string()}, about="The gateway's own: not signed, or not allowed."),
}

SCHEMAS: Final[Mapping[str, Schema]] = {
    **_IDENTIFIERS,
    **_LIMITS,
    **_SPENDING,
    **_ENTITIES,
    **_RECORDS,
    **_PROBLEMS,
}
