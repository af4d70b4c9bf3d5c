"""The OpenAPI document: valid, up to date, and of one opinion with the code that reads bodies."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from openapi_spec_validator import validate

from leasegate import InvalidRequest, identifiers
from leasegate.http import administration as asked
from leasegate.http import spending
from leasegate.http.requests import Request, read_nothing
from leasegate.http.routes import ROUTES
from leasegate.http.routing import Route
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
STREAMS = {"name": "streams", "concurrent": 20, "lease_seconds": 60}
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
        {**LEAST, "limits": [STREAMS]},
        {**LEAST, "limits": [RPM, STREAMS, {"name": "tpm", "capacity": 1, "amount": 1, "period_ms": 1}]},
        {**LEAST, "limits": [{**STREAMS, "concurrent": 1_000, "lease_seconds": 86_400}]},
        {**LEAST, "limits": [{**STREAMS, "concurrent": 1_001}]},
        {**LEAST, "limits": [{**STREAMS, "lease_seconds": 86_401}]},
        {**LEAST, "limits": [{**STREAMS, "lease_seconds": 0}]},
        {**LEAST, "limits": [{**STREAMS, "amount": 1}]},
        {**LEAST, "limits": [{"name": "streams", "concurrent": 1}]},
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
        {**LEAST, "durable": True, "expires_in": 600, "on_expiry": "keep"},
        {**LEAST, "durable": "if_held"},
        {**LEAST, "durable": None},
        {**LEAST, "expires_in": 604_800},
        {**LEAST, "expires_in": 604_801},
        {**LEAST, "expires_in": 0},
        {**LEAST, "expires_in": 1.5},
        {**LEAST, "on_expiry": "release"},
        {**LEAST, "on_expiry": "give"},
        {**LEAST, "idempotency_key": "a"},
        {**LEAST, "more": 1},
    ],
    "acquire_batch": [
        {},
        [],
        {"requests": []},
        {"requests": LEAST},
        {"requests": [LEAST]},
        {"requests": [LEAST] * 25},
        {"requests": [LEAST] * 26},
        {"requests": [{**LEAST, "idempotency_key": "a" * 255, "durable": False}]},
        {"requests": [LEAST], "more": 1},
    ],
    "settle_lease": [
        {},
        {"actual": {"tpm": 812}},
        {"actual": {"tpm": 0, "rpm": 1}},
        {"actual": {"tpm": -1}},
        {"actual": {}},
        {"actual": None},
        {"actual": {"tpm": 1}, "more": 1},
    ],
    "release_lease": [{}, {"actual": {"tpm": 1}}, []],
    "renew_lease": [{}, {"expires_in": 60}, {"expires_in": 0}, {"expires_in": None}, {"more": 1}],
    "adjust": [
        {},
        {"entity_id": "key-1", "resource": "gpt-4", "adjust": {"tpm": 312, "rpm": -1}},
        {"entity_id": "key-1", "resource": "gpt-4", "adjust": {"tpm": -(10**12)}, "cascade": False},
        {"entity_id": "key-1", "resource": "gpt-4", "adjust": {"tpm": -(10**12) - 1}},
        {"entity_id": "key-1", "resource": "gpt-4", "adjust": {}},
        {"entity_id": "key-1", "resource": "gpt-4", "adjust": {"tpm": 1}, "cascade": "transaction"},
        {"entity_id": "key-1", "resource": "gpt-4", "adjust": {"tpm": 1}, "limits": [RPM]},
        {"entity_id": "key-1", "resource": "a/b", "adjust": {"tpm": 1}},
    ],
    "set_entity_limits": [
        {},
        {"limits": [RPM]},
        {"limits": [RPM], "more": 1},
        {"limits": [STREAMS]},
        {"limits": [{**STREAMS, "concurrent": 0}]},
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
    "acquire": spending.read_acquire,
    "acquire_batch": spending.read_batch,
    "settle_lease": spending.read_actual,
    "release_lease": read_nothing,
    "renew_lease": spending.read_renewal,
    "adjust": spending.read_adjustment,
    "set_entity_limits": asked.read_limits_of,
    "put_entity": asked.read_entity,
    "update_entity": asked.read_entity_changes,
    "disable_entity": asked.read_switch,
    "enable_resource": read_nothing,
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
    request = Request(
        route,
        path={},
        query={},
        headers={},
        body=json.dumps(body),
        is_base64=False,
        actor="",
        caller="",
        left_ms=lambda: 0,
    )
    try:
        READERS[operation](request)
    except InvalidRequest:
        taken = False
    else:
        taken = True
    assert route.body is not None
    assert fits(route.body, body) is taken
