"""A function says how many of its calls could not go directly, and nothing where all could."""

from __future__ import annotations

import json

import pytest
from aws_lambda_powertools import Metrics

from leasegate.operations import Add, Applied, Key, Update
from leasegate.repository.dynamodb import dynamodb_client
from leasegate_lambda.table import add_metrics, count_anew, open_table
from leasegate_lambda.tracing import Untraced
from tests.direct.plays import PLAYS, Stage
from tests.unmocked import unmocked

WRITE = Update(Key("a", "s"), (Add("n", 1),))


def said(metrics: Metrics, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """Return the metrics of an invocation, by name."""
    add_metrics(metrics, "Sweep")
    capsys.readouterr()
    metrics.flush_metrics()
    blob = json.loads(capsys.readouterr().out)
    (directive,) = blob["_aws"]["CloudWatchMetrics"]
    return {metric["Name"]: blob[metric["Name"]] for metric in directive["Metrics"]}


def test_detours_are_counted_by_invocation(
    stage: Stage, endpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TABLE_NAME", "leasegate")
    metrics = Metrics(namespace="Leasegate", service="test")
    client = unmocked(dynamodb_client(endpoint_url=endpoint, direct=True))
    with open_table(client, Untraced()) as table:
        count_anew()
        stage.set(PLAYS["throttled"], PLAYS["500"], PLAYS["well"])
        (outcome,) = table.execute((WRITE,), timeout_ms=10_000)
        assert isinstance(outcome, Applied)
        assert said(metrics, capsys) == {"SweepRoundTrips": [1.0], "Detours": [2.0]}

        count_anew()
        table.execute((WRITE,), timeout_ms=10_000)
        assert said(metrics, capsys) == {"SweepRoundTrips": [1.0]}
    client.close()
