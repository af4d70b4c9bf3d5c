"""The OpenAPI document: valid, up to date, and of one opinion with the code that reads bodies."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from openapi_spec_validator import validate

from leasegate import InvalidRequest, identifiers
from leasegate.http import administration as asked
from leasegate.http.requests import Request, parse_acquire
from leasegate.http.routes import ROUTES, Route
from leasegate.http.schemas import SCHEMAS
from scripts.openapi import DOCUMENT, PAGE, render_document, render_page
from tests.contract import document, fits


def test_the_document_is_openapi() -> None:
    validate(document())


def test_the_document_and_the_page_are_what_make_openapi_writes() -> None:
    assert render_document() == DOCUMENT.read_text()
    assert render_page(PAGE.read_text()) == PAGE.read_text()


def test_every_route_is_in_the_document_once() -> None:
    operations = [operation["operationId"] for path in document()["paths"].values() for operation in path.values()]
    assert sorted(operations) == sorted(route.operation for route in ROUTES)
    assert len(set(operations)) == len(operations)


def test_every_schema_is_used() -> None:
    text = json.dumps(document())
    assert [name for name in SCHEMAS if f'"#/components/schemas/{name}"' not in text] == []


def test_ids_are_what_the_library_takes() -> None:
    assert SCHEMAS["Identifier"]["pattern"] == f"^{identifiers._IDENTIFIER.pattern}$"
    assert SCHEMAS["LimitName"]["pattern"] == f"^{identifiers._LIMIT_NAME.pattern}$"


# --- bodies: the schemas and the code that reads them take the same -----------------------------------

RPM = {"name": "rpm", "amount": 60, "period": "minute"}
LEAST = {"entity_id": "key-1", "resource": "gpt-4", "consume": {"rpm": 1}}

BODIES: dict[str, list[Any]] = {
    "acquire": [
        LEAST,
        {},
        [],
        {**LEAST, "limits": [RPM]},
        {**LEAST, "limits": [{**RPM, "burst": 1}]},
        {**LEAST, "limits": [{"name": "rpm", "capacity": 1, "amount": 1, "period_ms": 1}]},
        {**LEAST, "limits": [{"name": "rpm", "capacity": 1, "amount": 1, "period": "day"}]},
        {**LEAST, "limits": 1},
        {**LEAST, "consume": {"rpm": -1}},
        {**LEAST, "consume": {"RPM": 1}},
        {**LEAST, "consume": {}},
        {**LEAST, "consume": {"rpm": 10**12 + 1}},
        {**LEAST, "cascade": "transaction"},
        {**LEAST, "cascade": "no"},
        {**LEAST, "cascade": False},
        {**LEAST, "cascade": 1},
        {**LEAST, "parent_id": "a/b"},
        {**LEAST, "parent_id": None},
        {**LEAST, "entity_id": "k" * 257},
        {**LEAST, "more": 1},
    ],
    "set_entity_limits": [
        {},
        {"limits": [RPM]},
        {"limits": [RPM], "more": 1},
        {"limits": [{**RPM, "amount": 0}]},
        {"limits": [{**RPM, "period": "year"}]},
        {"limits": [{**RPM, "name": "n" * 33}]},
        {"limits": {}},
    ],
    "put_entity": [
        {},
        {"name": None},
        {"parent_id": None},
        {"metadata": {"a": "b"}},
        {"metadata": []},
        {"more": 1},
    ],
    "update_entity": [{}, {"metadata": None}, {"metadata": {"a": None}}, {"metadata": 1}],
    "disable_entity": [{}, {"resource": "gpt-4"}, {"resource": None}, {"more": 1}],
    "enable_resource": [{}, {"resource": "gpt-4"}, []],
    "reset": [
        {},
        {"resource": "gpt-4"},
        {"resource": 1},
        {"resource": "gpt-4", "limits": []},
        {"resource": "gpt-4", "limits": ["rpm"], "operation_id": "a"},
        {"resource": "gpt-4", "operation_id": 1},
    ],
    "top_up": [
        {},
        {"resource": "gpt-4"},
        {"resource": "gpt-4", "tokens": {"rpm": 1}},
        {"resource": "gpt-4", "tokens": {}},
        {"resource": "gpt-4", "tokens": {"rpm": 1.5}},
    ],
}
READERS: dict[str, Callable[[Request], object]] = {
    "acquire": lambda request: parse_acquire(request.body),
    "set_entity_limits": asked.read_limits_of,
    "put_entity": asked.read_entity,
    "update_entity": asked.read_entity_changes,
    "disable_entity": asked.read_switch,
    "enable_resource": asked.read_nothing,
    "reset": asked.read_reset,
    "top_up": asked.read_top_up,
}


def route_of(operation: str) -> Route:
    return next(route for route in ROUTES if route.operation == operation)


@pytest.mark.parametrize(
    ("operation", "body"),
    [(operation, body) for operation, bodies in BODIES.items() for body in bodies],
    ids=repr,
)
def test_the_schema_takes_what_the_code_takes(operation: str, body: object) -> None:
    route = route_of(operation)
    request = Request(route, {}, {}, json.dumps(body), is_base64=False, actor="", left_ms=lambda: 0)
    try:
        READERS[operation](request)
    except InvalidRequest:
        taken = False
    else:
        taken = True
    assert route.body is not None
    assert fits(route.body, body) is taken
