"""The fixtures that hand the documentation's code blocks to the tests that run them, and a table to the blocks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest

from scripts import template
from tests.docs.blocks import Blocks, declared

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture
def blocks(request: pytest.FixtureRequest) -> Iterator[Blocks]:
    """The blocks that the test's marks name; those that it does not take are a failure."""
    handed_out = Blocks(declared(request.node.iter_markers("runs")))
    yield handed_out
    assert [str(block) for block in handed_out.left] == [], "named by the test's mark, and not taken by it"


@pytest.fixture
def still_table(simulated_aws: None, monkeypatch: pytest.MonkeyPatch) -> DynamoDBClient:
    """Make the table ``leasegate``, where time stands still, so that nothing refills between two lines."""
    now_ns = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now_ns)
    client = boto3.client("dynamodb")
    template.create_table(client, "leasegate")
    return client
