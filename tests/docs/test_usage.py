"""docs/usage.md: its code runs, its tables say what is so, its links lead somewhere."""

from __future__ import annotations

import re
import time
from pathlib import Path

import boto3
import pytest

from leasegate.aggregator import Aggregator
from leasegate.repository.dynamodb import DynamoRepository
from leasegate.windows import DEFAULT_RETENTION_DAYS, DEFAULT_WINDOWS
from scripts import template
from tests.docs.blocks import Blocks
from tests.docs.commands import check_session
from tests.docs.running import run
from tests.stream import read_stream

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "usage.md"
TEXT = PAGE.read_text()


@pytest.mark.runs("docs/usage.md", "python")
def test_the_python_examples_run_and_say_what_their_comments_say(
    simulated_aws: None, monkeypatch: pytest.MonkeyPatch, blocks: Blocks
) -> None:
    monkeypatch.setenv("AWS_ACCOUNT_ID_ENDPOINT_MODE", "disabled")  # moto knows no other address of streams
    now_ns = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now_ns)  # so that nothing refills between two lines
    client = boto3.client("dynamodb")
    template.create_table(client, "leasegate")
    names: dict[str, object] = {}
    spend, read = blocks.take("python")
    assert run([spend], names) == []
    records = read_stream(client, boto3.client("dynamodbstreams"), "leasegate", least=6)
    Aggregator(DynamoRepository(client, "leasegate")).count(records)  # what the page calls "some seconds later"
    assert run([read], names) == ["2", "700", "800", "key-1"]


@pytest.mark.runs("docs/usage.md", "console")
def test_the_commands_are_there(blocks: Blocks) -> None:
    assert [check_session(block) for block in blocks.take()] == [2]


def test_windows_are_kept_as_long_as_the_page_says() -> None:
    parameters = template.load()["Parameters"]
    said = dict(re.findall(r"^\| `(minute|hour|day|month)` \| (\d+ (?:days|years)) \|", TEXT, re.MULTILINE))
    days = {name: int(span.split()[0]) * (366 if span.endswith("years") else 1) for name, span in said.items()}
    assert days == DEFAULT_RETENTION_DAYS
    for name, count in days.items():
        assert parameters[f"Usage{name.title()}RetentionDays"]["Default"] == count
        not_counted = f"| `Usage{name.title()}RetentionDays`; not counted" in TEXT
        assert not_counted == (name not in DEFAULT_WINDOWS)
    assert parameters["UsageWindows"]["Default"] == ",".join(DEFAULT_WINDOWS)


def test_what_the_page_names_is_in_the_template() -> None:
    stack = template.load()
    names = {*stack["Parameters"], *stack["Resources"], *stack["Outputs"]}
    named = set(re.findall(r"`((?:Usage[A-Z]\w+|\w+(?:Alarm|Name|Function)))`", TEXT))
    metrics = {
        name
        for name in named
        if f'"Leasegate", "{name}"' in stack["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    }
    assert named - names - metrics == {
        "UsageExpired",
        "UsageInvalid",
        "UsageRoundTrips",
    }  # metrics that the dashboard leaves out


def test_every_link_leads_to_a_file() -> None:
    for target in re.findall(r"\]\(\s*([^)#]+)(?:#[^)]*)?\)", TEXT):
        assert (PAGE.parent / target).exists(), target
