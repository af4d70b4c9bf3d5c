"""docs/index.md: its code runs, its requests are answered as shown, its commands are there."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.docs.blocks import Blocks, read_blocks
from tests.docs.commands import check_session
from tests.docs.exchanges import send_all
from tests.docs.running import run

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.fixtures.functions import Launch

NOW_NS = 1_790_000_000_000 * 10**6


@pytest.mark.runs("docs/index.md", "python")
def test_the_python_examples_run_and_say_what_their_comments_say(
    still_table: DynamoDBClient, blocks: Blocks
) -> None:
    assert run(blocks.take()) == ["0", "20000", "rpm", "9188", "59", "59"]


@pytest.mark.runs("docs/index.md", "bash")
@pytest.mark.runs("docs/index.md", "http")
def test_the_requests_are_answered_as_shown(
    moto_client: DynamoDBClient, launch: Launch, monkeypatch: pytest.MonkeyPatch, blocks: Blocks
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: NOW_NS)
    (script,) = blocks.take("bash")
    body = re.findall(r"--data '(.*?)'", script, re.DOTALL)[0]
    assert send_all([f"POST /acquire\n\n{body}", *blocks.take("http")], launch) == 2
    # The README's test sends it to the stack, signed by curl.
    assert script in [block.content for block in read_blocks("README.md")]


@pytest.mark.runs("docs/index.md", "console")
def test_the_commands_are_there(blocks: Blocks) -> None:
    assert [check_session(block) for block in blocks.take()] == [1, 1, 2]
