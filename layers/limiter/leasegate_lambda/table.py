"""The stack's table, as the environment that template.yaml sets leads to it."""

from __future__ import annotations

import os
import random
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Final

from aws_lambda_powertools.metrics import MetricUnit

from leasegate import Knowledge
from leasegate.knowledge import DEFAULT_MAX_AGE_MS, DEFAULT_REFUSAL_AGE_MS
from leasegate.recording import carry_segment, record_calls
from leasegate.repository.direct import DirectCalls
from leasegate.repository.dynamodb import DynamoRepository, carry_context

from .client import dynamodb_client

if TYPE_CHECKING:
    from aws_lambda_powertools import Metrics, Tracer
    from mypy_boto3_dynamodb import DynamoDBClient

round_trips: Final[ContextVar[int]] = ContextVar("round_trips", default=0)
"""How often the invocation at hand has waited for the table."""
detours: Final[ContextVar[int]] = ContextVar("detours", default=0)
"""How many of its calls could not go directly, and took the SDK's own path."""


def connect(tracer: Tracer) -> DynamoDBClient:
    """Build the DynamoDB client: slow, and without a clock, randomness or a connection for a snapshot to keep."""
    client = dynamodb_client(os.environ.get("DYNAMODB_ENDPOINT") or None)
    if not tracer.disabled:
        record_calls(client, tracer.provider)
    return client


def open_table(client: DynamoDBClient, tracer: Tracer) -> DynamoRepository:
    """Open the table, with the first request: instances of one snapshot must not all draw the same numbers."""
    return DynamoRepository(
        client,
        os.environ["TABLE_NAME"],
        observer=partial(_count_round_trip, client),
        carry=carry_context if tracer.disabled else carry_segment(tracer.provider),
        draw=random.SystemRandom().random,
    )


def new_knowledge() -> Knowledge:
    """Return an empty memory that forgets as soon as the stack's parameters say."""
    return Knowledge(
        max_age_ms=int(os.environ.get("DEFAULTS_MAX_AGE_MS") or DEFAULT_MAX_AGE_MS),
        refusal_age_ms=int(os.environ.get("REFUSAL_MAX_AGE_MS") or DEFAULT_REFUSAL_AGE_MS),
    )


def count_anew() -> None:
    """Begin to count the round trips of an invocation."""
    round_trips.set(0)
    detours.set(0)


def add_metrics(metrics: Metrics, prefix: str = "") -> None:
    """Say how often an invocation waited for the table, and if calls of it could not go directly, how many."""
    metrics.add_metric(f"{prefix}RoundTrips", MetricUnit.Count, round_trips.get())
    if detours.get():
        metrics.add_metric("Detours", MetricUnit.Count, detours.get())


def _count_round_trip(client: DynamoDBClient, *_round_trip: object) -> None:
    # An observer is called on the thread that waited, so the count is that of its own invocation.
    round_trips.set(round_trips.get() + 1)
    if isinstance(client, DirectCalls):
        detours.set(detours.get() + client.direct.take_detours())
