"""No attempt outlasts the time of its caller, whatever the network does meanwhile.

The client's own timeouts are a minute. Every server would answer well in the end, so whoever waited too long would
have an answer: what ends in time is told from what does not by its outcome, not by a clock.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from botocore import exceptions as boto
from botocore.config import Config

from leasegate.errors import StoreUnavailable
from leasegate.operations import Add, Applied, Failed, Get, Key, Operation, Update
from leasegate.repository.client import SWITCH
from leasegate.repository.dynamodb import DynamoRepository, dynamodb_client
from tests.listeners import full_backlog, hangs_up_within, http, receive, server
from tests.unmocked import unmocked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

WRITE = Update(Key("a", "s"), (Add("n", 1),))
READ = Get(Key("a", "s"))
ANSWER = http("200 OK", "{}", ends=False)
LATE_S = 3.0


@pytest.fixture(params=["on", "off"], autouse=True)
def direct_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go the direct path, and then the SDK's own."""
    monkeypatch.setenv(SWITCH, request.param)


@contextlib.contextmanager
def client(endpoint: str) -> Iterator[DynamoDBClient]:
    config = Config(connect_timeout=60, read_timeout=60)
    client = unmocked(dynamodb_client(endpoint_url=endpoint, config=config))
    yield client
    client.close()


def execute(endpoint: str, *operations: Operation, timeout_ms: int = 300) -> tuple[Any, ...]:
    with client(endpoint) as speaker, DynamoRepository(speaker, "table") as repository:
        return repository.execute(operations, timeout_ms=timeout_ms)


def cause_of(outcome: object) -> BaseException | None:
    assert isinstance(outcome, Failed)
    assert type(outcome.error) is StoreUnavailable
    return outcome.error.__cause__


def answer(connection: socket.socket) -> None:
    while receive(connection):
        connection.sendall(ANSWER)


def answer_late(connection: socket.socket) -> None:
    receive(connection)
    if not hangs_up_within(connection, LATE_S):
        connection.sendall(ANSWER)


def answer_once(connection: socket.socket) -> None:
    """Answer the first request at once, and any other late."""
    receive(connection)
    connection.sendall(ANSWER)
    answer_late(connection)


def trickle(answer: bytes) -> Any:  # noqa: ANN401 - a way to serve
    """Send the last bytes one by one, and the first at once."""

    def serve(connection: socket.socket) -> None:
        receive(connection)
        connection.sendall(answer[:-60])
        for place in range(len(answer) - 60, len(answer)):
            if hangs_up_within(connection, LATE_S / 60):
                break
            connection.sendall(answer[place : place + 1])

    return serve


def test_an_answer_that_comes_late_is_not_waited_for() -> None:
    with server(answer_late) as endpoint:
        (outcome,) = execute(endpoint, WRITE)
    assert isinstance(cause_of(outcome), boto.ReadTimeoutError)
    assert outcome.error.maybe_applied


@pytest.mark.parametrize("body", ["{}", " " * 80 + "{}"])
def test_an_answer_that_trickles_is_not_waited_for_be_it_in_its_head_or_in_its_body(body: str) -> None:
    with server(trickle(http("200 OK", body, ends=False))) as endpoint:
        (outcome,) = execute(endpoint, WRITE)
    assert isinstance(cause_of(outcome), boto.ReadTimeoutError)
    assert outcome.error.maybe_applied


def test_whoever_is_not_let_in_does_not_wait_and_was_never_heard() -> None:
    with full_backlog() as port:
        (outcome,) = execute(f"http://127.0.0.1:{port}", WRITE)
    assert isinstance(cause_of(outcome), boto.ConnectTimeoutError)
    assert not outcome.error.maybe_applied


def test_the_addresses_of_a_name_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    found = socket.getaddrinfo

    def look_up(host: Any, port: Any, *more: Any) -> Any:  # noqa: ANN401 - as the standard library's
        if host != "table.example":
            return found(host, port, *more)
        return [each for address in ("127.0.0.1", "127.0.0.2") for each in found(address, port, *more)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with full_backlog() as port, server(answer, host="127.0.0.2", port=port):
        (outcome,) = execute(f"http://table.example:{port}", WRITE, timeout_ms=1000)
    assert outcome == Applied({})


def test_a_name_that_nobody_knows_was_never_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_arguments: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    (outcome,) = execute("http://table.example", WRITE)
    assert isinstance(cause_of(outcome), boto.EndpointConnectionError)
    assert not outcome.error.maybe_applied


def test_a_handshake_that_hangs_is_not_waited_for() -> None:
    def greet_late(connection: socket.socket) -> None:
        connection.recv(65536)
        if not hangs_up_within(connection, LATE_S):
            connection.sendall(b"not TLS")  # an error of another kind

    with server(greet_late) as endpoint:
        (outcome,) = execute(endpoint.replace("http", "https"), WRITE)
    assert isinstance(cause_of(outcome), boto.ReadTimeoutError | boto.ConnectTimeoutError)


def test_workers_wait_no_longer_than_who_sent_them() -> None:
    with server(answer_late) as endpoint:
        outcomes = execute(endpoint, WRITE, READ, WRITE)
    assert [type(cause_of(outcome)) for outcome in outcomes] == [boto.ReadTimeoutError] * 3


def test_what_no_worker_has_begun_in_time_is_never_sent() -> None:
    begun, over = threading.Semaphore(0), threading.Event()
    told: list[bool] = []

    def keep_busy(connection: socket.socket) -> None:
        receive(connection)
        begun.release()
        told.append(over.wait(LATE_S))
        connection.sendall(ANSWER)

    with (
        server(keep_busy) as endpoint,
        client(endpoint) as speaker,
        DynamoRepository(speaker, "table", max_workers=1) as repository,
    ):
        patient = threading.Thread(target=repository.execute, args=[(READ, READ)], kwargs={"timeout_ms": 9000})
        patient.start()
        for _ in range(2):  # the patient one and its worker
            begun.acquire()
        outcomes: tuple[Any, ...] = repository.execute((READ, WRITE), timeout_ms=100)
        over.set()
        patient.join()
    assert isinstance(cause_of(outcomes[0]), boto.ReadTimeoutError)
    assert cause_of(outcomes[1]) is None
    assert told == [True, True, True]  # the worker was busy to the end
    assert not outcomes[1].error.maybe_applied


def test_a_connection_that_served_before_waits_no_longer_either() -> None:
    with server(answer_once) as endpoint, client(endpoint) as speaker:
        repository = DynamoRepository(speaker, "table")
        (first,) = repository.execute((WRITE,), timeout_ms=60_000)
        (second,) = repository.execute((WRITE,), timeout_ms=300)
    assert first == Applied({})
    assert isinstance(cause_of(second), boto.ReadTimeoutError)


def test_what_others_send_through_the_same_client_waits_as_before() -> None:
    def answer_later(connection: socket.socket) -> None:
        receive(connection)
        if not hangs_up_within(connection, 0.3):
            connection.sendall(ANSWER)

    with server(answer_later) as endpoint, client(endpoint) as speaker:
        repository = DynamoRepository(speaker, "table")
        assert isinstance(repository.execute((WRITE,), timeout_ms=50)[0], Failed)
        assert speaker.get_item(TableName="table", Key={})["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_a_client_that_has_connections_already_is_bounded_all_the_same() -> None:
    served = threading.Event()

    def answer_the_first(connection: socket.socket) -> None:
        while receive(connection):
            if served.is_set() and hangs_up_within(connection, LATE_S):
                break
            served.set()
            connection.sendall(ANSWER)

    with server(answer_the_first) as endpoint, client(endpoint) as speaker:
        speaker.get_item(TableName="table", Key={})
        for _ in range(2):  # and by a second repository as by the first
            (outcome,) = DynamoRepository(speaker, "table").execute((WRITE,), timeout_ms=200)
            assert isinstance(cause_of(outcome), boto.ReadTimeoutError)


def test_a_client_that_is_built_otherwise_is_left_alone_and_that_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Client:
        def get_item(self, **_request: object) -> dict[str, object]:
            return {}

    other: Any = Client()
    with caplog.at_level(logging.WARNING, "leasegate"):
        repository = DynamoRepository(other, "table")
        for _ in range(2):
            assert not isinstance(repository.execute((READ,), timeout_ms=100)[0], Failed)
    assert [record.getMessage() for record in caplog.records] == [
        "the client Client is not as expected: an attempt may outlast its deadline",
        "the client Client is not as expected: its answers may be damaged",
    ]
