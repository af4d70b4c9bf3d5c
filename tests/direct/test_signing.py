"""Requests are signed as botocore signs them, with all that lasts kept."""

from __future__ import annotations

import hmac
import time
from datetime import UTC, datetime, timedelta

import botocore.auth
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from leasegate.repository.direct.signing import Destination, Signer

HEADERS = {
    "X-Amz-Target": "DynamoDB_20120810.UpdateItem",
    "Content-Type": "application/x-amz-json-1.0",
    "User-Agent": "leasegate  of  many spaces",
}
KEYS = Credentials("AKID", "secret", "token").get_frozen_credentials()


def head_lines(signer: Signer, body: bytes, credentials: ReadOnlyCredentials, more: bytes = b"") -> dict[str, str]:
    """Return the headers that a signer writes, by name."""
    head, _, sent = signer.message(body, credentials, more).partition(b"\r\n\r\n")
    assert head.startswith(b"POST / HTTP/1.1\r\n")
    assert sent == body
    lines = head.decode().split("\r\n")[1:]
    return {name: value for name, _, value in (line.partition(": ") for line in lines)}


@given(
    body=st.binary(),
    access_key=st.from_regex(r"[A-Z0-9]{4,20}", fullmatch=True),
    secret_key=st.from_regex(r"[!-~]{1,60}", fullmatch=True),
    token=st.none() | st.from_regex(r"[!-~]{1,900}", fullmatch=True),
    region=st.sampled_from(["us-east-1", "eu-central-1", "cn-north-1"]),
    host=st.sampled_from(["dynamodb.us-east-1.amazonaws.com", "127.0.0.1:8000", "[::1]:8000"]),
    seconds=st.integers(1_700_000_000, 1_900_000_000),
)
def test_a_signature_is_that_of_botocore(
    body: bytes, access_key: str, secret_key: str, token: str | None, region: str, host: str, seconds: int
) -> None:
    now = datetime.fromtimestamp(seconds, UTC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: seconds + 0.9)
        signed = head_lines(
            Signer(Destination(host, region, "dynamodb"), HEADERS),
            body,
            Credentials(access_key, secret_key, token).get_frozen_credentials(),
        )
        request = AWSRequest("POST", f"http://{host}/", headers=HEADERS, data=body)
        for name in ("get_current_datetime", "datetime"):
            if hasattr(botocore.auth, name):
                clock = (lambda: now) if name == "get_current_datetime" else _Clock(now)
                patch.setattr(botocore.auth, name, clock)
        SigV4Auth(Credentials(access_key, secret_key, token), "dynamodb", region).add_auth(request)
    for name in ("Authorization", "X-Amz-Date", "X-Amz-Security-Token"):
        assert signed.get(name) == request.headers.get(name), name
    assert signed["Host"] == host
    assert signed["Content-Length"] == str(len(body))


class _Clock:
    """The module ``datetime`` of an older botocore's, as far as it looks at the time."""

    def __init__(self, now: datetime) -> None:
        self.datetime = self
        self._now = now.replace(tzinfo=None)

    def utcnow(self) -> datetime:
        return self._now


def test_headers_of_listeners_are_not_signed() -> None:
    signer = Signer(Destination("host", "us-east-1", "dynamodb"), HEADERS)
    plain = head_lines(signer, b"{}", KEYS)
    traced = head_lines(signer, b"{}", KEYS, b"X-Amzn-Trace-Id: Root=1\r\n")
    assert traced.pop("X-Amzn-Trace-Id") == "Root=1"
    assert traced.keys() == plain.keys()
    assert "x-amzn-trace-id" not in traced["Authorization"]


def test_what_lasts_is_derived_once(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime(2026, 11, 30, 23, 59, 58, tzinfo=UTC)
    derivations: list[str] = []
    digest = hmac.digest

    def note(key: bytes, message: bytes, algorithm: str) -> bytes:
        if message == b"aws4_request":
            derivations.append(moment.date().isoformat())
        return digest(key, message, algorithm)

    monkeypatch.setattr(hmac, "digest", note)
    monkeypatch.setattr(time, "time", lambda: moment.timestamp())
    signer = Signer(Destination("host", "us-east-1", "dynamodb"), HEADERS)
    for _ in range(1_000):
        signer.message(b"{}", KEYS)
        moment += timedelta(milliseconds=4)
    assert derivations == ["2026-11-30", "2026-12-01"]

    signer.message(b"{}", KEYS._replace(token="renewed"))
    assert len(derivations) == 2
    renewed = head_lines(signer, b"{}", KEYS._replace(access_key="OTHER", secret_key="other", token=None))
    assert len(derivations) == 3
    assert "Credential=OTHER/" in renewed["Authorization"]
    assert "X-Amz-Security-Token" not in renewed
