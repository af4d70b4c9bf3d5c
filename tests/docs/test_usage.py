"""docs/usage.md: its code runs, its tables say what is so, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "usage.md"
TEXT = PAGE.read_text()


@pytest.mark.runs("docs/usage.md", "python")
def test_the_python_examples_run_and_say_what_their_comments_say(
    monkeypatch: pytest.MonkeyPatch, still_table: DynamoDBClient, blocks: Blocks
) -> None:
    monkeypatch.setenv("AWS_ACCOUNT_ID_ENDPOINT_MODE", "disabled")  # moto knows no other address of streams
    names: dict[str, object] = {}
    spend, read = blocks.take("python")
    assert run([spend], names) == []
    records = read_stream(still_table, boto3.client("dynamodbstreams"), "leasegate", least=6)
    # what the page calls "some seconds later"
    Aggregator(DynamoRepository(still_table, "leasegate")).count(records)
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
