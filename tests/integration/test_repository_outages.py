"""What a real client makes of a real network in trouble; the emulators never are."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from botocore.config import Config

from leasegate.errors import StoreDenied, StoreError, StoreUnavailable
from leasegate.operations import Add, BatchGet, Failed, Key, Operation, Update
from leasegate.repository.dynamodb import DynamoRepository, dynamodb_client
from tests.listeners import http, server
from tests.unmocked import unmocked

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

WRITE = Update(Key("a", "s"), (Add("n", 1),))
READ = BatchGet((Key("a", "s"),))


def client(endpoint: str) -> DynamoDBClient:
    config = Config(connect_timeout=0.5, read_timeout=0.1)
    return unmocked(dynamodb_client(endpoint_url=endpoint, config=config))


def failure(endpoint: str, operation: Operation) -> StoreError:
    repository = DynamoRepository(client(endpoint), "table", sleep=lambda _seconds: None, draw=lambda: 0.01)
    (outcome,) = repository.execute((operation,), timeout_ms=50)
    assert isinstance(outcome, Failed)
    return outcome.error


def never_answer(connection: socket.socket) -> None:
    while connection.recv(65536):  # until the client gives up and closes
        pass


def hang_up(connection: socket.socket) -> None:
    connection.recv(65536)


def answer_with(status: str, body: str) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(http(status, body))

    return serve


@pytest.mark.parametrize(
    "serve", [never_answer, hang_up, answer_with("503 Unavailable", ""), answer_with("502 Bad", "<html>")]
)
def test_a_write_whose_answer_is_lost_may_have_been_applied(serve: Callable[[socket.socket], None]) -> None:
    with server(serve) as endpoint:
        error = failure(endpoint, WRITE)
    assert type(error) is StoreUnavailable
    assert error.maybe_applied


def test_a_read_whose_answer_is_lost_is_unavailable() -> None:
    with server(hang_up) as endpoint:
        error = failure(endpoint, READ)
    assert type(error) is StoreUnavailable
    assert not error.maybe_applied


def test_a_write_that_finds_nobody_listening_was_not_applied() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
    error = failure(endpoint, WRITE)
    assert type(error) is StoreUnavailable
    assert not error.maybe_applied


def test_a_refused_signature_is_denied() -> None:
    body = '{"__type":"com.amazon.coral.service#UnrecognizedClientException","message":"no test depends on it"}'
    with server(answer_with("400 Bad Request", body)) as endpoint:
        assert type(failure(endpoint, WRITE)) is StoreDenied
