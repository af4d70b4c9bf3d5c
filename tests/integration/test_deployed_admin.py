"""Administration through the deployed API Gateway: routing, signatures, and ids as they stand in paths."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from leasegate.http.routes import ADMINISTRATION
from tests.contract import checked

if TYPE_CHECKING:
    from scripts.stack import Stack

RPM = {"name": "rpm", "amount": 60, "period": "minute"}


def test_what_is_set_over_http_is_enforced_over_http(stack: Stack) -> None:
    api = stack.api()
    assert checked("PUT", "/entities/{entity_id}", api.put("/entities/gw-project", {})).status in (200, 201)
    child = api.put("/entities/gw-key", {"parent_id": "gw-project", "metadata": {"plan": "gold"}})
    assert child.json()["parent_id"] == "gw-project"
    limits = {"limits": [{"name": "rpd", "amount": 1, "period": "day", "burst": 2}]}
    assert api.put("/entities/gw-project/limits/gpt-4", limits).status == 200
    assert api.put("/entities/gw-key/limits", {"limits": [RPM]}).status == 200

    ask = {"entity_id": "gw-key", "resource": "gpt-4", "consume": {"rpm": 1}}
    assert api.post("/acquire", ask).status == 200
    assert api.post("/entities/gw-key/disable", {}).json() == {"disabled": True, "changed": True}
    assert api.post("/acquire", ask).status == 403
    assert api.post("/entities/gw-key/enable").json() == {"disabled": False, "changed": True}

    (bucket,) = api.get("/entities/gw-key/buckets").json()["items"]
    assert bucket["resource"] == "gpt-4"
    resolution = checked(
        "GET", "/entities/{entity_id}/resolution", api.get("/entities/gw-key/resolution?resource=gpt-4")
    ).json()
    assert (resolution["level"], resolution["disabled"]) == ("entity", False)
    assert api.patch("/entities/gw-key", {"parent_id": None}).json()["parent_id"] is None
    gone = checked("DELETE", "/entities/{entity_id}", api.delete("/entities/gw-key"))
    assert (gone.status, gone.body) == (204, b"")
    assert checked("GET", "/entities/{entity_id}", api.get("/entities/gw-key")).status == 404


@pytest.mark.parametrize("identifier", ["user+alias@example.com", "org:42:key", "+", "a@b", "A.b_c-d"])
@pytest.mark.parametrize("safe", ["", "+@:"], ids=["encoded", "plain"])
def test_every_id_arrives_as_it_was_meant(stack: Stack, identifier: str, safe: str) -> None:
    api = stack.api()
    path = f"/entities/{quote(identifier, safe=safe)}"
    assert api.put(path, {}).json()["entity_id"] == identifier
    assert api.put(f"{path}/limits/{quote(identifier, safe=safe)}", {"limits": [RPM]}).status == 200
    (entry,) = api.get(f"{path}/limits-by-resource").json()["items"]
    assert entry["resource"] == identifier
    changes = api.get(f"/audit?scope={quote(f'entity:{identifier}', safe='')}&page_size=1").json()["items"]
    assert changes[0]["scope"] == f"entity:{identifier}"
    assert api.get(f"{path}/resolution?resource={quote(identifier, safe='')}").json()["level"] == "entity_resource"


def test_changes_are_recorded_with_whoever_signed(stack: Stack) -> None:
    api = stack.api()
    api.put("/resources/gw-audited/limits", {"limits": [RPM]})
    latest = api.get("/audit?scope=resource:gw-audited&page_size=1").json()["items"][0]
    assert latest["action"].startswith("set_")
    assert latest["actor"] not in ("library", "")


def test_pages_lead_on_and_a_tampered_cursor_does_not(stack: Stack) -> None:
    api = stack.api()
    for number in range(3):
        api.put(f"/entities/gw-child-{number}", {"parent_id": None})
    first = api.get("/entities?page_size=2").json()
    following = api.get(f"/entities?page_size=2&cursor={first['cursor']}").json()
    assert not set(first["items"]) & set(following["items"])
    tampered = checked("GET", "/entities", api.get(f"/entities?cursor={first['cursor'][:-2]}"))
    assert (tampered.status, tampered.json()["field"]) == (400, "cursor")


def test_every_path_is_the_functions_own_and_closed_to_the_unsigned(stack: Stack) -> None:
    api = stack.api()
    for path in sorted({route.path for route in ADMINISTRATION}):
        address = path.replace("{entity_id}", "gw-nobody").replace("{resource}", "gw-nothing")
        allowed = [route.method for route in ADMINISTRATION if route.path == path]
        for method in ("OPTIONS", "GET", "PUT", "PATCH", "POST", "DELETE"):
            if method not in allowed:
                wrong = checked(method, path, api.send(method, address))
                assert (wrong.status, wrong.headers["Allow"]) == (405, ", ".join(allowed))
            assert api.send(method, address, signed=False).status == 403


def test_other_paths_and_methods_are_the_functions_own_too(stack: Stack) -> None:
    api = stack.api()
    assert checked("GET", "/entitys/gw-key", api.get("/entitys/gw-key")).status == 404
    assert api.send("GET", "/entitys/gw-key", signed=False).status == 403
    wrong = checked("GET", "/acquire", api.get("/acquire"))
    assert (wrong.status, wrong.headers["Allow"]) == (405, "POST")
