"""The direct path of one client: whether it is open, where it leads, and one attempt over it."""

from __future__ import annotations

import logging
import os
from json import loads
from types import MethodType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from urllib.parse import urlsplit

import botocore.handlers

from .answers import Response, understood
from .connections import Connections, Unusual
from .handover import as_botocore, as_it_came, read_unusual, tell_first_attempt
from .signing import UNSIGNED, Destination, Signer
from .trust import missing, stranger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.client import BaseClient
    from botocore.credentials import ReadOnlyCredentials

    from .handover import Met
    from .requests import Sketch

_SIGNATURE: Final = "v4"
_DEFAULT_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}

_logger = logging.getLogger("leasegate.direct")


class Way(NamedTuple):
    """How the requests of one operation are sent."""

    url: str
    signer: Signer
    connections: Connections


class Detour(NamedTuple):
    """A call that botocore has to finish; ``met`` is what its first attempt met, None if there was none yet."""

    met: Met | None


class DirectPath:
    """What a client keeps of the direct path; its threads share it."""

    def __init__(self, client: BaseClient) -> None:
        """Look whether the client is as it must be."""
        self._client = cast("Any", client)  # of most that is used here, its types say nothing
        self._seen: object = None
        self._obstacles: dict[str, str | None] = {}
        self._ways: dict[tuple[str, object], Way | None] = {}
        self.connections: dict[str, Connections] = {}
        """Those that are open, by address."""
        self._detours = 0
        self._missing = missing(client)
        self._metadata = _metadata(self._client.meta.config.retries or {})
        if self._missing is not None:
            _logger.warning("calls take the SDK's own path: %s is not as expected", self._missing)
            return
        events = self._client.meta.events
        events.register_first("before-send.dynamodb", tell_first_attempt, "leasegate-first-attempt")
        if "AWS_LAMBDA_FUNCTION_NAME" not in os.environ:
            # It would look for that name at each call, in vain, and take longer for it than the signature does.
            events.unregister("before-call", botocore.handlers.add_recursion_detection_header)

    def obstacle(self, operation: str) -> str | None:
        """Return why requests of an operation take botocore's own path; None if they go directly."""
        if self._missing is not None:
            self._detours += 1
            return self._missing
        registered = self._client.meta.events._emitter._lookup_cache  # noqa: SLF001 - a new one with each change
        if registered is not self._seen:
            self._obstacles = {}
            self._seen = registered
        try:
            return self._obstacles[operation]
        except KeyError:
            found = self._obstacles[operation] = stranger(self._client, operation)
            if found is not None:
                _logger.info("%s takes the SDK's own path: there is %s", operation, found)
            return found

    def take_detours(self) -> int:
        """Return how many calls botocore had to finish, or to make whole, since this was last asked.

        Those that somebody's listener or a proxy keeps from going directly are not counted: that is as was meant.
        """
        detours, self._detours = self._detours, 0
        return detours

    def credentials(self) -> ReadOnlyCredentials | None:
        """Return what to sign with; None if there is nothing, which botocore is to say."""
        try:
            found: ReadOnlyCredentials = self._client._request_signer._credentials.get_frozen_credentials()  # noqa: SLF001 - trust looked for it
        except Exception:  # noqa: BLE001 - whatever it is, botocore meets it again, and raises it where it should
            return None
        return found

    def way(self, operation: str, credentials: ReadOnlyCredentials) -> Way | None:
        """Return the way of an operation's requests; None if it is not known, or there is none.

        Raises ``KeyError`` if it was not yet explored.
        """
        return self._ways[operation, _account_of(credentials)]

    def explore(
        self,
        operation: str,
        credentials: ReadOnlyCredentials,
        whole: Mapping[str, Any],
        parameters: Mapping[str, Any],
        context: Mapping[str, Any],
    ) -> Way | None:
        """Learn the way of an operation's requests from one that botocore prepared, if they can go directly."""
        way = self._way_of(whole, parameters, context)
        if way is None:
            _logger.warning("%s takes the SDK's own path: its requests are not as expected", operation)
        self._ways[operation, _account_of(credentials)] = way
        return way

    def _way_of(
        self, whole: Mapping[str, Any], parameters: Mapping[str, Any], context: Mapping[str, Any]
    ) -> Way | None:
        url = urlsplit(whole["url"])
        signing = context.get("signing", {})
        signer = self._client._request_signer  # noqa: SLF001 - trust looked for it
        plain = (
            whole["method"] == "POST"
            and url.path in ("", "/")
            and not url.query
            and not whole.get("query_string")
            and url.scheme in _DEFAULT_PORTS
            and (context.get("auth_type") or signer.signature_version) == _SIGNATURE
            and loads(whole["body"]) == parameters
        )
        if not plain or self._client._endpoint.http_session._proxy_config.proxy_url_for(whole["url"]):  # noqa: SLF001 - as above
            return None
        host = url.hostname or ""
        if ":" in host:
            host = f"[{host}]"
        if url.port not in (None, _DEFAULT_PORTS[url.scheme]):
            host = f"{host}:{url.port}"
        destination = Destination(
            host, signing.get("region") or signer.region_name, signing.get("signing_name") or signer.signing_name
        )
        headers = {name: _text(value) for name, value in whole["headers"].items()}
        return Way(whole["url"], Signer(destination, headers), self._connections_to(whole["url"]))

    def _connections_to(self, url: str) -> Connections:
        address = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        session, config = self._client._endpoint.http_session, self._client.meta.config  # noqa: SLF001 - as above

        def new_connection() -> Any:  # noqa: ANN401 - urllib3's
            pool = session._manager.connection_from_url(address)  # noqa: SLF001 - as above
            session._setup_ssl_cert(pool, address, session._verify)  # noqa: SLF001 - as above
            return pool._new_conn()  # noqa: SLF001 - a pool's settings reach a connection in no other way

        return self.connections.setdefault(
            address, Connections(new_connection, config.read_timeout, config.max_pool_connections)
        )

    def send(
        self, way: Way, credentials: ReadOnlyCredentials, sketch: Sketch
    ) -> tuple[Response, dict[str, Any]] | Detour:
        """Make one attempt; return the answer as botocore would, or what it has to make of it."""
        unsigned = self._headers_of_listeners(way, sketch)
        if unsigned is None:
            return self._detour(None)
        body = sketch.request.body.encode()
        message = way.signer.message(body, credentials, unsigned)
        try:
            connection = way.connections.take()
        except Exception as error:  # noqa: BLE001 - what botocore raises for it is told as the attempt's end
            return self._detour(as_botocore(error, way.url))
        try:
            answer = connection.exchange(message)
        except Unusual as unusual:
            return self._detour(read_unusual(unusual, way.url))
        except OSError as error:
            connection.close()
            return self._detour(as_botocore(error, way.url))
        except BaseException:
            connection.close()
            raise
        way.connections.give_back(connection, answer)
        found = understood(way.url, answer, self._metadata)
        return self._detour(as_it_came(answer, way.url)) if found is None else found

    def _headers_of_listeners(self, way: Way, sketch: Sketch) -> bytes | None:
        """Return the headers that a trace adds, as lines; None if somebody changed more of the request."""
        headers: dict[str, Any] = sketch["headers"]
        if not sketch.is_as_it_was(way.url):
            return None
        prepare = self._client._endpoint.prepare_request  # noqa: SLF001 - trust looked for it
        if type(prepare) is not MethodType:  # aws_xray_sdk puts its header into what passes through here
            headers = dict(headers)
            prepare(_Passing(way.url, headers))
        if not headers:
            return b""
        lines = b""
        for name, value in headers.items():
            line = f"{name}: {_text(value)}"
            if name.lower() not in UNSIGNED or not line.isprintable() or not line.isascii():
                return None
            lines += f"{line}\r\n".encode()
        return lines

    def _detour(self, met: Met | None) -> Detour:
        self._detours += 1
        return Detour(met)

    def close_connections(self) -> None:
        """End the idle connections."""
        for connections in list(self.connections.values()):
            connections.close()


def _account_of(credentials: ReadOnlyCredentials) -> str | None:
    """Return the account that an endpoint may be named after; an older botocore does not say."""
    return getattr(credentials, "account_id", None)


def _metadata(retries: Mapping[str, Any]) -> Mapping[str, object]:
    """Return what botocore says of the answer to a first attempt, for these settings of retries."""
    if retries.get("mode") == "standard" and retries.get("total_max_attempts") == 1:
        return {"MaxAttemptsReached": True, "RetryAttempts": 0}  # of success too
    return {"RetryAttempts": 0}


class _Passing:
    """What a patched ``prepare_request`` sees of a request."""

    def __init__(self, url: str, headers: dict[str, Any]) -> None:
        self.url = url
        self.headers = headers

    def prepare(self) -> None:
        """Do nothing: it is prepared elsewhere."""


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
