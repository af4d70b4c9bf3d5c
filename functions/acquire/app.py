"""Spending over HTTP: may tokens be spent now? If so they are; then leases end or go on, and are corrected."""

from __future__ import annotations

import gc

gc.disable()  # until all is built: nothing is garbage before, and to look for it would be a tenth of a cold start

import os
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.logging.correlation_paths import API_GATEWAY_REST
from aws_lambda_powertools.metrics import MetricUnit

from leasegate import AcquireRequest, DurableLease, Knowledge, Lease, LeasegateError, Spender
from leasegate.http.replies import Reply
from leasegate.http.requests import Request, read_nothing
from leasegate.http.routes import SPENDING
from leasegate.http.routing import RouteTable
from leasegate.http.spending import read_acquire, read_actual, read_adjustment, read_batch, read_renewal
from leasegate.http.verdicts import (
    reply_to_adjustment,
    reply_to_batch,
    reply_to_end,
    reply_to_grant,
    reply_to_renewal,
)
from leasegate.session import DEFAULT_TIMEOUT_MS
from leasegate_lambda.annotations import Annotations
from leasegate_lambda.logs import open_log
from leasegate_lambda.serving import Service, header_style
from leasegate_lambda.table import connect, new_knowledge, open_table
from leasegate_lambda.tracing import open_tracer

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_dynamodb import DynamoDBClient

    from leasegate.spender import OnUnavailable

logger = open_log()
tracer = open_tracer()
metrics = Metrics()
notes = Annotations(tracer)
style = header_style()


@cache
def client() -> DynamoDBClient:
    """Build the DynamoDB client, as early as can be."""
    return connect(tracer)


@cache
def knowledge() -> Knowledge:
    """Build the memory of this instance."""
    return new_knowledge()


@cache
def spender() -> Spender:
    """Build what spends, with the first request: instances of one snapshot must not all draw the same slots."""
    on_unavailable = cast("OnUnavailable", os.environ.get("ON_UNAVAILABLE") or "raise")
    return Spender(open_table(client(), tracer), knowledge=knowledge(), on_unavailable=on_unavailable)


def acquire(request: Request) -> Reply:
    """Spend, or raise what refuses."""
    asked = read_acquire(request)
    notes.note_subject(asked.entity_id, asked.resource)
    lease = spender().acquire(
        asked.entity_id,
        asked.resource,
        asked.consume,
        limits=asked.limits,
        parent_id=asked.parent_id,
        cascade=asked.cascade,
        idempotency_key=asked.idempotency_key,
        durable=asked.durable,
        expires_in=asked.expires_in,
        on_expiry=asked.on_expiry,
        timeout_ms=timeout_ms(request),
        actor=request.caller,
    )
    return reply_to_grant(lease, style)


def acquire_batch(request: Request) -> Reply:
    """Answer each request of a batch by itself; those that can be read go to the table together."""
    asked = read_batch(request)
    readable = [item for item in asked if isinstance(item, AcquireRequest)]
    notes.note(requests=len(asked))
    verdicts = iter(acquire_many(readable, request) if readable else ())
    answers = [next(verdicts) if isinstance(item, AcquireRequest) else item for item in asked]
    return reply_to_batch(
        [reply_to_grant(item, style) if isinstance(item, Lease) else serve.explain(item) for item in answers]
    )


def acquire_many(asked: list[AcquireRequest], request: Request) -> list[Lease | LeasegateError]:
    return spender().acquire_many(asked, timeout_ms=timeout_ms(request), actor=request.caller)


def settle_lease(request: Request) -> Reply:
    return reply_to_end(request.lease_id, lease_of(request).settle(read_actual(request)))


def release_lease(request: Request) -> Reply:
    read_nothing(request)
    return reply_to_end(request.lease_id, lease_of(request).release())


def renew_lease(request: Request) -> Reply:
    return reply_to_renewal(request.lease_id, lease_of(request).renew(read_renewal(request)))


def lease_of(request: Request) -> DurableLease:
    return spender().lease(request.lease_id, actor=request.caller, timeout_ms=timeout_ms(request))


def adjust(request: Request) -> Reply:
    asked = read_adjustment(request)
    notes.note_subject(asked["entity_id"], asked["resource"])
    adjusted = spender().adjust(
        **asked,
        idempotency_key=request.idempotency_key,
        timeout_ms=timeout_ms(request),
        actor=request.caller,
    )
    return reply_to_adjustment(adjusted, style)


def timeout_ms(request: Request) -> int:
    return request.timeout_ms(DEFAULT_TIMEOUT_MS)


OPERATIONS: Final[Mapping[str, Callable[[Request], Reply]]] = {
    "acquire": acquire,
    "acquire_batch": acquire_batch,
    "settle_lease": settle_lease,
    "release_lease": release_lease,
    "renew_lease": renew_lease,
    "adjust": adjust,
}
"""All operations, by the names that the routes give them."""


def answer(request: Request) -> Reply:
    """Do what the route says."""
    return OPERATIONS[request.route.operation](request)


serve = Service(answer, RouteTable(SPENDING), style=style, logger=logger, metrics=metrics, notes=notes)


@logger.inject_lambda_context(correlation_id_path=API_GATEWAY_REST)
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of the REST API."""
    answer = serve(event, context)
    missed = knowledge().take_missed_guesses()
    notes.note(guess_missed=missed > 0)
    if missed:
        metrics.add_metric("GuessesMissed", MetricUnit.Count, missed)
    return answer


if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
    client()  # Lambda's init phase has the whole processor, and a snapshot keeps what is built in it.
    gc.freeze()  # All of it stays: no request is to wait while it is looked through for garbage.
gc.enable()
