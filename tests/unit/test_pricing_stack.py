"""What the prices take for granted of the stack: what its functions write to the log, its metrics and alarms."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from leasegate import Limit, Limiter
from leasegate.pricing import Traffic
from leasegate.pricing import quantities as known
from leasegate.windows import DEFAULT_PLAN, check_window
from scripts import template
from tests.fixtures.functions import Launch, Queue
from tests.functions import Context, Function
from tests.stream import StreamedMemory

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NOON_MS = 4_102_488_000_000
LIMITS = [Limit.per_day("rpd", 1_000)]


def printed(capsys: pytest.CaptureFixture[str]) -> tuple[int, set[str]]:
    """Return how many bytes were printed since the last look, and the metrics that are among them."""
    lines = capsys.readouterr().out.splitlines()
    documents = [json.loads(line) for line in lines]
    directives = [each for line in documents for each in line.get("_aws", {}).get("CloudWatchMetrics", ())]
    assert all(directive["Dimensions"] == [["service"]] for directive in directives), "one series for each name"
    names = {metric["Name"] for directive in directives for metric in directive["Metrics"]}
    return sum(len(line.encode()) for line in lines), names


def invoke(function: Function, event: dict[str, Any], name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Invoke a function as the only one of its process, and forget what was printed before."""
    function.module.logger.remove_keys(["correlation_id"])  # a request's; all functions of a test share one log
    capsys.readouterr()
    arn = Context().invoked_function_arn.replace("AcquireFunction", name)
    function.module.handler(event, Context(60_000, function_name=name, invoked_function_arn=arn))


def test_an_acquire_writes_so_much_and_these_metrics(
    moto_client: DynamoDBClient, limiter: Limiter, launch: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    limiter.set_limits("key-1", LIMITS, resource="gpt-4")
    function = launch("acquire")
    ask = {"entity_id": "key-1", "resource": "gpt-4", "consume": {"rpd": 600}}
    capsys.readouterr()
    function.post(ask)
    granted_bytes, granted = printed(capsys)
    assert granted_bytes == known.ACQUIRE_LOG_BYTES
    function.post(ask)
    refused_bytes, refused = printed(capsys)
    assert refused_bytes == known.ACQUIRE_LOG_BYTES
    function.post(ask)
    _, remembered = printed(capsys)
    # An idle bucket, as this process remembers it, that somebody else has spent from.
    limiter.set_limits("key-2", [Limit.per_second("rps", 1_000)], resource="gpt-4")
    other = {"entity_id": "key-2", "resource": "gpt-4", "consume": {"rps": 1}}
    function.post(other)
    limiter.acquire("key-2", "gpt-4", {"rps": 900})
    function.post({**other, "consume": {"rps": 1}})
    _, missed = printed(capsys)
    assert granted | refused | remembered | missed == set(known.ACQUIRE_METRICS)


def test_a_batch_of_changes_writes_so_much_and_these_metrics(
    moto_client: DynamoDBClient, launch: Launch, queue: Queue, capsys: pytest.CaptureFixture[str]
) -> None:
    table = StreamedMemory()
    spender = Limiter(table, clock=lambda: NOON_MS)
    for _ in range(40):
        spender.acquire("key-1", "gpt-4", {"rpd": 1}, limits=LIMITS)
    invoke(launch("aggregator"), {"Records": table.records}, "AggregatorFunction", capsys)
    written, names = printed(capsys)
    assert known.USAGE_LOG_BYTES - 25 <= written <= known.USAGE_LOG_BYTES + 25
    assert names == set(known.USAGE_METRICS)


def test_a_sweep_writes_so_much_and_these_metrics(
    moto_client: DynamoDBClient, launch: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    invoke(launch("sweep"), {}, "SweepFunction", capsys)
    written, names = printed(capsys)
    assert known.SWEEP_LOG_BYTES - 25 <= written <= known.SWEEP_LOG_BYTES + 25
    assert names == set(known.SWEEP_METRICS)


def test_the_stack_has_as_many_alarms_and_dashboards() -> None:
    kinds = Counter(resource["Type"] for resource in template.load()["Resources"].values())
    assert kinds["AWS::CloudWatch::Alarm"] == known.ALARMS
    assert kinds["AWS::CloudWatch::Dashboard"] == known.DASHBOARDS


def test_a_month_begins_with_the_stacks_own_parameters() -> None:
    parameters = {name: parameter["Default"] for name, parameter in template.load()["Parameters"].items()}
    traffic = Traffic(acquires=0)
    assert traffic.memory_mb == parameters["MemorySize"]
    assert traffic.usage_window_s == parameters["UsageBatchWindowSeconds"]
    assert traffic.usage_batch == parameters["UsageBatchSize"]
    assert (traffic.usage is not None) == (parameters["UsageCounting"] == "on")
    assert traffic.sweeps == (parameters["SweepSchedule"] == "on")
    assert traffic.usage == DEFAULT_PLAN
    windows = [check_window(window) for window in parameters["UsageWindows"].split(",")]
    assert list(DEFAULT_PLAN.windows) == windows
    for window, days in DEFAULT_PLAN.retention_days.items():
        assert parameters[f"Usage{window.capitalize()}RetentionDays"] == days
    schedule = template.load()["Resources"]["SweepFunction"]["Properties"]["Events"]["EveryMinute"]["Properties"]
    assert schedule["Schedule"] == "rate(1 minute)"
