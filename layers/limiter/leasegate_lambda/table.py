"""The stack's table, as the environment that template.yaml sets leads to it."""

from __future__ import annotations

import os
import random
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from leasegate import Knowledge
from leasegate.knowledge import DEFAULT_MAX_AGE_MS, DEFAULT_REFUSAL_AGE_MS
from leasegate.recording import carry_segment, record_calls
from leasegate.repository.dynamodb import DynamoRepository, carry_context

from .client import dynamodb_client

if TYPE_CHECKING:
    from aws_lambda_powertools import Tracer
    from mypy_boto3_dynamodb import DynamoDBClient

round_trips: Final[ContextVar[int]] = ContextVar("round_trips", default=0)
"""How often the invocation at hand has waited for the table."""


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
        observer=_count_round_trip,
        carry=carry_context if tracer.disabled else carry_segment(tracer.provider),
        draw=random.SystemRandom().random,
    )


def new_knowledge() -> Knowledge:
    """Return an empty memory that forgets as soon as the stack's parameters say."""
    return Knowledge(
        max_age_ms=int(os.environ.get("DEFAULTS_MAX_AGE_MS") or DEFAULT_MAX_AGE_MS),
        refusal_age_ms=int(os.environ.get("REFUSAL_MAX_AGE_MS") or DEFAULT_REFUSAL_AGE_MS),
    )


def _count_round_trip(*_round_trip: object) -> None:
    # An observer is called on the thread that waited, so the count is that of its own invocation.
    round_trips.set(round_trips.get() + 1)
