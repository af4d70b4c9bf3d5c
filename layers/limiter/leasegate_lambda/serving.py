"""Answers the events of the REST API: finds the route, asks the function, counts what became of it.

Most paths are one resource of the gateway, ``/{proxy+}``, so that every request gets an answer of ours: which
methods a path takes, that there is no such path. What is asked of leases is ``/leases/{proxy+}``. The path is put
together with that parameter, for the event's ``path`` has the base path of a custom domain in front; but that one
stands as it was sent, and what the gateway made another path of is none of ours.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools.metrics import MetricUnit

from leasegate import InvalidRequest
from leasegate.http.ratelimit import HEADER_STYLES, HeaderStyle
from leasegate.http.replies import Reply, reply_to_error
from leasegate.http.requests import Request
from leasegate.http.routing import RouteNotFound, RouteTable
from leasegate.session import ANSWER_MARGIN_MS

from .annotations import Annotations, verdict_of
from .table import add_metrics, count_anew, round_trips

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger, Metrics
    from aws_lambda_powertools.utilities.typing import LambdaContext

type Answer = Callable[[Request], Reply]
"""What a function does with a request: reply, or raise what :func:`reply_to_error` explains."""

_SESSION_OF_ROLE: Final = re.compile(r"(arn:[^:]*:sts:[^:]*:[^:]*:assumed-role/[^/]+)/.+")

_WITHOUT_ID: Final = re.compile(r"//|/$")


def header_style() -> HeaderStyle:
    """Return which RateLimit fields the stack's parameter asks for; raise ``ValueError`` for what is none."""
    style = os.environ.get("RATE_LIMIT_HEADERS") or "standard"
    if style not in HEADER_STYLES:
        raise ValueError(f"RATE_LIMIT_HEADERS must be one of {', '.join(HEADER_STYLES)}, not {style}")
    return style


class Service:
    """Serves some routes by one function; metrics stand under names that begin with ``prefix``."""

    def __init__(
        self,
        answer: Answer,
        routes: RouteTable,
        *,
        style: HeaderStyle,
        logger: Logger,
        metrics: Metrics,
        notes: Annotations,
        prefix: str = "",
    ) -> None:
        """Serve these routes and no others."""
        self._answer = answer
        self._routes = routes
        self._style: HeaderStyle = style
        self._logger = logger
        self._metrics = metrics
        self._notes = notes
        self._prefix = prefix

    def __call__(self, event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Answer one event."""
        count_anew()
        try:
            request = self._read(event, context)
            self._notes.note(operation=request.route.operation)
            self._notes.note_subject(request.path.get("entity_id"), _resource_of(request))
            reply = self._answer(request)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer and the log the cause
            reply = self.explain(error)
        return self._write(reply)

    def explain(self, error: Exception) -> Reply:
        """Return what the caller is told of an error; only the log learns what the caller should not."""
        reply = reply_to_error(error, self._style)
        if reply.status >= 500 and "Refused" not in reply.counted:
            self._logger.error("no answer", exc_info=error)
        return reply

    def _read(self, event: Mapping[str, Any], context: LambdaContext) -> Request:
        route, parameters = self._routes.find(event["httpMethod"], _path_of(event))
        actor = _actor_of(event)
        return Request(
            route=route,
            path=parameters,
            query=_values(event, "multiValueQueryStringParameters", "queryStringParameters"),
            headers=_headers_of(event),
            body=event.get("body"),
            is_base64=bool(event.get("isBase64Encoded")),
            actor=actor,
            caller=_caller_of(actor),
            left_ms=lambda: context.get_remaining_time_in_millis() - ANSWER_MARGIN_MS,
        )

    def _write(self, reply: Reply) -> dict[str, Any]:
        reply = reply.with_round_trips(round_trips.get())
        self._notes.note(verdict=verdict_of(reply.counted), status=reply.status, round_trips=round_trips.get())
        add_metrics(self._metrics, self._prefix)
        for name, count in Counter(reply.counted).items():
            self._metrics.add_metric(self._prefix + name, MetricUnit.Count, count)
        return {
            "statusCode": reply.status,
            "headers": {**({"Content-Type": reply.content_type} if reply.body else {}), **reply.headers},
            "body": reply.body,
            "isBase64Encoded": False,
        }


def _resource_of(request: Request) -> str | None:
    return request.path.get("resource") or request.parameter("resource")


def _path_of(event: Mapping[str, Any]) -> str:
    # IAM allowed what was sent: /entities/a%2Flimits is no way to /entities/a/limits. Nor is /entities//limits,
    # with its id left out, one to the entity "limits".
    sent: str = event.get("path") or ""
    if "%2f" in sent.lower():
        raise InvalidRequest("path", "must not have an encoded slash; no id has one")
    if _WITHOUT_ID.search(sent):
        raise RouteNotFound(())
    path: str = event["resource"]
    return path.replace("{proxy+}", (event.get("pathParameters") or {}).get("proxy", ""))


def _headers_of(event: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
    headers: dict[str, list[str]] = {}
    for name, values in _values(event, "multiValueHeaders", "headers").items():
        headers.setdefault(name.lower(), []).extend(values)
    return headers


def _values(event: Mapping[str, Any], several: str, single: str) -> Mapping[str, Sequence[str]]:
    # The gateway sends both; an event written by hand may have the simpler one alone.
    return event.get(several) or {name: [value] for name, value in (event.get(single) or {}).items()}


def _actor_of(event: Mapping[str, Any]) -> str:
    """Return who signed a request: with AWS_IAM the ARN of a user or of a role's session."""
    identity = event.get("requestContext", {}).get("identity") or {}
    return next((identity[key] for key in ("userArn", "caller", "user") if identity.get(key)), "anonymous")


def _caller_of(actor: str) -> str:
    """Return whose leases and keys a signer's are: all sessions of a role are one caller."""
    session = _SESSION_OF_ROLE.fullmatch(actor)
    return session[1] if session else actor
