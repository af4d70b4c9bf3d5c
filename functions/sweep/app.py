"""Invoked by a schedule every minute: end the leases whose time is over.

One invocation sweeps, and sweeps again whenever a lease that it saw expires, until the next invocation takes over.
So a lease ends at its time if a sweep saw it before, and with the next minute's sweep if not. Where nothing
expires soon, the invocation ends at once.

The event does not matter: ``{}`` by hand does the same. The answer has ``released`` and ``kept``, the leases that
ended in this invocation; ``failed``, those that its last sweep could not end; ``is_complete`` and ``next_at_ms``
as :class:`~leasegate.records.SweepReport` has them. Two invocations at once end nothing twice. Where leases cannot
be listed or read the invocation fails, and nobody repeats it: the next minute comes anyway.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit

from leasegate.records import SweepReport
from leasegate.session import ANSWER_MARGIN_MS, wall_clock_ms
from leasegate.sweeper import STEP_MS, Sweeper
from leasegate_lambda.annotations import Annotations
from leasegate_lambda.logs import open_log
from leasegate_lambda.table import add_metrics, connect, count_anew, new_knowledge, open_table, round_trips
from leasegate_lambda.tracing import open_tracer

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_dynamodb import DynamoDBClient

PAUSE_MS: Final = 1_000
"""The least time between two sweeps, however many leases expire meanwhile."""
RETRY_MS: Final = 5_000
"""How long after a sweep those leases are met again that it could not end."""

logger = open_log()
tracer = open_tracer()
metrics = Metrics()
notes = Annotations(tracer)


@cache
def client() -> DynamoDBClient:
    """Build the DynamoDB client, as early as can be."""
    return connect(tracer)


@cache
def sweeper() -> Sweeper:
    """Build what knows the table, with the first invocation."""
    table = open_table(client(), tracer)
    return Sweeper(table, knowledge=new_knowledge(), timeout_ms=STEP_MS - ANSWER_MARGIN_MS)


def keep_sweeping(
    sweeper: Sweeper,
    time_left_ms: Callable[[], int],
    *,
    clock: Callable[[], int] = wall_clock_ms,
    sleep: Callable[[float], None] = time.sleep,
) -> SweepReport:
    """Sweep now, and whenever there is something to end, as long as there is time; return the whole of it."""
    released = kept = 0
    while True:
        report = sweeper.sweep(time_left_ms)
        released, kept = released + report.released, kept + report.kept
        now_ms = clock()
        times = [] if report.next_at_ms is None else [report.next_at_ms]
        times += [now_ms + RETRY_MS] if report.failed else []
        wait_ms = max(PAUSE_MS, min(times) - now_ms) if times else None
        if wait_ms is None or time_left_ms() - wait_ms < STEP_MS:
            return replace(report, released=released, kept=kept)
        sleep(wait_ms / 1_000)


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def handler(_event: object, context: LambdaContext) -> dict[str, Any]:
    """End leases for as long as this invocation is the one to do it."""
    count_anew()
    try:
        report = keep_sweeping(sweeper(), context.get_remaining_time_in_millis)
    except Exception:
        metrics.add_metric("SweepFailed", MetricUnit.Count, 1)
        raise
    finally:
        add_metrics(metrics, "Sweep")
        notes.note(round_trips=round_trips.get())
    for name, count in {"Released": report.released, "Kept": report.kept, "Failed": report.failed}.items():
        metrics.add_metric(f"Leases{name}", MetricUnit.Count, count)
    notes.note(released=report.released, kept=report.kept, failed=report.failed)
    answer = asdict(report)
    logger.info("sweep", **answer)
    return answer


if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
    client()  # Lambda's init phase has the whole processor, and a snapshot keeps what is built in it.
