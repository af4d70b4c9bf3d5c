r"""Invoked by an operator: list the resources whose defaults are older than the registry.

::

    aws lambda invoke --function-name $NAME --cli-binary-format raw-in-base64-out \
        --payload '{"dry_run": true}' answer.json

The event is an object of options, each of which may be left out: ``dry_run`` (false) only counts, ``prune``
(false) also takes out names whose defaults are gone, ``segments`` (4; 1 to 32) are scanned side by side. The
answer has ``status``, ``scanned``, ``found``, ``added``, ``removed`` and ``checkpoint``, the counts being those of
the whole run. While the status is "in_progress", invoke again with the same event, to go on.

What cannot be done is raised, so that a script sees a ``FunctionError`` in place of an answer. ``errorType`` is
``InvalidRequest``, its ``errorMessage`` begins with the field that is wrong; ``Conflict``, where somebody began a
backfill with other options meanwhile; ``StoreThrottled`` or ``StoreUnavailable``: invoke again, and it goes on.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit

from leasegate import Administrator, InvalidRequest
from leasegate_lambda.annotations import Annotations
from leasegate_lambda.logs import open_log
from leasegate_lambda.table import add_metrics, connect, count_anew, open_table, round_trips
from leasegate_lambda.tracing import open_tracer

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_dynamodb import DynamoDBClient

OPTIONS: Final = ("dry_run", "prune", "segments")
STEP_TIMEOUT_MS: Final = 10_000
"""For the round trips of one step, repetitions included: an operator would rather wait than repeat."""

logger = open_log()
tracer = open_tracer()
metrics = Metrics()
notes = Annotations(tracer)


@cache
def client() -> DynamoDBClient:
    """Build the DynamoDB client, as early as can be."""
    return connect(tracer)


@cache
def administrator() -> Administrator:
    """Build what knows the table, with the first invocation."""
    return Administrator(open_table(client(), tracer), timeout_ms=STEP_TIMEOUT_MS)


def read_options(event: object) -> dict[str, Any]:
    """Return the options that an event has; their values are for the backfill to judge."""
    if not isinstance(event, dict):
        raise InvalidRequest("event", "must be an object of options")
    for name in event:
        if name not in OPTIONS:
            raise InvalidRequest(name, f"is none of the options {', '.join(OPTIONS)}")
    return event


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def handler(event: object, context: LambdaContext) -> dict[str, Any]:
    """Run the backfill for as long as there is time."""
    count_anew()
    try:
        options = read_options(event)
        report = administrator().backfill_registry(**options, time_left_ms=context.get_remaining_time_in_millis)
    except Exception as error:
        verdict = "BackfillInvalid" if isinstance(error, InvalidRequest) else "BackfillFailed"
        metrics.add_metric(verdict, MetricUnit.Count, 1)
        raise
    finally:
        add_metrics(metrics, "Backfill")
        notes.note(round_trips=round_trips.get())
    notes.note(outcome=report.status, scanned=report.scanned)
    answer = asdict(report)
    logger.info("backfill", **answer)
    return answer


if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
    client()  # Lambda's init phase has the whole processor, and a snapshot keeps what is built in it.
