"""Makes of what a direct attempt met the first attempt of botocore's standard path.

botocore asks the listeners to ``before-send`` for an answer before it sends a request itself. So the attempt that
was made is told there, and botocore does the rest as if it had made it: parse it, tell its listeners, decide
whether to repeat it, raise what it means.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from botocore.awsrequest import AWSResponse
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
    SSLError,
)
from botocore.httpsession import URLLib3Session
from urllib3.exceptions import ConnectTimeoutError as Urllib3ConnectTimeoutError
from urllib3.exceptions import NewConnectionError
from urllib3.exceptions import SSLError as Urllib3SSLError
from urllib3.util.ssl_match_hostname import CertificateError

from ..deadlines import Incoming
from .answers import Headers

if TYPE_CHECKING:
    from .connections import Answer, Unusual

type Met = AWSResponse | Exception
"""What an attempt met: an answer, or an exception of botocore's."""

_met: Final[ContextVar[Met | None]] = ContextVar("met", default=None)


def attempted(met: Met | None) -> Any:  # noqa: ANN401 - a token of a context variable
    """Have the next attempt on this thread be one that was made already; ``ended`` takes the token."""
    return _met.set(met)


def ended(token: Any) -> None:  # noqa: ANN401 - as above
    """Forget an attempt, told or not."""
    _met.reset(token)


def tell_first_attempt(**_event: object) -> AWSResponse | None:
    """Answer ``before-send`` with the attempt that was made, once."""
    met = _met.get()
    if met is None:
        return None
    _met.set(None)
    if isinstance(met, Exception):
        raise met
    return met


def read_unusual(unusual: Unusual, url: str) -> Met:
    """Read the rest of an answer that is not plain, as botocore would; return what it is, or the failure to."""
    connection = unusual.connection
    incoming: Any = Incoming(connection.sock, unusual.received)  # HTTPResponse only makes a file of it
    response = http.client.HTTPResponse(incoming, method="POST")
    try:
        response.begin()
        content = _content(response)
    except (OSError, http.client.HTTPException) as error:
        return as_botocore(error, url)
    finally:
        response.close()
        connection.close()
    headers: Any = response.headers  # as urllib3's, a mapping
    return AWSResponse(url, response.status, headers, _Body(content))


def as_it_came(answer: Answer, url: str) -> AWSResponse:
    """Return a plain answer for botocore to parse."""
    headers: Any = Headers(answer.head)
    return AWSResponse(url, answer.status, headers, _Body(answer.content))


def as_botocore(error: Exception, url: str) -> Exception:
    """Return what botocore would raise for a failure to connect, to send or to receive."""
    kind: type[Exception]
    if isinstance(error, NewConnectionError):
        kind = EndpointConnectionError
    elif isinstance(error, Urllib3ConnectTimeoutError):
        kind = ConnectTimeoutError
    elif isinstance(error, TimeoutError):
        kind = ReadTimeoutError
    elif isinstance(error, (ssl.SSLError, Urllib3SSLError, CertificateError)):
        kind = SSLError
    elif isinstance(error, (OSError, http.client.HTTPException)):
        kind = ConnectionClosedError
    else:
        kind = HTTPClientError
    met = kind(endpoint_url=url, error=error)
    met.__cause__ = error
    return met


def _content(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read()
    except http.client.IncompleteRead as cut_off:
        if response.chunked or not _takes_parts():
            raise
        return cut_off.partial  # botocore finds out by parsing it


@cache
def _takes_parts() -> bool:
    """Say whether this botocore takes a body that was cut off for what came of it, as 1.44 does, or for none."""
    constants = URLLib3Session.send.__code__.co_consts
    return any("enforce_content_length" in names for names in constants if isinstance(names, tuple))


class _Body:
    """A body that has been received, as ``AWSResponse`` reads one."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> Iterator[bytes]:
        return iter([self._content])
