"""Replies: what was done or asked for as JSON, everything else as problem+json (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final

from ..errors import (
    Conflict,
    Disabled,
    IdempotencyConflict,
    InvalidRequest,
    NotFound,
    RateLimitExceeded,
    StoreError,
    StoreThrottled,
    StoreUnavailable,
)
from .bodies import UnsupportedMediaType
from .limits import write_availability
from .ratelimit import HeaderStyle, list_policies, name_policy, seconds, write_fields
from .routing import RouteNotFound

ROUND_TRIPS: Final = "Leasegate-Round-Trips"
DEGRADED: Final = "Leasegate-Degraded"
"""Stands on an answer that was given without the table."""

_PROBLEM_TYPES: Final = "https://iana.org/assignments/http-problem-types"
_QUOTA_EXCEEDED: Final = f"{_PROBLEM_TYPES}#quota-exceeded"
_REDUCED_CAPACITY: Final = f"{_PROBLEM_TYPES}#temporary-reduced-capacity"

_STATUSES: Final[Mapping[type, HTTPStatus]] = {
    RateLimitExceeded: HTTPStatus.TOO_MANY_REQUESTS,
    Disabled: HTTPStatus.FORBIDDEN,
    InvalidRequest: HTTPStatus.BAD_REQUEST,
    UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    Conflict: HTTPStatus.CONFLICT,
    IdempotencyConflict: HTTPStatus.UNPROCESSABLE_CONTENT,
    NotFound: HTTPStatus.NOT_FOUND,
    StoreThrottled: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    Exception: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""The status of an error is that of the nearest class above it."""

_UNAVAILABLE_RETRY_S: Final = 1
_MAX_DETAIL_LENGTH: Final = 500
"""A reason may repeat what the caller sent, perhaps thousands of digits of it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response; ``headers`` without Content-Type, ``counted`` is what metrics count it as."""

    status: int
    content_type: str
    headers: Mapping[str, str]
    body: str
    counted: tuple[str, ...] = ()

    def with_round_trips(self, count: int) -> Reply:
        """Return the same reply that tells how many times the table was waited for."""
        return replace(self, headers={**self.headers, ROUND_TRIPS: str(count)})


def reply_with(
    document: Mapping[str, object],
    status: int = HTTPStatus.OK,
    *,
    headers: Mapping[str, str] | None = None,
    counted: tuple[str, ...] = ("Answered",),
) -> Reply:
    """Say that it was done, or what was asked for."""
    return _reply(HTTPStatus(status), "application/json", headers or {}, document, counted)


def reply_without_content() -> Reply:
    """Say that it was done, and that is all there is to say."""
    return Reply(HTTPStatus.NO_CONTENT.value, "", {"Cache-Control": "no-store"}, "", ("Answered",))


def reply_to_error(error: Exception, style: HeaderStyle = "standard") -> Reply:
    """Say no, or what is wrong. The text of an error appears only where it is about the caller's own request."""
    match error:
        case RateLimitExceeded() if error.refusals:
            return _reply_to_refusal(error, style)
        case RateLimitExceeded():
            return _problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                {
                    "type": _REDUCED_CAPACITY,
                    "title": "Request refused while capacity is reduced",
                    "detail": "The table does not answer, and requests are refused until it does.",
                    "granted": False,
                    "degraded": True,
                    "retry_after_ms": error.retry_after_ms,
                },
                {"Retry-After": _retry_after(error.retry_after_ms), DEGRADED: "true"},
                ("Refused", "Degraded"),
            )
        case RouteNotFound():
            return reply_without_route(error.allowed)
        case Disabled():
            return _problem(_status_of(error), {"detail": str(error)}, counted=("Disabled",))
        case InvalidRequest():
            status = HTTPStatus.UNPROCESSABLE_CONTENT if error.unprocessable else _status_of(error)
            return _problem(status, {"field": error.field, "detail": error.reason[:_MAX_DETAIL_LENGTH]})
        case IdempotencyConflict():
            # The key itself is the caller's secret, and answers are logged on their way.
            detail = {"detail": "Something else was done under this key, or operation_id, before."}
            return _problem(_status_of(error), detail)
        case NotFound() | Conflict():
            return _problem(_status_of(error), {"detail": str(error)})
        case StoreThrottled():
            return _reply_without_table("The table is busy.", error)
        case StoreUnavailable():
            return _reply_without_table("The table did not answer in time.", error)
    return _problem(_status_of(error), {"detail": "The request could not be answered. The cause was logged."})


def reply_without_route(allowed: tuple[str, ...] = ()) -> Reply:
    """Say that there is nothing at this path, or that it takes other methods."""
    if not allowed:
        return _problem(HTTPStatus.NOT_FOUND, {"detail": "There is no such path."})
    methods = ", ".join(allowed)
    return _problem(HTTPStatus.METHOD_NOT_ALLOWED, {"detail": f"This path takes {methods}."}, {"Allow": methods})


def _reply_to_refusal(error: RateLimitExceeded, style: HeaderStyle) -> Reply:
    refused = frozenset([(refusal.entity_id, refusal.state.name) for refusal in error.refusals])
    acquiring_id = error.availability.entity_id
    return _problem(
        _status_of(error),
        {
            "type": _QUOTA_EXCEEDED,
            "title": "Request cannot be satisfied as assigned quota has been exceeded",
            "detail": str(error),
            "violated-policies": [
                name_policy(acquiring_id, refusal.entity_id, refusal.state.name) for refusal in error.refusals
            ],
            "granted": False,
            "retry_after_ms": error.retry_after_ms,
            **write_availability(error.availability),
        },
        {
            **write_fields(list_policies(error.availability, refused), style),
            "Retry-After": _retry_after(error.retry_after_ms),
        },
        ("Refused", "CachedRefusals") if error.cached else ("Refused",),
    )


def _reply_without_table(reason: str, error: StoreError) -> Reply:
    doubt = " It may have been done all the same." if error.maybe_applied else ""
    headers = {"Retry-After": str(_UNAVAILABLE_RETRY_S)}
    return _problem(_status_of(error), {"detail": reason + doubt}, headers, ("Failed", "Unavailable"))


def _status_of(error: Exception) -> HTTPStatus:
    return next(_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES)


def _retry_after(retry_after_ms: int) -> str:
    return str(max(1, seconds(retry_after_ms)))


def _problem(
    status: HTTPStatus,
    members: Mapping[str, object],
    headers: Mapping[str, str] | None = None,
    counted: tuple[str, ...] = (),
) -> Reply:
    """Write a problem; without a type of its own its title is the status's phrase, as RFC 9457 asks."""
    body = {"type": "about:blank", "title": status.phrase, "status": status.value, **members}
    default = ("Failed",) if status.is_server_error else ("Invalid",)
    return _reply(status, "application/problem+json", headers or {}, body, counted or default)


def _reply(
    status: HTTPStatus,
    content_type: str,
    headers: Mapping[str, str],
    body: Mapping[str, object],
    counted: tuple[str, ...],
) -> Reply:
    text = json.dumps(body, separators=(",", ":"))
    return Reply(status.value, content_type, {**headers, "Cache-Control": "no-store"}, text, counted)
