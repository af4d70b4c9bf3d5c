"""docs/api.md: its requests, sent in order to the functions on an empty table, are answered as shown."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from leasegate.http.ratelimit import HEADER_STYLES
from leasegate.repository.dynamodb import DynamoRepository
from scripts import template
from tests.docs.blocks import Blocks
from tests.docs.exchanges import send_all
from tests.fixtures.functions import TABLE_NAME
from tests.metered import count_all, spent

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.fixtures.functions import Launch

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
NOW_MS = 1_790_000_000_000
# What the page says of usage; no stream runs here that would count what its requests spend.
USAGE = (
    spent("key-1", NOW_MS, {"tpm": 1_312}, grants=2, refused={"tpm": 3}, peaks={"streams": 1, "tpm": 1_312}),
    spent("key-2", NOW_MS, {"tpm": 2_000}, grants=5, peaks={"tpm": 900}),
)


@pytest.mark.runs("docs/api.md")
def test_the_requests_are_answered_as_shown(
    moto_client: DynamoDBClient, launch: Launch, monkeypatch: pytest.MonkeyPatch, blocks: Blocks
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: NOW_MS * 10**6)
    with DynamoRepository(moto_client, TABLE_NAME) as repository:
        count_all(repository, *USAGE)
    assert send_all(blocks.take(), launch) > 6


def test_the_styles_are_those_that_there_are() -> None:
    parameter = template.load()["Parameters"]["RateLimitHeaders"]
    assert tuple(parameter["AllowedValues"]) == HEADER_STYLES
    shown = re.findall(r"^\| `([a-z]+)`(, the default)? \|", PAGE.read_text(), re.MULTILINE)
    assert [style for style, _ in shown] == list(HEADER_STYLES)
    assert [style for style, default in shown if default] == [parameter["Default"]]
