"""What a caller asks: a request whose route is known, and the body of ``POST /acquire``.

Every mistake raises :class:`InvalidRequest` that names the field; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..errors import InvalidRequest
from ..flows.grants import Cascade, check_cascade
from ..identifiers import check_amounts, check_identifier
from ..limits import MAX_LIMITS, Limit
from .bodies import check_object, read_body, read_object
from .limits import read_limits
from .routes import Route

_MAX_NAME_LENGTH: Final = 100


@dataclass(frozen=True, slots=True)
class Request:
    """A request with no query parameter and no body that its route does not take.

    Attributes:
        route: what is asked for.
        path: the parameters in the path by name, without percent signs.
        query: the values of the query's parameters by name.
        body: the body as text; base64, where ``is_base64``.
        is_base64: see there.
        actor: who asks.
        left_ms: says how much time is left to ask the table.
    """

    route: Route
    path: Mapping[str, str]
    query: Mapping[str, Sequence[str]]
    body: str | None
    is_base64: bool
    actor: str
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
        if self.body and self.route.body is None:
            raise InvalidRequest("body", "must be empty")

    @property
    def entity_id(self) -> str:
        """The entity in the path."""
        return self.path["entity_id"]

    @property
    def resource(self) -> str:
        """The resource in the path."""
        return self.path["resource"]

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


@dataclass(frozen=True, slots=True)
class AcquireRequest:
    """The body of ``POST /acquire``; the fields are the arguments of :meth:`Limiter.acquire`."""

    entity_id: str
    resource: str
    consume: Mapping[str, int]
    limits: tuple[Limit, ...] | None
    parent_id: str | None
    cascade: Cascade


def parse_acquire(body: str | None, *, is_base64: bool = False) -> AcquireRequest:
    """Read the body of ``POST /acquire``, base64 as API Gateway passes on what it takes for binary.

    ::

        {"entity_id": "key-1", "resource": "gpt-4", "consume": {"rpm": 1, "tpm": 500},
         "limits": [{"name": "rpm", "amount": 60, "period": "minute"},
                    {"name": "tpm", "capacity": 20000, "amount": 10000, "period_ms": 60000}],
         "parent_id": "project-1", "cascade": true}

    The first three are required. ``cascade`` is true, false or ``"transaction"``. There is no null for absent.
    """
    fields = read_object(
        "",
        read_body(body, is_base64=is_base64),
        required=("entity_id", "resource", "consume"),
        optional=("limits", "parent_id", "cascade"),
    )
    return AcquireRequest(
        entity_id=check_identifier("entity_id", fields["entity_id"]),
        resource=check_identifier("resource", fields["resource"]),
        consume=read_amounts("consume", fields["consume"]),
        limits=read_limits("limits", fields["limits"]) if "limits" in fields else None,
        parent_id=check_identifier("parent_id", fields["parent_id"]) if "parent_id" in fields else None,
        cascade=check_cascade(fields.get("cascade", True)),
    )


def read_amounts(path: str, value: object) -> dict[str, int]:
    """Read tokens by limit name, of as many limits as a bucket can have."""
    amounts = check_amounts(path, check_object(path, value))
    if len(amounts) > MAX_LIMITS:
        raise InvalidRequest(path, f"must name at most {MAX_LIMITS} limits, not {len(amounts)}")
    return amounts
