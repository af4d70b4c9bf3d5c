"""Signature Version 4 for one kind of request, with all that lasts kept.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

The key lasts a day; everything but the body's hash lasts a second, for the time stands in it. So a signature is
two hashes, of the body and of the end of the canonical request, and one HMAC.
"""

from __future__ import annotations

import hmac
import time
from binascii import hexlify
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from botocore.auth import SIGNED_HEADERS_BLACKLIST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.credentials import ReadOnlyCredentials

UNSIGNED: Final = frozenset(SIGNED_HEADERS_BLACKLIST)
"""Headers, in lower case, that a signature leaves out."""

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_DATE_CHARACTERS: Final = 8


class Destination(NamedTuple):
    """Where requests go, as a signature names it."""

    host: str
    region: str
    service: str


class _Form(NamedTuple):
    """What the requests of one operation have in common for a second."""

    since_s: float
    """When that second began; a float, as time comes."""
    credentials: ReadOnlyCredentials
    head: bytes
    """The request's head up to the signature."""
    canonical: Any
    """The hash of the canonical request up to the body's own."""
    to_sign: bytes
    """The string to sign, up to the canonical request's hash."""
    key: bytes


class Signer:
    """Writes the requests of one operation; threads may share it."""

    def __init__(self, destination: Destination, headers: Mapping[str, str]) -> None:
        """Sign for a destination; ``headers`` are those that every request has."""
        self._destination = destination
        self._headers = dict(headers)
        self._form: _Form | None = None
        self._key: tuple[tuple[str, str], bytes] = (("", ""), b"")

    def message(self, body: bytes, credentials: ReadOnlyCredentials, unsigned: bytes = b"") -> bytes:
        """Return a whole request; ``unsigned`` are more header lines, ends included."""
        now_s = time.time()
        form = self._form
        if form is None or not 0 <= now_s - form.since_s < 1 or form.credentials != credentials:
            form = self._form = self._new_form(int(now_s), credentials)
        canonical = form.canonical.copy()
        canonical.update(sha256(body).hexdigest().encode())
        to_sign = form.to_sign + canonical.hexdigest().encode()
        signature = hexlify(hmac.digest(form.key, to_sign, "sha256"))
        return b"%b%b\r\nContent-Length: %d\r\n%b\r\n%b" % (form.head, signature, len(body), unsigned, body)

    def _new_form(self, second: int, credentials: ReadOnlyCredentials) -> _Form:
        stamp = time.strftime(_STAMP, time.gmtime(second))
        date = stamp[:_DATE_CHARACTERS]
        headers = {"Host": self._destination.host, **self._headers, "X-Amz-Date": stamp}
        if credentials.token:
            headers["X-Amz-Security-Token"] = credentials.token
        signed = sorted((name.lower(), " ".join(value.split())) for name, value in headers.items())
        signed = [(name, value) for name, value in signed if name not in UNSIGNED]
        names = ";".join([name for name, _ in signed])
        canonical = "".join([f"{name}:{value}\n" for name, value in signed])
        scope = f"{date}/{self._destination.region}/{self._destination.service}/aws4_request"
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        return _Form(
            float(second),
            credentials,
            f"POST / HTTP/1.1\r\n{lines}Authorization: {_ALGORITHM} Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={names}, Signature=".encode(),
            sha256(f"POST\n/\n\n{canonical}\n{names}\n".encode()),
            f"{_ALGORITHM}\n{stamp}\n{scope}\n".encode(),
            self._signing_key(credentials.secret_key or "", date),
        )

    def _signing_key(self, secret_key: str, date: str) -> bytes:
        made_of, key = self._key
        if made_of != (secret_key, date):
            key = f"AWS4{secret_key}".encode()
            for part in (date, self._destination.region, self._destination.service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key = (secret_key, date), key
        return key
