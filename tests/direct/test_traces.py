"""X-Ray's SDK sees the same of a call by both paths: subsegments, and the header that carries the trace on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pytest
from botocore.config import Config

from leasegate.operations import Add, BatchGet, Equals, Get, Key, Operation, Put, Transact, Update
from leasegate.recording import record_calls
from leasegate.repository.direct import DirectCalls
from leasegate.repository.dynamodb import DynamoRepository
from tests.direct.pair import direct_client, plain_client
from tests.direct.plays import PLAYS, Play, Stage, message, sends
from tests.fixtures.recorded import Recorded

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CONFIG: Final = Config(
    retries={"total_max_attempts": 1, "mode": "standard"}, read_timeout=0.3, connect_timeout=0.3
)
KEY: Final = Key("a", "s")
UPDATE: Final = Update(KEY, (Add("n", 1),), Equals("n", 1))
FOUND: Final = sends(message(b'{"Responses":{"leasegate":[]}}'))
CASES: Final[dict[str, tuple[Operation, Play]]] = {
    "a write": (UPDATE, PLAYS["well"]),
    "a refusal": (UPDATE, PLAYS["a refusal"]),
    "a whole item": (Put(KEY, {"n": 1}), PLAYS["well"]),
    "a read": (Get(KEY), PLAYS["well"]),
    "a batch": (BatchGet((KEY,)), FOUND),
    "a transaction": (Transact((UPDATE,), "token"), PLAYS["well"]),
    "a cancellation": (Transact((UPDATE, Put(Key("b", "s"), {})), "token"), PLAYS["a cancellation"]),
    "a throttled write": (UPDATE, PLAYS["throttled"]),
    "500": (UPDATE, PLAYS["500"]),
    "silence": (UPDATE, PLAYS["silence"]),
    "a reset": (UPDATE, PLAYS["a reset"]),
    "chunks": (UPDATE, PLAYS["chunks"]),
}
LEFT: Final = ("a throttled write", "500", "silence", "a reset", "chunks")
"""What botocore has to make out."""
_OF_THE_MOMENT: Final = frozenset({"id", "start_time", "end_time", "parent_id", "trace_id"})


@pytest.fixture
def traced(recorded: Recorded) -> Recorded:
    """Have botocore patched, as a function of the stack has."""
    from aws_xray_sdk.core import patch

    patch(["botocore"])
    return recorded


def documents(client: DynamoDBClient, recorded: Recorded, operation: Operation) -> list[object]:
    """Return what is recorded of one attempt, without what no two have in common."""
    from aws_xray_sdk.core import xray_recorder

    record_calls(client, xray_recorder)
    repository = DynamoRepository(client, "leasegate", draw=lambda: float("inf"))
    recorded.forget()
    with xray_recorder.in_subsegment("test"):
        repository.execute((operation,), timeout_ms=10_000)
    return [_lasting(document) for document in recorded.documents if document["name"] == "dynamodb"]


def _lasting(document: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(document, dict):
        kept = {name: _lasting(value) for name, value in document.items() if name not in _OF_THE_MOMENT}
        kept.pop("stack", None)  # where in the code an exception was raised
        kept.pop("paths", None)
        kept.pop("working_directory", None)
        return kept
    return [_lasting(each) for each in document] if isinstance(document, list) else document


@pytest.mark.parametrize("name", CASES)
def test_a_call_is_recorded_the_same(stage: Stage, endpoint: str, traced: Recorded, name: str) -> None:
    operation, play = CASES[name]
    with direct_client(endpoint, CONFIG) as direct, plain_client(endpoint, CONFIG) as plain:
        seen = []
        for client in (direct, plain):
            stage.set(play)
            seen.append(documents(client, traced, operation))
        assert seen[0] == seen[1]
        assert len(seen[0]) == 1
        assert isinstance(direct, DirectCalls)
        assert direct.direct.take_detours() == (name in LEFT)


def test_a_header_that_somebody_adds_besides_is_sent_and_signed(
    stage: Stage, endpoint: str, traced: Recorded
) -> None:
    with direct_client(endpoint, CONFIG) as client:

        def add(params: dict[str, Any], **_event: object) -> None:
            params["headers"]["X-Custom"] = "yes"

        client.meta.events.register("before-call.dynamodb", add)
        documents(client, traced, UPDATE)
        assert isinstance(client, DirectCalls)
        assert client.direct.take_detours() == 1
    assert re.search(rb"SignedHeaders=[^,]*;x-custom[;,]", stage.last_request)


def test_the_header_of_a_trace_names_the_call(
    stage: Stage, endpoint: str, traced: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "acquire")
    parents: list[tuple[bytes, str]] = []
    with direct_client(endpoint, CONFIG) as direct, plain_client(endpoint, CONFIG) as plain:
        for client in (direct, plain):
            documents(client, traced, UPDATE)
            (call,) = [document for document in traced.documents if document["name"] == "dynamodb"]
            header = re.search(rb"(?im)^x-amzn-trace-id: ([^\r]*)\r", stage.last_request)
            assert header is not None
            parents.append((header[1].replace(call["id"].encode(), b"ID"), call["trace_id"]))
            signed = stage.last_request.partition(b"SignedHeaders=")[2].partition(b",")[0]
            assert b"x-amzn-trace-id" not in signed
        assert isinstance(direct, DirectCalls)
        assert direct.direct.take_detours() == 0
    assert parents[0] == parents[1]
    assert b"Parent=ID" in parents[0][0]
