"""TLS is botocore's own: what it trusts, what it refuses, and how long it waits for a handshake."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from botocore.config import Config

from leasegate.operations import Add, Key, Update
from leasegate.repository.direct import DirectCalls
from tests.certificates import make_certificate
from tests.direct.pair import Said, direct_client, plain_client, requests_of, say
from tests.direct.plays import Stage
from tests.listeners import server

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

((UPDATE, REQUEST),) = requests_of(Update(Key("a", "s"), (Add("n", 1),)), "leasegate")
CONFIG: Final = Config(
    retries={"total_max_attempts": 1, "mode": "standard"}, read_timeout=0.5, connect_timeout=0.5
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for localhost alone, and its key, in one file."""
    return make_certificate(tmp_path_factory.mktemp("tls"), of="DNS:localhost")


@pytest.fixture
def endpoint(stage: Stage, certificate: Path) -> Iterator[str]:
    """Serve a stage by TLS; the value is its endpoint."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            stage.serve(wrapped)

    with server(serve) as plain:
        yield plain.replace("http://127.0.0.1", "https://localhost")
        stage.end()


def detours(client: DynamoDBClient) -> int:
    assert isinstance(client, DirectCalls)
    return client.direct.take_detours()


def test_a_certificate_of_the_trusted_bundle_is_accepted_and_its_connection_kept(
    stage: Stage, endpoint: str, certificate: Path
) -> None:
    with direct_client(endpoint, CONFIG, verify=str(certificate)) as client:
        for _ in range(3):
            assert say(client, UPDATE, REQUEST).error is None
        assert (stage.requests, stage.connections, detours(client)) == (3, 1, 0)


def test_the_bundle_of_the_environment_counts(
    endpoint: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    with direct_client(endpoint, CONFIG) as client:
        assert say(client, UPDATE, REQUEST).error is None
        assert detours(client) == 0


@pytest.mark.parametrize(
    ("verify", "host"),
    [
        (True, "localhost"),  # a certificate that nobody vouches for
        (None, "127.0.0.1"),  # one that is for another name
    ],
)
def test_a_certificate_that_botocore_refuses_is_refused(
    stage: Stage, endpoint: str, certificate: Path, verify: bool | None, host: str
) -> None:
    url = endpoint.replace("localhost", host)
    trusted = str(certificate) if verify is None else verify
    with direct_client(url, CONFIG, verify=trusted) as direct, plain_client(url, CONFIG, verify=trusted) as plain:
        for client in (direct, plain):
            assert say(client, UPDATE, REQUEST) == Said("botocore.exceptions.SSLError", None)
    assert stage.requests == 0


def test_whoever_turns_verification_off_gets_through(endpoint: str) -> None:
    with direct_client(endpoint.replace("localhost", "127.0.0.1"), CONFIG, verify=False) as client:
        assert say(client, UPDATE, REQUEST).error is None
        assert detours(client) == 0


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_handshake_that_comes_to_nothing_ends_as_it_does_in_botocore(greeting: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        if greeting:
            connection.sendall(greeting)
        while connection.recv(4096):
            pass

    with server(serve) as plain_url:
        url = plain_url.replace("http://", "https://")
        with direct_client(url, CONFIG) as direct, plain_client(url, CONFIG) as plain:
            said = [say(client, UPDATE, REQUEST) for client in (direct, plain)]
    assert said[0] == said[1]
    assert said[0].error in {
        "botocore.exceptions.SSLError",
        "botocore.exceptions.ReadTimeoutError",
        "botocore.exceptions.ConnectTimeoutError",
    }
