"""What an administrator asks: bodies and queries, as the arguments of the library's methods.

Only their form is read here; what ids, names and numbers may be the library itself checks, with the same names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypedDict, cast

from ..errors import InvalidRequest
from ..flows.usage import Metric
from ..limits import Limit
from ..windows import Window
from .bodies import check_object, read_object
from .limits import read_limits
from .requests import Request
from .spending import read_amounts
from .times import read_time

_NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


class EntityFields(TypedDict, total=False):
    """The whole of an entity, as ``put_entity`` takes it."""

    parent_id: str | None
    name: str | None
    metadata: Mapping[str, str]


class EntityChanges(TypedDict, total=False):
    """What is to change of an entity, as ``update_entity`` takes it."""

    parent_id: str | None
    name: str | None
    metadata: Mapping[str, str | None] | None


class Reset(TypedDict, total=False):
    """The arguments of ``reset``."""

    resource: str
    limits: list[str]
    operation_id: str


class TopUp(TypedDict, total=False):
    """The arguments of ``top_up``."""

    resource: str
    tokens: Mapping[str, int]
    operation_id: str


class PageQuery(TypedDict, total=False):
    """Which page of a listing."""

    cursor: str
    page_size: int


class UsageQuery(TypedDict, total=False):
    """Which windows of usage, as ``usage`` takes it."""

    window: Window
    start_ms: int
    end_ms: int


class RankingQuery(TypedDict, total=False):
    """Which window of usage, and what to rank by, as ``resource_usage`` takes it."""

    window: Window
    at_ms: int
    by: Metric
    limit_name: str


def read_entity(request: Request) -> EntityFields:
    """Read ``{"parent_id": "project-1", "name": "Key 1", "metadata": {"plan": "gold"}}``, all of them optional.

    A null is as good as absent, so that what a GET showed can be put back.
    """
    fields = _entity(request)
    if "metadata" in fields:
        check_object("metadata", fields["metadata"])
    return cast("EntityFields", fields)


def read_entity_changes(request: Request) -> EntityChanges:
    """Read a merge patch (RFC 7396) of the same: null removes, and metadata are merged."""
    fields = _entity(request)
    if fields.get("metadata") is not None:
        check_object("metadata", fields["metadata"])
    return cast("EntityChanges", fields)


def _entity(request: Request) -> dict[str, object]:
    return dict(read_object("", request.json(), required=(), optional=("parent_id", "name", "metadata")))


def read_limits_of(request: Request) -> tuple[Limit, ...]:
    """Read ``{"limits": [...]}``."""
    return read_limits("limits", read_object("", request.json(), required=("limits",))["limits"])


def read_switch(request: Request) -> str | None:
    """Read ``{"resource": "gpt-4"}``; no body, or an empty object, means all resources."""
    fields = read_object("", request.json(), required=(), optional=("resource",))
    return _string("resource", fields["resource"]) if "resource" in fields else None


def read_reset(request: Request) -> Reset:
    """Read ``{"resource": "gpt-4", "limits": ["rpm"], "operation_id": "2026-11-refund"}``."""
    fields = read_object("", request.json(), required=("resource",), optional=("limits", "operation_id"))
    _check_operation(fields)
    if "limits" in fields:
        names = fields["limits"]
        if not isinstance(names, list) or not names:
            raise InvalidRequest("limits", "must be an array of names of limits, not empty")
        for index, name in enumerate(names):
            _string(f"limits[{index}]", name)
    return cast("Reset", fields)


def read_top_up(request: Request) -> TopUp:
    """Read ``{"resource": "gpt-4", "tokens": {"tpm": 5000}, "operation_id": "2026-11-refund"}``."""
    fields = read_object("", request.json(), required=("resource", "tokens"), optional=("operation_id",))
    _check_operation(fields)
    read_amounts("tokens", fields["tokens"])
    return cast("TopUp", fields)


def _check_operation(fields: Mapping[str, object]) -> None:
    _string("resource", fields["resource"])
    if "operation_id" in fields:
        _string("operation_id", fields["operation_id"])


def read_page(request: Request) -> PageQuery:
    """Read ``?cursor=...&page_size=50``."""
    query: PageQuery = {}
    if (cursor := request.parameter("cursor")) is not None:
        query["cursor"] = cursor
    if (page_size := request.parameter("page_size")) is not None:
        if not _NUMBER.fullmatch(page_size):
            raise InvalidRequest("page_size", "must be an integer")
        query["page_size"] = int(page_size)
    return query


def read_usage_query(request: Request) -> UsageQuery:
    """Read ``?window=hour&from=2026-11-21T22:00Z&to=1795302000000``, all of them optional."""
    query: UsageQuery = {}
    # Whatever else they may be, the library refuses it.
    if (window := request.parameter("window")) is not None:
        query["window"] = cast("Window", window)
    if (start := request.parameter("from")) is not None:
        query["start_ms"] = read_time("from", start)
    if (end := request.parameter("to")) is not None:
        query["end_ms"] = read_time("to", end)
        if query["end_ms"] <= query.get("start_ms", 0):
            raise InvalidRequest("to", "must be later than from, or than 1970")
    return query


def read_ranking_query(request: Request) -> RankingQuery:
    """Read ``?window=day&at=2026-11-21&by=tokens&limit_name=tpm``, all of them optional."""
    query: RankingQuery = {}
    # Whatever else they may be, the library refuses it.
    if (window := request.parameter("window")) is not None:
        query["window"] = cast("Window", window)
    if (at := request.parameter("at")) is not None:
        query["at_ms"] = read_time("at", at)
    if (by := request.parameter("by")) is not None:
        query["by"] = cast("Metric", by)
    if (limit_name := request.parameter("limit_name")) is not None:
        query["limit_name"] = limit_name
    return query


def read_flag(request: Request, name: str, *, default: bool) -> bool:
    """Read ``?name=true`` or ``?name=false``."""
    value = request.parameter(name)
    if value not in (None, "true", "false"):
        raise InvalidRequest(name, "must be true or false")
    return default if value is None else value == "true"


def read_required(request: Request, name: str) -> str:
    """Read a parameter of the query that must be there."""
    value = request.parameter(name)
    if value is None:
        raise InvalidRequest(name, "is required")
    return value


def _string(path: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(path, "must be a string")
    return value
