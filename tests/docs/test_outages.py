"""The page on outages: its code runs, and what it names is there."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import boto3
import pytest

from leasegate.repository.dynamodb import DynamoRepository, client_config
from leasegate.repository.quota import QUOTA, RETRY_COST, TIMEOUT_COST
from leasegate.session import ANSWER_MARGIN_MS, DEFAULT_TIMEOUT_MS
from scripts import template
from tests.docs.blocks import Blocks
from tests.docs.running import run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "outages.md"
TEXT = PAGE.read_text()


@pytest.mark.runs("docs/outages.md")
def test_the_example_runs_and_says_what_its_comments_say(blocks: Blocks) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        endpoint_url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        client = boto3.client("dynamodb", endpoint_url=endpoint_url, config=client_config())
        with DynamoRepository(client, "leasegate") as down:
            claims = run(blocks.take(), {"table_that_is_down": down})
    assert claims == ["True", "()", "1000", "False"]


def test_the_figures_are_those_of_the_code() -> None:
    text = " ".join(TEXT.split())
    assert f"`timeout_ms`, {DEFAULT_TIMEOUT_MS // 1_000} s by default" in text
    assert f"but for {ANSWER_MARGIN_MS} ms" in text
    assert f"{QUOTA} tokens, of which a repetition takes {RETRY_COST}, or {TIMEOUT_COST} after a timeout" in text
    assert f"repeats {QUOTA // RETRY_COST} times at most, {QUOTA // TIMEOUT_COST} where the table hangs" in text
    config = client_config()
    timeouts = (config.connect_timeout, config.read_timeout)  # type: ignore[attr-defined] # its options are attributes
    assert "after {} s without a connection and {} s without an answer".format(*timeouts) in text


def test_what_the_page_names_is_in_the_template() -> None:
    stack = template.load()
    named = set(re.findall(r"`(OnUnavailable|[A-Z]\w+Alarm)`", TEXT))
    assert named == {"OnUnavailable", "DegradedAlarm"}
    assert named <= {*stack["Parameters"], *stack["Resources"]}
    assert set(re.findall(r"^\| `(raise|allow|refuse)` \| (?:raises|a lease)", TEXT, re.MULTILINE)) == set(
        stack["Parameters"]["OnUnavailable"]["AllowedValues"]
    )
    body = stack["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    assert all(f'"Leasegate", "{name}"' in body for name in ("Granted", "Degraded", "Unavailable"))
