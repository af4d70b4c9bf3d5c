"""Answers the events of the REST API: finds the route, asks the function, counts what became of it.

Most paths are one resource of the gateway, ``/{proxy+}``, so that every request gets an answer of ours: which
methods a path takes, that there is no such path. The path is taken from that parameter and not from the event's
``path``, which has the base path of a custom domain in front.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.metrics import MetricUnit

from leasegate.administration.session import ANSWER_MARGIN_MS
from leasegate.http.replies import Reply, reply_to_error
from leasegate.http.requests import Request
from leasegate.http.routes import RouteTable

from .table import round_trips

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger, Metrics
    from aws_lambda_powertools.utilities.typing import LambdaContext

type Answer = Callable[[Request], Reply]
"""What a function does with a request: reply, or raise what :func:`reply_to_error` explains."""


class Service:
    """Serves some routes by one function; metrics stand under names that begin with ``prefix``."""

    def __init__(
        self, answer: Answer, routes: RouteTable, *, logger: Logger, metrics: Metrics, prefix: str = ""
    ) -> None:
        """Serve these routes and no others."""
        self._answer = answer
        self._routes = routes
        self._logger = logger
        self._metrics = metrics
        self._prefix = prefix

    def __call__(self, event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Answer one event; only the log learns what the caller should not."""
        round_trips.set(0)
        try:
            reply = self._answer(self._read(event, context))
        except Exception as error:
            reply = reply_to_error(error)
            if reply.status >= 500 and "Refused" not in reply.counted:
                self._logger.exception("no answer")
        return self._write(reply)

    def _read(self, event: Mapping[str, Any], context: LambdaContext) -> Request:
        route, parameters = self._routes.find(event["httpMethod"], _path_of(event))
        return Request(
            route=route,
            path=parameters,
            query=_query_of(event),
            body=event.get("body"),
            is_base64=bool(event.get("isBase64Encoded")),
            actor=_actor_of(event),
            left_ms=lambda: context.get_remaining_time_in_millis() - ANSWER_MARGIN_MS,
        )

    def _write(self, reply: Reply) -> dict[str, Any]:
        reply = reply.with_round_trips(round_trips.get())
        self._metrics.add_metric(f"{self._prefix}RoundTrips", MetricUnit.Count, round_trips.get())
        for name in reply.counted:
            self._metrics.add_metric(self._prefix + name, MetricUnit.Count, 1)
        return {
            "statusCode": reply.status,
            "headers": {**({"Content-Type": reply.content_type} if reply.body else {}), **reply.headers},
            "body": reply.body,
            "isBase64Encoded": False,
        }


def _path_of(event: Mapping[str, Any]) -> str:
    path: str = event["resource"]
    return path.replace("{proxy+}", (event.get("pathParameters") or {}).get("proxy", ""))


def _query_of(event: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
    # The gateway sends both; an event written by hand may have the simpler one alone.
    single = event.get("queryStringParameters") or {}
    return event.get("multiValueQueryStringParameters") or {name: [value] for name, value in single.items()}


def _actor_of(event: Mapping[str, Any]) -> str:
    """Return who signed a request: with AWS_IAM the ARN of a user or of a role's session."""
    identity = event.get("requestContext", {}).get("identity") or {}
    return next((identity[key] for key in ("userArn", "caller", "user") if identity.get(key)), "anonymous")
