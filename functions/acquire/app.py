"""POST /acquire: say whether an entity may spend tokens now, and spend them."""

from __future__ import annotations

import os
import random
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

import boto3
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.logging.correlation_paths import API_GATEWAY_REST
from aws_lambda_powertools.metrics import MetricUnit

from leasegate import Knowledge, Limiter, RateLimitExceeded
from leasegate.http.replies import Reply, reply_to_error, reply_to_grant, reply_without_route
from leasegate.http.requests import parse_acquire
from leasegate.knowledge import DEFAULT_MAX_AGE_MS, DEFAULT_REFUSAL_AGE_MS
from leasegate.limiter import DEFAULT_TIMEOUT_MS
from leasegate.recording import carry_segment, record_refusals_as_answers
from leasegate.repository.dynamodb import DynamoRepository, client_config

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_dynamodb import DynamoDBClient

    from leasegate.limiter import OnUnavailable

ANSWER_MARGIN_MS: Final = 2_500
"""Kept for the answer: an attempt that began in time may outlast it by the client's timeouts, 2 s."""

logger = Logger()
tracer = Tracer(patch_modules=["botocore"])
metrics = Metrics()
app = APIGatewayRestResolver()
round_trips: ContextVar[int] = ContextVar("round_trips", default=0)


@cache
def client() -> DynamoDBClient:
    """Build the DynamoDB client: slow, and without a clock, randomness or a connection for a snapshot to keep."""
    built = boto3.client(
        "dynamodb", endpoint_url=os.environ.get("DYNAMODB_ENDPOINT") or None, config=client_config()
    )
    record_refusals_as_answers(built, tracer.provider)
    return built


@cache
def limiter() -> Limiter:
    """Build the limiter, with the first request: instances of one snapshot must not all draw the same slots."""
    repository = DynamoRepository(
        client(),
        os.environ["TABLE_NAME"],
        observer=count_round_trip,
        carry=carry_segment(tracer.provider),
        draw=random.SystemRandom().random,
    )
    knowledge = Knowledge(
        max_age_ms=int(os.environ.get("DEFAULTS_MAX_AGE_MS") or DEFAULT_MAX_AGE_MS),
        refusal_age_ms=int(os.environ.get("REFUSAL_MAX_AGE_MS") or DEFAULT_REFUSAL_AGE_MS),
    )
    on_unavailable = cast("OnUnavailable", os.environ.get("ON_UNAVAILABLE") or "raise")
    return Limiter(repository, knowledge=knowledge, on_unavailable=on_unavailable)


def count_round_trip(*_round_trip: object) -> None:
    """Count for the request of the thread that waited, which is the one an observer is called on."""
    round_trips.set(round_trips.get() + 1)


@app.post("/acquire")
def acquire() -> Response[str]:
    """Spend, or raise what :func:`explain` answers."""
    event = app.current_event
    asked = parse_acquire(event.body, is_base64=bool(event.is_base64_encoded))
    left_ms = app.lambda_context.get_remaining_time_in_millis() - ANSWER_MARGIN_MS
    lease = limiter().acquire(
        asked.entity_id,
        asked.resource,
        asked.consume,
        limits=asked.limits,
        parent_id=asked.parent_id,
        cascade=asked.cascade,
        timeout_ms=max(0, min(left_ms, DEFAULT_TIMEOUT_MS)),
    )
    reply = reply_to_grant(lease.availability, degraded=lease.degraded)
    return respond(reply, "Granted", Degraded=lease.degraded)


@app.exception_handler(Exception)  # type: ignore[untyped-decorator]  # Powertools gives it no types
def explain(error: Exception) -> Response[str]:
    """Answer what :func:`acquire` raised; only the log learns what the caller should not."""
    reply = reply_to_error(error)
    if isinstance(error, RateLimitExceeded):
        return respond(reply, "Refused", CachedRefusals=error.cached, Degraded=not error.refusals)
    if reply.status < 500:
        return respond(reply, "Invalid")
    logger.exception("acquire failed")
    return respond(reply, "Failed")


@app.not_found
def refuse_route(_error: Exception) -> Response[str]:
    """Answer requests that are no ``POST /acquire``."""
    return respond(reply_without_route("POST" if app.current_event.path == "/acquire" else None), "Invalid")


def respond(reply: Reply, verdict: str, **also: bool) -> Response[str]:
    """Count the reply under its verdict and what else is true of it, and say what it cost."""
    reply = reply.with_round_trips(round_trips.get())
    metrics.add_metric("RoundTrips", MetricUnit.Count, round_trips.get())
    for name in (verdict, *[name for name, is_true in also.items() if is_true]):
        metrics.add_metric(name, MetricUnit.Count, 1)
    return Response(reply.status, reply.content_type, reply.body, dict(reply.headers))


@logger.inject_lambda_context(correlation_id_path=API_GATEWAY_REST)
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of the REST API."""
    round_trips.set(0)
    return app.resolve(event, context)


if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
    client()  # Lambda's init phase has the whole processor, and a snapshot keeps what is built in it.
