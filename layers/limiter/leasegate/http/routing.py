"""Routing: which route a request is for, by its method and path; and what a route takes and answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a query, or a header; ``schema`` names what its text stands for."""

    name: str
    schema: str
    about: str
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path.

    Attributes:
        method: of HTTP.
        path: with parameters in braces.
        operation: names the operation, in code as in the document.
        summary: what it does, in a sentence.
        answers: the answers to success: the name of the body, or None without one, by status.
        problems: the statuses of its own problems; 400, 500 and 503 are everybody's, 415 of all that take a body.
        query: the parameters that the query may have.
        headers: the headers that it takes, besides those of all HTTP.
        instead_of_key: what to do where it is not safe to repeat and an Idempotency-Key is refused; else empty.
        body: the name of the body, or None where there must not be one.
        needs_body: whether the body must be there.
    """

    method: str
    path: str
    operation: str
    summary: str
    answers: Mapping[int, str | None]
    problems: tuple[int, ...] = ()
    query: tuple[Parameter, ...] = ()
    headers: tuple[Parameter, ...] = ()
    instead_of_key: str = ""
    body: str | None = None
    needs_body: bool = True


class RouteNotFound(LookupError):
    """Nothing is there; or ``allowed`` are the methods that the path takes."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        """Tell the methods."""
        self.allowed = allowed
        super().__init__(f"no such route; this path takes {', '.join(allowed) or 'nothing'}")


class RouteTable:
    """Finds routes by method and path; those that are answered ``elsewhere`` only show their methods."""

    def __init__(self, routes: Iterable[Route], elsewhere: Iterable[Route] = ()) -> None:
        """Hold these routes."""
        self._found = [(route.path.split("/"), route, True) for route in routes]
        self._found += [(route.path.split("/"), route, False) for route in elsewhere]

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """Return the route, and the parameters in the path by name; raise :class:`RouteNotFound` without one."""
        segments = path.split("/")
        allowed: list[str] = []
        for template, route, is_here in self._found:
            parameters = _parameters(template, segments)
            if parameters is None:
                continue
            if route.method == method and is_here:
                return route, parameters
            allowed.append(route.method)
        raise RouteNotFound(tuple(allowed))


def _parameters(template: list[str], segments: list[str]) -> dict[str, str] | None:
    if len(template) != len(segments):
        return None
    parameters: dict[str, str] = {}
    for part, segment in zip(template, segments, strict=True):
        if part.startswith("{") and segment:
            # No id has a percent sign: what has one was passed on as it stood in the URL.
            parameters[part[1:-1]] = unquote(segment) if "%" in segment else segment
        elif part != segment:
            return None
    return parameters
