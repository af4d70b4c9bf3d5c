"""Invoked by the table's stream: count what buckets spent, each change once.

The event has changes of buckets alone: the mapping's filter leaves out everything else, the totals that this
function writes among it. Powertools' BatchProcessor takes one record after the other, and here all records of a
bucket in one window become one write. So the answer to the stream is put together by hand::

    {"batchItemFailures": [{"itemIdentifier": sequence number}, ...], "records": 1000, "groups": 4, ...}

The failures are records that DynamoDB gave no answer for. Lambda goes on from the first of them, and so sends
what was counted behind it once more, which changes nothing. The other fields are counts of
:class:`~leasegate.records.CountReport`, and ``dead_letters``; Lambda does not look at them, but whoever invokes
the function by hand does.

A record that cannot be read would fail for ever, and whatever follows it would wait. So it is put into the queue
of dead letters, whole and with the reason, and is no failure. If it stands behind a failure it is left alone,
for it comes once more. If the queue does not take it, it is a failure; and what keeps failing Lambda gives up in
the end, and puts into the same queue where in the stream it stands.

Invoked by hand with ``{"redrive": true, "Records": [...]}`` the function counts records that were dead letters.
Those that still cannot be read are not put into the queue again: they are failures, and ``unreadable`` in the
answer says what is wrong with each, by sequence number.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit

from leasegate import InvalidRequest
from leasegate.aggregator import Aggregator
from leasegate.deadletters import DeadRecord, write_dead_record
from leasegate.records import CountReport
from leasegate.session import ANSWER_MARGIN_MS
from leasegate.stream import StreamRecord, is_named, sequence_number
from leasegate_lambda.annotations import Annotations
from leasegate_lambda.logs import open_log
from leasegate_lambda.queue import SEND_MS, DeadLetters, connect_queue
from leasegate_lambda.table import add_metrics, connect, count_anew, open_table, round_trips
from leasegate_lambda.tracing import open_tracer
from leasegate_lambda.usage import usage_plan

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_dynamodb import DynamoDBClient

COUNTS: Final = {
    "records": "UsageRecords",
    "groups": "UsageGroups",
    "writes": "UsageWrites",
    "duplicates": "UsageDuplicates",
    "expired": "UsageExpired",
}
"""The counts of a report, and the metrics that they are."""

logger = open_log()
tracer = open_tracer()
metrics = Metrics()
notes = Annotations(tracer)


@cache
def client() -> DynamoDBClient:
    """Build the DynamoDB client, as early as can be."""
    return connect(tracer)


@cache
def aggregator() -> Aggregator:
    """Build what counts, with the first invocation."""
    return Aggregator(open_table(client(), tracer), plan=usage_plan())


@cache
def dead_letters() -> DeadLetters:
    """Build the queue's client, with the first record that cannot be read."""
    return DeadLetters(connect_queue(), os.environ["USAGE_DEAD_LETTERS_URL"])


def read_event(event: Mapping[str, Any]) -> tuple[Sequence[StreamRecord], bool]:
    """Return the records of an event, each with a sequence number, and whether they are dead letters."""
    records = event.get("Records")
    if not isinstance(records, list):
        raise InvalidRequest("Records", "must be a list of records of the table's stream")
    for place, record in enumerate(records):
        if not is_named(record):
            raise InvalidRequest(f"Records[{place}]", "has no sequence number")
    return records, event.get("redrive") is True


def bury(
    report: CountReport, records: Sequence[StreamRecord], time_left_ms: Callable[[], int]
) -> tuple[int, dict[int, str]]:
    """Send the records that cannot be read to the queue; return how many it took, and why it has not the others.

    A record behind one that failed is left alone: it comes once more, and would be buried twice.
    """
    first_failure = min(report.failures, default=len(records))
    places = sorted(place for place in report.unreadable if place < first_failure)
    unsent: dict[int, str] = {}
    if places:
        dead = [DeadRecord(records[place], report.unreadable[place]) for place in places]
        refused = dead_letters().send([write_dead_record(letter) for letter in dead], time_left_ms)
        unsent = {places[number]: reason for number, reason in refused.items()}
    sent = len(places) - len(unsent)
    behind = [place for place in report.unreadable if place > first_failure]
    return sent, unsent | dict.fromkeys(behind, "an earlier record was not counted")


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Count the records of a batch."""
    count_anew()
    records: Sequence[StreamRecord] = ()
    time_left_ms = context.get_remaining_time_in_millis
    try:
        records, is_redrive = read_event(event)
        # A timeout would fail the whole batch; what there is no time for fails alone.
        report = aggregator().count(records, timeout_ms=max(0, time_left_ms() - ANSWER_MARGIN_MS - SEND_MS))
    except InvalidRequest:
        metrics.add_metric("UsageInvalid", MetricUnit.Count, 1)
        raise
    except Exception:
        metrics.add_metric("UsageFailed", MetricUnit.Count, len(records))
        raise
    finally:
        add_metrics(metrics, "Usage")
        notes.note(round_trips=round_trips.get())
    failed = {place: str(error) for place, error in report.failures.items()}
    buried = 0
    if is_redrive:
        failed |= report.unreadable
    else:
        buried, unsent = bury(report, records, time_left_ms)
        failed |= unsent
    counted = {name: getattr(report, name) for name in COUNTS}
    for name, metric in COUNTS.items():
        metrics.add_metric(metric, MetricUnit.Count, counted[name])
    metrics.add_metric("UsageFailed", MetricUnit.Count, len(failed))
    metrics.add_metric("UsageDeadLetters", MetricUnit.Count, buried)
    if report.lag_ms is not None:
        metrics.add_metric("UsageLag", MetricUnit.Milliseconds, report.lag_ms)
    names = {place: sequence_number(records[place]) for place in sorted(failed)}
    if failed:
        first = min(failed)
        logger.error("not counted", failed=len(failed), first=names[first], reason=failed[first])
    counted["dead_letters"] = buried
    notes.note(**counted)
    logger.info("usage", **counted, lag_ms=report.lag_ms)
    answer = {"batchItemFailures": [{"itemIdentifier": name} for name in names.values()], **counted}
    if is_redrive:
        answer["unreadable"] = {names[place]: reason for place, reason in report.unreadable.items()}
    return answer


if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
    client()  # Lambda's init phase has the whole processor, and a snapshot keeps what is built in it.
