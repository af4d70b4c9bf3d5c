"""Whatever happens to it, the direct path ends as a plain client does, after as many attempts."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

import pytest
from botocore.config import Config

from leasegate.operations import Add, Key, Update
from leasegate.repository.checksums import check_answers
from leasegate.repository.direct import DirectCalls
from tests.direct.pair import Said, direct_client, plain_client, requests_of, say
from tests.direct.plays import ANSWER, PLAYS, Play, Stage, message, sends
from tests.listeners import full_backlog

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

((UPDATE, REQUEST),) = requests_of(Update(Key("a", "s"), (Add("n", 1),)), "leasegate")
CONFIGS: Final = {
    "one attempt": {"total_max_attempts": 1, "mode": "standard"},
    "three attempts": {"total_max_attempts": 3, "mode": "standard"},
    "three attempts, as it was": {"total_max_attempts": 3, "mode": "legacy"},
}
WELL: Final = {
    "well",
    "small pieces",
    "a refusal",
    "a refusal in small pieces",
    "a cancellation",
    "the last of its connection",
}
"""What needs no help of botocore's."""


def config(retries: str, play: str = "") -> Config:
    """Make a client patient, so that a busy machine is no fault, but where silence is the play."""
    patience_s = 0.3 if "silence" in play else 10
    return Config(retries=CONFIGS[retries], read_timeout=patience_s, connect_timeout=0.3)  # type: ignore[arg-type] # botocore's TypedDict


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let botocore repeat at once."""
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _seconds: None))


def heard(stage: Stage, client: DynamoDBClient, *plays: Play) -> tuple[list[Said], int]:
    """Let a client ask until the script is over and once more; return what it said, and the number of requests."""
    stage.set(*plays)
    said = [say(client, UPDATE, REQUEST)]
    requests = stage.requests
    stage.set()
    return [*said, say(client, UPDATE, REQUEST)], requests


@pytest.mark.parametrize("retries", CONFIGS)
@pytest.mark.parametrize("name", PLAYS)
def test_it_ends_the_same_after_as_many_requests(stage: Stage, endpoint: str, name: str, retries: str) -> None:
    play = PLAYS[name]
    with (
        direct_client(endpoint, config(retries, name)) as direct,
        plain_client(endpoint, config(retries, name)) as plain,
    ):
        for client in (direct, plain):
            check_answers(client)
            assert say(client, UPDATE, REQUEST).error is None
        for script in ([play], [play, play], [play] * 4):
            assert heard(stage, direct, *script) == heard(stage, plain, *script), len(script)
        assert isinstance(direct, DirectCalls)
        assert (direct.direct.take_detours() == 0) is (name in WELL)


@pytest.mark.parametrize("retries", CONFIGS)
@pytest.mark.parametrize("name", ["a reset", "500", "silence", "chunks", "well"])
def test_the_very_first_request_is_no_exception(stage: Stage, endpoint: str, name: str, retries: str) -> None:
    heard_by = []
    for make in (direct_client, plain_client):
        with make(endpoint, config(retries, name)) as client:
            check_answers(client)
            heard_by.append(heard(stage, client, PLAYS[name]))
    assert heard_by[0] == heard_by[1]


@pytest.mark.parametrize("retries", CONFIGS)
def test_nobody_listens(retries: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
    assert_same_failure(endpoint, retries, "botocore.exceptions.EndpointConnectionError")


@pytest.mark.parametrize("retries", CONFIGS)
def test_nobody_is_let_in(retries: str) -> None:
    with full_backlog() as port:
        assert_same_failure(f"http://127.0.0.1:{port}", retries, "botocore.exceptions.ConnectTimeoutError")


def test_no_such_host() -> None:
    assert_same_failure(
        "http://no-such-host.invalid", "one attempt", "botocore.exceptions.EndpointConnectionError"
    )


def assert_same_failure(endpoint: str, retries: str, error: str) -> None:
    with direct_client(endpoint, config(retries)) as direct, plain_client(endpoint, config(retries)) as plain:
        for client in (direct, plain):
            assert say(client, UPDATE, REQUEST) == Said(error, None)


def test_a_connection_that_died_while_it_was_idle_costs_no_attempt(stage: Stage, endpoint: str) -> None:
    with direct_client(endpoint, config("one attempt")) as client:
        for end in ("the last of its connection", "well"):
            stage.set(PLAYS[end])
            assert say(client, UPDATE, REQUEST).error is None

        stage.set(sends(message(ANSWER), ends=True))
        assert say(client, UPDATE, REQUEST).error is None
        assert say(client, UPDATE, REQUEST).error is None
        assert (stage.requests, stage.connections) == (2, 1)
        assert isinstance(client, DirectCalls)
        assert client.direct.take_detours() == 0
