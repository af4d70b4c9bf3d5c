"""A request whose route is known: what its path, its query and its headers say, and its body.

Every mistake raises :class:`InvalidRequest` that names the field; nothing is ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..errors import InvalidRequest
from .bodies import CONTENT_TYPE, check_content_type, read_body, read_object
from .idempotency import IDEMPOTENCY_KEY, read_key
from .routing import Route

_MAX_NAME_LENGTH: Final = 100


@dataclass(frozen=True, slots=True)
class Request:
    """A request with no query parameter, no Idempotency-Key and no body that its route does not take.

    Attributes:
        route: what is asked for.
        path: the parameters in the path by name, without percent signs.
        query: the values of the query's parameters by name.
        headers: the values of the headers by name, in lower case.
        body: the body as text; base64, where ``is_base64``.
        is_base64: see there.
        actor: who asks, for the record.
        caller: whose leases and idempotency keys are meant.
        left_ms: says how much time is left to ask the table.
    """

    route: Route
    path: Mapping[str, str]
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, Sequence[str]]
    body: str | None
    is_base64: bool
    actor: str
    caller: str
    left_ms: Callable[[], int]

    def __post_init__(self) -> None:
        """Refuse what would be ignored otherwise."""
        known = {parameter.name for parameter in self.route.query}
        for name, values in self.query.items():
            if name not in known:
                known_names = ", ".join(sorted(known)) or "none here"
                raise InvalidRequest(
                    name[:_MAX_NAME_LENGTH], f"is unknown; the query parameters are {known_names}"
                )
            if len(values) != 1:
                raise InvalidRequest(name, "is given twice")
        if self.route.instead_of_key and self._key_values:
            raise InvalidRequest(IDEMPOTENCY_KEY, f"is not taken here; {self.route.instead_of_key}")
        if self.body and self.route.body is None:
            raise InvalidRequest("body", "must be empty")
        if self.body:
            check_content_type(self.headers.get(CONTENT_TYPE.lower(), ()))

    @property
    def entity_id(self) -> str:
        """The entity in the path."""
        return self.path["entity_id"]

    @property
    def resource(self) -> str:
        """The resource in the path."""
        return self.path["resource"]

    @property
    def lease_id(self) -> str:
        """The lease in the path."""
        return self.path["lease_id"]

    @property
    def idempotency_key(self) -> str | None:
        """The key under which it is to happen once; None without one."""
        return read_key(self._key_values)

    @property
    def _key_values(self) -> Sequence[str]:
        return self.headers.get(IDEMPOTENCY_KEY.lower(), ())

    @property
    def level(self) -> str:
        """The level whose limits the path names, in words."""
        names = [
            f"{key.removesuffix('_id')} {self.path[key]}" for key in ("entity_id", "resource") if key in self.path
        ]
        return " for ".join(names) or "the system"

    def timeout_ms(self, most: int) -> int:
        """Return the time for a call of the library: the time left, at most so much."""
        return max(0, min(self.left_ms(), most))

    def parameter(self, name: str, default: str | None = None) -> str | None:
        """Return a parameter of the query."""
        return self.query[name][0] if name in self.query else default

    def json(self) -> object:
        """Return the body, an empty object where there is none and need not be."""
        body = "{}" if not self.body and not self.route.needs_body else self.body
        return read_body(body, is_base64=self.is_base64 and bool(self.body))


def read_nothing(request: Request) -> None:
    """Take no body, or an empty object."""
    read_object("", request.json(), required=())
