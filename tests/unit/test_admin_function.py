"""The admin function on moto: every route with what it should be asked, and with what it should not."""

from __future__ import annotations

import base64
import json
import re
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from leasegate import Administrator, Limit, Limiter
from leasegate.http.routes import ADMINISTRATION, ROUTES
from leasegate.http.routing import Route, RouteTable
from leasegate.limits import DAY_MS, HOUR_MS
from leasegate.repository.dynamodb import DynamoRepository
from leasegate.session import ANSWER_MARGIN_MS
from tests.fixtures.functions import TABLE_NAME, Launch
from tests.functions import OPERATOR, Context, Function, Response, api_events, counts, lines, request
from tests.metered import count_all, spent
from tests.samples import ADMIN, EVENTS, load_event, seed

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

RPM = {"name": "rpm", "amount": 60, "period": "minute"}
RPM_SHOWN = {"name": "rpm", "capacity": 60, "amount": 60, "period_ms": 60_000}

BODIES: dict[str, object] = {
    "put_entity": {"name": "Key 1"},
    "update_entity": {"name": "Key 1"},
    "disable_entity": {"resource": "gpt-4"},
    "enable_entity": {"resource": "gpt-4"},
    "reset": {"resource": "gpt-4"},
    "top_up": {"resource": "gpt-4", "tokens": {"rpm": 1}},
    "finish_changes": None,
    "set_entity_limits": {"limits": [RPM]},
    "set_entity_resource_limits": {"limits": [RPM]},
    "set_resource_limits": {"limits": [RPM]},
    "set_system_limits": {"limits": [RPM]},
    "disable_resource": None,
    "enable_resource": None,
}
QUERIES = {
    "resolve_limits": "?resource=gpt-4",
    "available": "?resource=gpt-4",
    "list_usage": "?resource=gpt-4",
    "list_audit": "?scope=system",
}

ROUTE = pytest.mark.parametrize("route", ADMINISTRATION, ids=lambda route: route.operation)


def target(route: Route, entity_id: str = "key-1", resource: str = "gpt-4") -> str:
    """Write the address of a route, with what its query needs."""
    path = route.path.replace("{entity_id}", quote(entity_id, safe="")).replace(
        "{resource}", quote(resource, safe="")
    )
    return path + QUERIES.get(route.operation, "")


def with_query(address: str, query: str) -> str:
    return f"{address}{'&' if '?' in address else '?'}{query}"


@pytest.fixture
def function(moto_client: DynamoDBClient, launch: Launch) -> Function:
    """A cold process of the function, and its table."""
    return launch("admin")


# --- all routes ------------------------------------------------------------------------------------


def test_all_that_is_not_acquires_comes_here() -> None:
    spending = ("/acquire", "/acquire/batch", "/adjust", "/leases/{proxy+}")
    assert api_events("AcquireFunction") == {("POST", path) for path in spending}
    methods = ("GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE")
    assert api_events("AdminFunction") == {(method, "/{proxy+}") for method in methods}


def test_no_two_routes_fit_one_path() -> None:
    table = RouteTable(ROUTES)
    assert [table.find(route.method, route.path)[0] for route in ROUTES] == list(ROUTES)


def test_every_route_has_an_operation_and_no_operation_is_without(function: Function) -> None:
    assert set(function.module.OPERATIONS) == {route.operation for route in ADMINISTRATION}


@ROUTE
def test_what_is_there_is_found_and_changed(route: Route, function: Function, limiter: Limiter) -> None:
    prepare(limiter)
    response = function.send(route.method, target(route), BODIES.get(route.operation))
    assert response.status in route.answers
    assert int(response.headers["Leasegate-Round-Trips"]) > 0


def prepare(limiter: Limiter) -> None:
    """Store something of everything."""
    limiter.create_entity("project-1")
    limiter.create_entity("key-1", "project-1")
    limiter.set_limits("key-1", [Limit.per_minute("rpm", 60)])
    limiter.set_limits("key-1", [Limit.per_minute("rpm", 60)], resource="gpt-4")
    limiter.set_resource_defaults("gpt-4", [Limit.per_minute("rpm", 60)])
    limiter.set_system_defaults([Limit.per_minute("rpm", 60)])
    limiter.acquire("key-1", "gpt-4", {"rpm": 7})


UNKNOWN = {
    "get_entity": 404,
    "put_entity": 201,
    "update_entity": 404,
    "delete_entity": 404,
    "list_buckets": 404,
    "available": 404,
    "reset": 404,
    "top_up": 404,
    "get_entity_limits": 404,
    "delete_entity_limits": 404,
    "get_entity_resource_limits": 404,
    "delete_entity_resource_limits": 404,
    "get_resource_limits": 404,
    "delete_resource_limits": 404,
    "get_system_limits": 404,
    "delete_system_limits": 404,
    "finish_changes": 204,
}


@ROUTE
def test_of_what_is_not_there_every_route_says_so_or_has_nothing_to_show(route: Route, function: Function) -> None:
    response = function.send(route.method, target(route), BODIES.get(route.operation))
    assert response.status == UNKNOWN.get(route.operation, 200)


def test_other_methods_are_refused_with_those_that_there_are(function: Function) -> None:
    for route in ADMINISTRATION:
        allowed = [other.method for other in ADMINISTRATION if other.path == route.path]
        for method in {"GET", "PUT", "PATCH", "POST", "DELETE", "HEAD", "OPTIONS"} - set(allowed):
            response = function.send(method, target(route), BODIES.get(route.operation))
            assert (response.status, response.headers["Allow"]) == (405, ", ".join(allowed)), route
            assert response.headers["Leasegate-Round-Trips"] == "0"


def test_other_paths_are_not_found(function: Function) -> None:
    for path in ("/entitys", "/entities/", "/entities//limits", "/entities/key-1/nothing", "/audit/a"):
        assert function.send("GET", path).status == 404


def test_a_path_with_a_slash_that_is_none_is_refused(function: Function) -> None:
    for path in ("/a%2Fb", "/entities/a%2Fb"):
        response = function.send("GET", path)
        assert (response.status, response.body["field"]) == (400, "path")


def test_a_wrong_method_of_acquire_ends_here_too(function: Function) -> None:
    event = request("GET", "/entities") | {"path": "/acquire", "pathParameters": {"proxy": "acquire"}}
    response = function.invoke(event)
    assert (response.status, response.headers["Allow"]) == (405, "POST")


def test_an_event_written_by_hand_may_have_the_simple_query_alone(function: Function) -> None:
    event = request("GET", "/entities?colour=red") | {"multiValueQueryStringParameters": None}
    assert function.invoke(event).body["field"] == "colour"


def test_a_gateway_may_leave_ids_encoded(function: Function) -> None:
    event = request("PUT", "/entities/a", "{}") | {"pathParameters": {"proxy": "entities/a%2Bb%40c"}}
    assert function.invoke(event).body["entity_id"] == "a+b@c"


@pytest.mark.parametrize("identifier", ["key#1", "k" * 257, "key 1", "ключ", "100%"])
def test_an_id_that_cannot_be_is_named(identifier: str, function: Function) -> None:
    for route in ADMINISTRATION:
        for field in re.findall(r"{(\w+)}", route.path):
            response = function.send(
                route.method, target(route, **{field: identifier}), BODIES.get(route.operation)
            )
            assert (response.status, response.body["field"]) == (400, field), route
            assert response.headers["Leasegate-Round-Trips"] == "0"


def test_an_unknown_parameter_of_the_query_is_named(function: Function) -> None:
    for route in ADMINISTRATION:
        address = with_query(target(route), "colour=red")
        response = function.send(route.method, address, BODIES.get(route.operation))
        assert (response.status, response.body["field"]) == (400, "colour"), route


def test_a_parameter_given_twice_is_named(function: Function) -> None:
    for route in ADMINISTRATION:
        for parameter in route.query:
            address = with_query(target(route).partition("?")[0], f"{parameter.name}=1&{parameter.name}=1")
            response = function.send(route.method, address)
            assert (response.status, response.body["field"]) == (400, parameter.name), route


def test_a_parameter_that_must_be_there_is_named(function: Function) -> None:
    for route in ADMINISTRATION:
        for parameter in route.query:
            if parameter.is_required:
                response = function.send(route.method, target(route).partition("?")[0])
                assert (response.status, response.body["field"]) == (400, parameter.name), route


@pytest.mark.parametrize(
    ("field", "body"),
    [("body", "{"), ("body", "[]"), ("body", "null"), ("colour", '{"colour": "red"}'), ("a", '{"a": 1, "a": 1}')],
)
def test_a_body_that_cannot_be_is_named(field: str, body: str, function: Function) -> None:
    for route in ADMINISTRATION:
        response = function.send(route.method, target(route), body)
        expected = field if route.body is not None else "body"
        assert (response.status, response.body["field"]) == (400, expected), route


def test_a_body_is_needed_where_the_route_says_so(function: Function) -> None:
    for route in ADMINISTRATION:
        if route.body is not None and route.needs_body:
            response = function.send(route.method, target(route))
            assert (response.status, response.body["field"]) == (400, "body"), route


def test_a_base64_body_is_read_too(function: Function) -> None:
    body = base64.b64encode(json.dumps({"name": "Key 1"}).encode()).decode()
    event = request("PUT", "/entities/key-1", body) | {"isBase64Encoded": True}
    assert function.invoke(event).status == 201


@pytest.mark.parametrize(
    "path", ["/entities", "/entities/key-1/children", "/entities/key-1/limits-by-resource", "/audit?scope=system"]
)
def test_a_page_that_cannot_be_is_named(path: str, function: Function) -> None:
    for parameter in ("cursor=nothing", "page_size=0", "page_size=1001", "page_size=ten", "page_size="):
        response = function.send("GET", with_query(path, parameter))
        assert (response.status, response.body["field"]) == (400, parameter.partition("=")[0])


# --- samples ---------------------------------------------------------------------------------------


def test_every_event_has_its_row_of_expectations() -> None:
    assert {path.stem for path in EVENTS.glob("admin_*.json")} == set(ADMIN)


@pytest.mark.parametrize("name", ADMIN)
def test_a_sample_shows_its_case_as_often_as_it_runs(name: str, function: Function, limiter: Limiter) -> None:
    for _ in range(2):
        seed(limiter)
        assert function.invoke(load_event(name)).status == ADMIN[name].status


# --- entities --------------------------------------------------------------------------------------


def test_an_entity_is_created_replaced_changed_and_deleted(function: Function) -> None:
    function.send("PUT", "/entities/project-1", {})
    created = function.send("PUT", "/entities/key-1", {"parent_id": "project-1", "metadata": {"plan": "gold"}})
    assert created.status == 201
    assert created.body["created_at_ms"] > 0
    assert (
        created.body.items()
        >= {
            "entity_id": "key-1",
            "parent_id": "project-1",
            "name": None,
            "metadata": {"plan": "gold"},
            "disabled_at_ms": None,
            "disabled_resources": {},
            "children": 0,
            "buckets": 0,
            "is_being_deleted": False,
            "has_pending_changes": False,
        }.items()
    )
    assert function.send("GET", "/entities/project-1").body["children"] == 1

    replaced = function.send("PUT", "/entities/key-1", {"parent_id": "project-1", "name": "Key"})
    assert (replaced.status, replaced.body["name"], replaced.body["metadata"]) == (200, "Key", {})
    assert function.send("GET", "/entities/key-1").body == replaced.body

    assert function.send("DELETE", "/entities/key-1").status == 204
    assert function.send("GET", "/entities/key-1").status == 404


def test_what_a_get_showed_can_be_put_back(function: Function) -> None:
    shown = function.send("PUT", "/entities/key-1", {"metadata": {"plan": "gold"}}).body
    again = {name: shown[name] for name in ("parent_id", "name", "metadata")}
    assert function.send("PUT", "/entities/key-1", again).body == shown


def test_a_patch_leaves_what_it_does_not_name_and_null_removes(function: Function) -> None:
    function.send("PUT", "/entities/key-1", {"name": "Key", "metadata": {"plan": "gold", "region": "eu"}})
    merged = function.send("PATCH", "/entities/key-1", {"metadata": {"plan": None, "tier": "1"}})
    assert (merged.body["name"], merged.body["metadata"]) == ("Key", {"region": "eu", "tier": "1"})
    removed = function.send("PATCH", "/entities/key-1", {"name": None, "metadata": None})
    assert (removed.body["name"], removed.body["metadata"]) == (None, {})
    assert function.send("PATCH", "/entities/key-1", {}).body == removed.body


def test_a_patch_of_the_parent_moves(function: Function) -> None:
    for entity_id in ("project-1", "project-2"):
        function.send("PUT", f"/entities/{entity_id}", {})
    function.send("PUT", "/entities/key-1", {"parent_id": "project-1"})
    function.send("PATCH", "/entities/key-1", {"parent_id": "project-2"})
    assert function.send("GET", "/entities/project-1/children").body == {"items": []}
    assert function.send("GET", "/entities/project-2/children").body == {"items": ["key-1"]}
    function.send("PATCH", "/entities/key-1", {"parent_id": None})
    assert function.send("GET", "/entities").body == {"items": ["key-1", "project-1", "project-2"]}


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(
    ("status", "field", "body"),
    [
        (400, "parent_id", {"parent_id": 7}),
        (400, "parent_id", {"parent_id": "a/b"}),
        (400, "parent_id", {"parent_id": "key-1"}),
        (404, None, {"parent_id": "nobody"}),
        (400, "name", {"name": 7}),
        (400, "name", {"name": ""}),
        (400, "name", {"name": "n" * 257}),
        (400, "metadata", {"metadata": []}),
        (400, "metadata", {"metadata": {str(number): "" for number in range(51)}}),
        (400, "metadata.plan", {"metadata": {"plan": 7}}),
        (400, "metadata.plan", '{"metadata": {"plan": "a", "plan": "b"}}'),
    ],
)
def test_an_entity_that_cannot_be_is_a_problem_that_names_the_field(
    status: int, field: str | None, body: object, method: str, function: Function
) -> None:
    function.send("PUT", "/entities/key-1", {})
    response = function.send(method, "/entities/key-1", body)
    assert (response.status, response.body.get("field")) == (status, field)


def test_null_metadata_are_for_patches_alone(function: Function) -> None:
    response = function.send("PUT", "/entities/key-1", {"metadata": None})
    assert (response.status, response.body["field"]) == (400, "metadata")


def test_an_entity_with_children_is_deleted_only_if_they_move(function: Function) -> None:
    function.send("PUT", "/entities/project-1", {})
    function.send("PUT", "/entities/key-1", {"parent_id": "project-1"})
    refused = function.send("DELETE", "/entities/project-1")
    assert refused.status == 409
    assert "children" in refused.body["detail"]
    wrong = function.send("DELETE", "/entities/project-1?children=drown")
    assert (wrong.status, wrong.body["field"]) == (400, "children")
    assert function.send("DELETE", "/entities/project-1?children=reparent").status == 204
    assert function.send("GET", "/entities/key-1").body["parent_id"] is None


def test_a_deletion_that_runs_out_of_time_says_so_and_goes_on(function: Function, limiter: Limiter) -> None:
    limiter.create_entity("key-1")
    limiter.set_limits("key-1", [Limit.per_minute("rpm", 60)])
    for number in range(3):
        limiter.acquire("key-1", f"model-{number}", {"rpm": 1})

    looks = iter([9_000, 9_000, 9_000])

    class Hourglass(Context):
        """Time for so many looks at the clock."""

        def get_remaining_time_in_millis(self) -> int:
            return next(looks, 2_000)

    begun = function.send("DELETE", "/entities/key-1", context=Hourglass())
    assert begun.status == 202
    assert begun.body["limits"] + begun.body["buckets"] + begun.body["children_moved"] >= 0
    assert function.send("GET", "/entities/key-1").body["is_being_deleted"] is True
    assert function.send("PUT", "/entities/key-1", {}).status == 409
    assert function.send("PUT", "/entities/key-1/limits", {"limits": [RPM]}).status == 409
    assert function.send("DELETE", "/entities/key-1").status == 204


def test_a_page_leads_to_the_next_until_there_is_none(function: Function) -> None:
    ids = [f"key-{number}" for number in range(5)]
    for entity_id in ids:
        function.send("PUT", f"/entities/{entity_id}", {})
    seen: list[str] = []
    query = "?page_size=2"
    for _ in range(3):
        page = function.send("GET", f"/entities{query}").body
        seen += page["items"]
        query = f"?page_size=2&cursor={page.get('cursor')}"
    assert seen == ids
    assert "cursor" not in page


def test_a_cursor_that_was_tampered_with_or_is_of_another_listing_is_refused(function: Function) -> None:
    for entity_id in ("key-1", "key-2"):
        function.send("PUT", f"/entities/{entity_id}", {})
    cursor = function.send("GET", "/entities?page_size=1").body["cursor"]
    flipped = cursor[:-1] + ("A" if cursor[-1] != "A" else "B")
    for address in (
        f"/entities?cursor={flipped}",
        f"/entities/key-1/children?cursor={cursor}",
        "/entities?cursor=",
    ):
        response = function.send("GET", address)
        assert (response.status, response.body["field"]) == (400, "cursor")


@pytest.mark.parametrize("identifier", ["user+alias@example.com", "a:b", "+", "@", "A.b_c-d", "k" * 256])
@pytest.mark.parametrize("encoded", [True, False])
def test_every_id_that_can_be_can_stand_in_a_path(identifier: str, encoded: bool, function: Function) -> None:
    path = f"/entities/{quote(identifier, safe='' if encoded else '+@:')}"
    assert function.send("PUT", path, {}).body["entity_id"] == identifier
    assert function.send("PUT", f"{path}/limits/{identifier}", {"limits": [RPM]}).status == 200
    listed = function.send("GET", f"{path}/limits-by-resource").body["items"]
    assert [entry["resource"] for entry in listed] == [identifier]


# --- limits ----------------------------------------------------------------------------------------


LEVELS = ["/entities/key-1/limits", "/entities/key-1/limits/gpt-4", "/resources/gpt-4/limits", "/system/limits"]


@pytest.mark.parametrize("path", LEVELS)
def test_limits_are_set_shown_and_deleted_on_every_level(path: str, function: Function) -> None:
    tpm = {"name": "tpm", "capacity": 20_000, "amount": 10_000, "period_ms": 60_000}
    assert function.send("GET", path).status == 404
    stored = function.send("PUT", path, {"limits": [tpm, RPM]})
    assert (stored.status, stored.body) == (200, {"limits": [RPM_SHOWN, tpm]})
    assert function.send("GET", path).body == stored.body
    assert function.send("DELETE", path).status == 204
    assert function.send("DELETE", path).status == 404
    assert function.send("GET", path).status == 404


@pytest.mark.parametrize(
    ("path", "level"),
    [
        ("/entities/key-1/limits", "entity key-1"),
        ("/entities/key-1/limits/gpt-4", "entity key-1 for resource gpt-4"),
        ("/resources/gpt-4/limits", "resource gpt-4"),
        ("/system/limits", "the system"),
    ],
)
def test_limits_that_are_not_there_are_named(path: str, level: str, function: Function) -> None:
    assert function.send("GET", path).body["detail"] == f"{level} has no limits"


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("limits", {}),
        ("limits", {"limits": None}),
        ("limits", {"limits": []}),
        ("limits", {"limits": [RPM, RPM]}),
        ("limits", {"limits": [{**RPM, "name": f"limit-{number}"} for number in range(17)]}),
        ("limits[0]", {"limits": [7]}),
        ("limits[0].name", {"limits": [{**RPM, "name": "RPM"}]}),
        ("limits[0].amount", {"limits": [{**RPM, "amount": 0}]}),
        ("limits[0].period", {"limits": [{**RPM, "period": "year"}]}),
        ("limits[0].period_ms", {"limits": [{**RPM_SHOWN, "period_ms": 1.0}]}),
        ("limits[0].burst", {"limits": [{**RPM_SHOWN, "burst": 1}]}),
    ],
)
def test_limits_that_cannot_be_are_a_problem_that_names_the_field(
    field: str, body: object, function: Function
) -> None:
    for path in LEVELS:
        response = function.send("PUT", path, body)
        assert (response.status, response.body["field"]) == (400, field)


def test_an_entitys_limits_are_listed_those_for_all_resources_first(function: Function) -> None:
    function.send("PUT", "/entities/key-1/limits/gpt-4", {"limits": [RPM]})
    function.send("PUT", "/entities/key-1/limits", {"limits": [RPM]})
    page = function.send("GET", "/entities/key-1/limits-by-resource").body
    assert page == {
        "items": [{"resource": None, "limits": [RPM_SHOWN]}, {"resource": "gpt-4", "limits": [RPM_SHOWN]}]
    }


def test_the_resolution_says_which_limits_hold_and_why(function: Function) -> None:
    nothing = function.send("GET", "/entities/key-1/resolution?resource=gpt-4").body
    assert (nothing["level"], nothing["limits"], nothing["levels"]) == (None, [], {})
    function.send("PUT", "/system/limits", {"limits": [RPM]})
    function.send("PUT", "/entities/key-1/limits", {"limits": [{**RPM, "amount": 5}]})
    function.send("POST", "/entities/key-1/disable", {"resource": "gpt-4"})
    resolution = function.send("GET", "/entities/key-1/resolution?resource=gpt-4").body
    five = {**RPM_SHOWN, "amount": 5, "capacity": 5}
    assert resolution == {
        "entity_id": "key-1",
        "resource": "gpt-4",
        "level": "entity",
        "limits": [five],
        "levels": {"entity": [five], "system": [RPM_SHOWN]},
        "reason": "limits are set on entity key-1 for all resources; none are set on entity key-1 for gpt-4",
        "disabled": True,
    }


def test_a_resource_is_listed_as_long_as_it_has_defaults(function: Function) -> None:
    assert function.send("GET", "/resources").body == {"items": []}
    for resource in ("gpt-4", "dall-e-3"):
        function.send("PUT", f"/resources/{resource}/limits", {"limits": [RPM]})
    assert function.send("GET", "/resources").body == {"items": ["dall-e-3", "gpt-4"]}
    assert function.send("GET", "/resources?consistent=false").body == {"items": ["dall-e-3", "gpt-4"]}
    function.send("DELETE", "/resources/gpt-4/limits")
    assert function.send("GET", "/resources?consistent=true").body == {"items": ["dall-e-3"]}
    response = function.send("GET", "/resources?consistent=perhaps")
    assert (response.status, response.body["field"]) == (400, "consistent")


# --- switches --------------------------------------------------------------------------------------


@pytest.fixture
def acquire(function: Function, launch: Launch, monkeypatch: pytest.MonkeyPatch) -> Function:
    """A process of the acquire function on the same table, that remembers no refusals."""
    monkeypatch.setenv("REFUSAL_MAX_AGE_MS", "0")
    return launch("acquire")


ASK = {"entity_id": "key-1", "resource": "gpt-4", "consume": {"rpm": 1}, "limits": [RPM]}


@pytest.mark.parametrize("body", [{"resource": "gpt-4"}, {}, None])
def test_a_disabled_entity_is_forbidden_to_spend(
    body: object, function: Function, acquire: Function, capsys: pytest.CaptureFixture[str]
) -> None:
    assert acquire.post(ASK).status == 200
    assert function.send("POST", "/entities/key-1/disable", body).body == {"disabled": True, "changed": True}
    assert function.send("POST", "/entities/key-1/disable", body).body == {"disabled": True, "changed": False}
    capsys.readouterr()
    forbidden = acquire.post(ASK)
    assert (forbidden.status, forbidden.headers["Content-Type"]) == (403, "application/problem+json")
    assert "disabled" in forbidden.body["detail"]
    assert counts(capsys)["Disabled"] == 1
    assert function.send("POST", "/entities/key-1/enable", body).body == {"disabled": False, "changed": True}
    assert acquire.post(ASK).status == 200


def test_a_disabled_resource_is_shown_as_such(function: Function) -> None:
    assert function.send("GET", "/resources/gpt-4").body == {
        "resource": "gpt-4",
        "limits": [],
        "disabled_at_ms": None,
    }
    assert function.send("POST", "/resources/gpt-4/disable").body == {"disabled": True, "changed": True}
    assert function.send("GET", "/resources/gpt-4").body["disabled_at_ms"] > 0
    assert function.send("POST", "/resources/gpt-4/enable", {}).body == {"disabled": False, "changed": True}
    assert function.send("POST", "/resources/gpt-4/enable").body == {"disabled": False, "changed": False}


# --- buckets ---------------------------------------------------------------------------------------


def test_a_bucket_is_shown_topped_up_and_reset(function: Function, limiter: Limiter) -> None:
    limiter.set_limits("key-1", [Limit("rpd", 100, 1, 86_400_000)], resource="gpt-4")
    limiter.acquire("key-1", "gpt-4", {"rpd": 90})

    def available() -> int:
        (bucket,) = function.send("GET", "/entities/key-1/buckets").body["items"]
        assert (bucket["resource"], bucket["source"]) == ("gpt-4", "entity_resource")
        left: int = bucket["limits"]["rpd"]["available"]
        return left

    assert available() == 10
    top_up = {"resource": "gpt-4", "tokens": {"rpd": 5}, "operation_id": "refund-1"}
    assert function.send("POST", "/entities/key-1/top-up", top_up).body == {"done": True}
    assert function.send("POST", "/entities/key-1/top-up", top_up).body == {"done": False}
    assert available() == 15
    other = function.send("POST", "/entities/key-1/top-up", {**top_up, "tokens": {"rpd": 6}})
    assert other.status == 422
    assert function.send("POST", "/entities/key-1/reset", {"resource": "gpt-4", "limits": ["rpd"]}).status == 200
    assert available() == 100


@pytest.mark.parametrize("operation", ["reset", "top-up"])
@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("resource", {}),
        ("resource", {"resource": 7}),
        ("resource", {"resource": "a/b"}),
        ("operation_id", {"resource": "gpt-4", "operation_id": 7}),
        ("operation_id", {"resource": "gpt-4", "operation_id": "a b"}),
    ],
)
def test_an_operation_that_cannot_be_is_a_problem_that_names_the_field(
    field: str, body: dict[str, object], operation: str, function: Function
) -> None:
    tokens = {"tokens": {"rpm": 1}} if operation == "top-up" else {}
    response = function.send("POST", f"/entities/key-1/{operation}", {**body, **tokens})
    assert (response.status, response.body["field"]) == (400, field)


@pytest.mark.parametrize(
    ("path", "field", "body"),
    [
        ("reset", "limits", {"limits": []}),
        ("reset", "limits", {"limits": "rpm"}),
        ("reset", "limits", {"limits": ["RPM"]}),
        ("reset", "limits", {"limits": ["tpm"]}),
        ("reset", "limits[0]", {"limits": [7]}),
        ("top-up", "tokens", {}),
        ("top-up", "tokens", {"tokens": {}}),
        ("top-up", "tokens.rpm", {"tokens": {"rpm": -1}}),
        ("top-up", "tokens.tpm", {"tokens": {"tpm": 1}}),
    ],
)
def test_limits_that_a_bucket_does_not_have_are_named(
    path: str, field: str, body: dict[str, object], function: Function
) -> None:
    function.send("PUT", "/entities/key-1/limits", {"limits": [RPM]})
    response = function.send("POST", f"/entities/key-1/{path}", {"resource": "gpt-4", **body})
    assert (response.status, response.body["field"]) == (400, field)


@pytest.mark.parametrize("body", [{"resource": 7}, {"resource": None}, {"resource": "a/b"}])
def test_a_switch_of_a_resource_that_cannot_be_names_it(body: object, function: Function) -> None:
    response = function.send("POST", "/entities/key-1/disable", body)
    assert (response.status, response.body["field"]) == (400, "resource")


@pytest.mark.parametrize(
    ("style", "fields"),
    [
        ("standard", {"RateLimit": '"rpd";r=4;t=86400,"project-1/rpd";r=100'}),
        ("legacy", {"X-RateLimit-Remaining": "4", "X-RateLimit-Limit": "10", "X-RateLimit-Reset": "86400"}),
    ],
)
@pytest.mark.parametrize("hint", ["", "&parent_id=project-1", "&parent_id=somebody-else"])
def test_what_is_available_is_shown_and_nothing_spent(
    style: str,
    fields: dict[str, str],
    hint: str,
    function: Function,
    limiter: Limiter,
    launch: Launch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limiter.create_entity("project-1")
    limiter.set_limits("project-1", [Limit.per_day("rpd", 100)], resource="gpt-4")
    limiter.create_entity("key-1", "project-1")
    limiter.set_limits("key-1", [Limit("rpd", 10, 1, 86_400_000)], resource="gpt-4")
    now_ns = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now_ns)  # so that nothing refills meanwhile
    limiter.acquire("key-1", "gpt-4", {"rpd": 6}, cascade=False)
    monkeypatch.setenv("RATE_LIMIT_HEADERS", style)
    for _ in range(2):
        response = launch("admin").send("GET", f"/entities/key-1/available?resource=gpt-4{hint}")
        assert response.body["limits"]["rpd"] == {"available": 4, "capacity": 10, "retry_after_ms": 0}
        assert [level["entity_id"] for level in response.body["ancestors"]] == ["project-1"]
        assert response.headers.items() >= fields.items()
        assert ("RateLimit" in response.headers) is (style == "standard")


def test_a_disabled_entity_has_nothing_available(function: Function, limiter: Limiter) -> None:
    prepare(limiter)
    limiter.disable_entity("key-1")
    assert function.send("GET", "/entities/key-1/available?resource=gpt-4").status == 403


@pytest.mark.parametrize(
    ("field", "query"),
    [("resource", "resource=a%2Fb"), ("resource", ""), ("parent_id", "resource=gpt-4&parent_id=a%2Fb")],
)
def test_what_is_available_of_what_cannot_be_names_the_field(field: str, query: str, function: Function) -> None:
    response = function.send("GET", f"/entities/key-1/available?{query}")
    assert (response.status, response.body["field"]) == (400, field)


@pytest.mark.parametrize("operation", ["reset", "top-up"])
def test_what_would_happen_twice_takes_an_operation_id_and_not_a_key(operation: str, function: Function) -> None:
    response = function.send(
        "POST", f"/entities/key-1/{operation}", {"resource": "gpt-4"}, headers={"Idempotency-Key": "a"}
    )
    assert (response.status, response.body["field"]) == (400, "Idempotency-Key")
    assert "operation_id" in response.body["detail"]


# --- usage -----------------------------------------------------------------------------------------


USAGE = "/entities/key-1/usage?resource=gpt-4"
RANKING = "/resources/gpt-4/usage"


@pytest.fixture
def counted(moto_client: DynamoDBClient) -> int:
    """Count three hours of key-1, and one of key-2, of the present day; return when it began."""
    now_ms = int(time.time() * 1000)
    day_ms = now_ms - now_ms % DAY_MS
    with DynamoRepository(moto_client, TABLE_NAME) as repository:
        hours = [spent("key-1", day_ms - hour * HOUR_MS, {"rpm": 3, "tpm": 500}, grants=3) for hour in range(3)]
        other = spent("key-2", day_ms, {"tpm": 900}, refused={"tpm": 4})
        count_all(repository, *hours, other)
    return day_ms


def starts(response: Response, from_ms: int) -> list[int]:
    return [(item["start_ms"] - from_ms) // HOUR_MS for item in response.body["items"]]


def test_an_entitys_usage_is_shown_window_by_window(function: Function, counted: int) -> None:
    shown = function.send("GET", f"{USAGE}&from={counted}")

    begin = datetime.fromtimestamp(counted / 1000, UTC)
    assert shown.body == {
        "items": [
            {
                "entity_id": "key-1",
                "resource": "gpt-4",
                "window": "hour",
                "start": f"{begin:%Y-%m-%d}T00:00:00Z",
                "end": f"{begin:%Y-%m-%d}T01:00:00Z",
                "start_ms": counted,
                "end_ms": counted + HOUR_MS,
                "grants": 3,
                "limits": {
                    "rpm": {"tokens": 3, "refused": 0, "peak": 3},
                    "tpm": {"tokens": 500, "refused": 0, "peak": 500},
                },
                "counted_at_ms": counted,
            }
        ]
    }
    assert shown.headers["Leasegate-Round-Trips"] == "1"


def test_windows_are_chosen_by_times_of_either_kind(function: Function, counted: int) -> None:
    def hours(query: str) -> list[int]:
        return starts(function.send("GET", USAGE + query), counted)

    begin = datetime.fromtimestamp(counted / 1000, UTC)
    east = (begin - timedelta(hours=1)).astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert hours("") == [-2, -1, 0]
    assert hours(f"&to={begin:%Y-%m-%d}") == [-2, -1]
    assert hours(f"&from={begin:%Y-%m-%dT%H:%MZ}") == [0]
    assert hours(f"&from={quote(east.isoformat(timespec='minutes'), safe='')}") == [-1, 0]
    assert hours(f"&from={counted - 2 * HOUR_MS}&to={counted - 1}") == [-2, -1]
    assert hours("&window=day") == [-24, 0]
    assert hours("&window=month&from=0") == []


def test_pages_of_usage_lead_through_all_windows(function: Function, counted: int) -> None:
    found: list[int] = []
    query = ""
    for _ in range(3):
        response = function.send("GET", f"{USAGE}&page_size=1{query}")
        found += starts(response, counted)
        query = f"&cursor={response.body.get('cursor')}"
    assert found == [-2, -1, 0]
    assert "cursor" not in response.body


def test_who_spent_a_resource_is_shown_most_first(function: Function, counted: int) -> None:
    def names(query: str) -> list[str]:
        response = function.send("GET", f"{RANKING}?{query}")
        return [item["entity_id"] for item in response.body["items"]]

    assert names("") == ["key-2", "key-1"]
    assert names("by=grants") == ["key-1", "key-2"]
    assert names("by=tokens&limit_name=rpm") == ["key-1", "key-2"]
    assert names(f"at={counted - 1}") == ["key-1"]
    assert names(f"window=hour&at={counted}") == ["key-2", "key-1"]
    first = function.send("GET", f"{RANKING}?page_size=1&by=refused")
    assert [item["limits"]["tpm"]["refused"] for item in first.body["items"]] == [4]
    second = function.send("GET", f"{RANKING}?page_size=1&by=refused&cursor={first.body['cursor']}")
    assert [item["entity_id"] for item in second.body["items"]] == ["key-1"]
    assert "cursor" not in second.body
    assert first.headers["Leasegate-Round-Trips"] == "2"


def test_usage_outlives_its_entity(function: Function, limiter: Limiter, counted: int) -> None:
    limiter.create_entity("key-1")
    limiter.delete_entity("key-1")

    assert starts(function.send("GET", f"{USAGE}&from={counted}"), counted) == [0]


@pytest.mark.parametrize(
    ("field", "target"),
    [
        ("resource", "/entities/key-1/usage"),
        ("resource", "/entities/key-1/usage?resource=a/b"),
        ("entity_id", "/entities/a%23b/usage?resource=gpt-4"),
        ("window", f"{USAGE}&window=week"),
        ("from", f"{USAGE}&from=yesterday"),
        ("from", f"{USAGE}&from="),
        ("from", f"{USAGE}&from=2026-11-21T22:00"),
        ("from", f"{USAGE}&from=2026-11-21T22:00+01:00"),
        ("from", f"{USAGE}&from=-1"),
        ("from", f"{USAGE}&from={10**14 * 9}"),
        ("to", f"{USAGE}&to=2026-02-30"),
        ("to", f"{USAGE}&from=2026-11-21&to=2026-11-21"),
        ("to", f"{USAGE}&from=2026-11-22&to=2026-11-21T23:00Z"),
        ("to", f"{USAGE}&to=0"),
        ("at", f"{USAGE}&at=0"),
        ("page_size", f"{USAGE}&page_size=1001"),
        ("cursor", f"{USAGE}&cursor=abc"),
        ("window", f"{RANKING}?window=year"),
        ("at", f"{RANKING}?at=noon"),
        ("by", f"{RANKING}?by=peak"),
        ("limit_name", f"{RANKING}?limit_name=RPM"),
        ("limit_name", f"{RANKING}?limit_name=rpm&by=grants"),
        ("limit", f"{RANKING}?limit=10"),
        ("from", f"{RANKING}?from=0"),
        ("page_size", f"{RANKING}?page_size=0"),
    ],
)
def test_what_is_asked_wrongly_of_usage_is_named(field: str, target: str, function: Function) -> None:
    response = function.send("GET", target)

    assert (response.status, response.body["field"]) == (400, field)
    assert response.headers["Leasegate-Round-Trips"] == "0"


def test_a_cursor_of_another_listing_of_usage_is_refused(function: Function, counted: int) -> None:
    cursor = function.send("GET", f"{USAGE}&page_size=1").body["cursor"]
    for address in (f"{USAGE}&window=day", "/entities/key-2/usage?resource=gpt-4", f"{RANKING}?by=tokens"):
        response = function.send("GET", f"{address}&cursor={cursor}")
        assert (response.status, response.body["field"]) == (400, "cursor")


# --- audit -----------------------------------------------------------------------------------------


def test_every_change_is_recorded_with_who_signed_the_request(function: Function) -> None:
    function.send("PUT", "/entities/key-1/limits", {"limits": [RPM]})
    function.send("DELETE", "/entities/key-1/limits")
    latest, first = function.send("GET", "/audit?scope=entity:key-1").body["items"]
    assert (first["action"], first["actor"], first["before"], first["after"]) == (
        "set_limits",
        OPERATOR,
        None,
        [RPM_SHOWN],
    )
    assert (latest["action"], latest["before"], latest["after"]) == ("delete_limits", [RPM_SHOWN], None)


@pytest.mark.parametrize(
    ("identity", "actor"),
    [
        ({"userArn": "arn:aws:iam::1:user/u", "caller": "AIDA", "user": "AIDA"}, "arn:aws:iam::1:user/u"),
        ({"userArn": None, "caller": "AIDA", "user": "AROA"}, "AIDA"),
        ({"userArn": None, "caller": None, "user": "AROA"}, "AROA"),
        ({"userArn": None, "caller": None, "user": None}, "anonymous"),
        (None, "anonymous"),
    ],
)
def test_who_acts_is_whoever_the_gateway_knows(
    identity: dict[str, Any] | None, actor: str, function: Function
) -> None:
    event = request("PUT", "/system/limits", json.dumps({"limits": [RPM]}))
    event["requestContext"]["identity"] = identity
    assert function.invoke(event).status == 200
    (change,) = function.send("GET", "/audit?scope=system").body["items"]
    assert change["actor"] == actor


@pytest.mark.parametrize("scope", ["", "entity", "entity:", "entity:a/b", "nobody:a", "system:"])
def test_a_scope_that_cannot_be_is_named(scope: str, function: Function) -> None:
    response = function.send("GET", f"/audit?scope={quote(scope)}")
    assert (response.status, response.body["field"]) == (400, "scope")


# --- the edge --------------------------------------------------------------------------------------


def test_round_trips_and_verdicts_are_counted_apart_from_those_of_acquire(
    function: Function, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    for method, path in (("GET", "/system/limits"), ("GET", "/resources"), ("POST", "/resources")):
        function.send(method, path)
        seen.append(counts(capsys))
    assert seen == [
        {"AdminInvalid": 1, "AdminRoundTrips": 1},
        {"AdminAnswered": 1, "AdminRoundTrips": 1},
        {"AdminInvalid": 1, "AdminRoundTrips": 0},
    ]


def test_an_unexpected_failure_is_logged_whole_and_told_not_at_all(
    moto_client: DynamoDBClient, function: Function, capsys: pytest.CaptureFixture[str]
) -> None:
    moto_client.delete_table(TableName=TABLE_NAME)
    response = function.send("GET", "/resources")
    assert response.status == 500
    assert TABLE_NAME not in json.dumps(response.body)
    (logged,) = [line for line in lines(capsys) if line.get("level") == "ERROR"]
    assert "ResourceNotFoundException" in logged["exception"]


def test_without_time_left_the_table_is_not_asked(function: Function) -> None:
    response = function.send("PUT", "/system/limits", {"limits": [RPM]}, Context(left_ms=ANSWER_MARGIN_MS))
    assert response.status == 503
    assert function.send("GET", "/system/limits").status == 404


def test_a_snapshot_holds_the_client_but_no_open_table(
    moto_client: DynamoDBClient, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    module = launch("admin").module
    assert (module.client.cache_info().currsize, module.table.cache_info().currsize) == (1, 0)


def test_what_was_set_over_http_holds_in_the_library(function: Function, moto_client: DynamoDBClient) -> None:
    function.send("PUT", "/entities/key-1/limits/gpt-4", {"limits": [RPM]})
    with DynamoRepository(moto_client, TABLE_NAME) as repository:
        assert Administrator(repository).get_limits("key-1", "gpt-4") == (Limit.per_minute("rpm", 60),)
