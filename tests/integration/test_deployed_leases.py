"""Leases, batches and adjustments through the deployed API Gateway: routing, headers, and the role behind it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from leasegate.http.routes import SPENDING
from tests.contract import checked

if TYPE_CHECKING:
    from scripts.api import Answer, ApiClient
    from scripts.stack import Stack

RPD = {"name": "rpd", "amount": 1, "period": "day", "burst": 100}
STREAMS = {"name": "streams", "concurrent": 1, "lease_seconds": 600}


@pytest.fixture
def api(stack: Stack) -> ApiClient:
    return stack.api()


def ask(entity_id: str, **consume: int) -> dict[str, Any]:
    return {"entity_id": entity_id, "resource": "gpt-4", "consume": consume, "limits": [RPD, STREAMS]}


def acquire(api: ApiClient, entity_id: str, key: str | None = None, **consume: int) -> Answer:
    headers = None if key is None else {"Idempotency-Key": key}
    return checked("POST", "/acquire", api.post("/acquire", ask(entity_id, **consume), headers=headers))


def end(api: ApiClient, lease_id: str, how: str = "settle", body: object = None) -> Answer:
    return checked("POST", f"/leases/x/{how}", api.post(f"/leases/{lease_id}/{how}", body))


def available(api: ApiClient, entity_id: str) -> int:
    answer = api.get(f"/entities/{entity_id}/available?resource=gpt-4")
    left: int = checked("GET", "/entities/x/available", answer).json()["limits"]["rpd"]["available"]
    return left


def test_under_one_key_it_is_spent_once_and_answered_the_same_to_the_byte(api: ApiClient) -> None:
    first = acquire(api, "gw-keyed", '"one \\"key\\""', rpd=10)
    again = acquire(api, "gw-keyed", 'one "key"', rpd=10)
    assert (first.status, again.status) == (200, 200)
    assert again.body == first.body
    assert (first.headers.get("Idempotent-Replayed"), again.headers["Idempotent-Replayed"]) == (None, "true")
    assert available(api, "gw-keyed") == 90
    assert acquire(api, "gw-keyed", 'one "key"', rpd=11).status == 422
    malformed = acquire(api, "gw-keyed", '"one', rpd=10)
    assert (malformed.status, malformed.json()["field"]) == (400, "Idempotency-Key")


def test_a_lease_is_settled_once(api: ApiClient) -> None:
    lease_id = acquire(api, "gw-settled", "settled", rpd=10).json()["lease"]["id"]
    settled = end(api, lease_id, body={"actual": {"rpd": 3}})
    assert (settled.status, settled.json()["consumed"]) == (200, {"rpd": 3})
    again = end(api, lease_id, "release")
    assert again.body == settled.body
    assert again.headers["Idempotent-Replayed"] == "true"
    assert available(api, "gw-settled") == 97


def test_a_lease_that_holds_a_place_is_renewed_and_released(api: ApiClient) -> None:
    granted = acquire(api, "gw-streaming", streams=1)
    lease = granted.json()["lease"]
    assert acquire(api, "gw-streaming", streams=1).status == 429
    renewed = end(api, lease["id"], "renew")
    assert renewed.status == 200
    assert renewed.json()["held_until_ms"] >= lease["held_until_ms"]
    assert end(api, lease["id"], "release").status == 200
    assert acquire(api, "gw-streaming", streams=1).status == 200


@pytest.mark.parametrize("how", ["settle", "release", "renew"])
def test_a_lease_that_does_not_exist_is_not_found(api: ApiClient, how: str) -> None:
    for lease_id in ("x" * 22, f"{'x' * 22}.eJw", "nothing"):
        assert end(api, lease_id, how).status == 404


def test_a_batch_is_answered_one_by_one(api: ApiClient) -> None:
    asked = [ask("gw-batch-1", rpd=1), ask("gw-batch-2", rpd=101), ask("gw-batch-3", rpd=-1)]
    asked.append({**ask("gw-batch-1", rpd=1), "durable": True, "idempotency_key": "batched"})
    answer = checked("POST", "/acquire/batch", api.post("/acquire/batch", {"requests": asked}))
    results = answer.json()["results"]
    assert [result["status"] for result in results] == [200, 422, 400, 200]
    assert results[0]["headers"]["RateLimit"].startswith('"rpd";r=')
    assert end(api, results[3]["body"]["lease"]["id"]).status == 200
    keyed = api.post("/acquire/batch", {"requests": asked}, headers={"Idempotency-Key": "batched"})
    assert (keyed.status, keyed.json()["field"]) == (400, "Idempotency-Key")


def test_an_adjustment_reaches_the_ancestors_and_counts_once_under_a_key(api: ApiClient) -> None:
    api.put("/entities/gw-adjusted-project", {})
    api.put("/entities/gw-adjusted", {"parent_id": "gw-adjusted-project"})
    for entity_id in ("gw-adjusted-project", "gw-adjusted"):
        api.put(f"/entities/{entity_id}/limits/gpt-4", {"limits": [RPD]})
    body = {"entity_id": "gw-adjusted", "resource": "gpt-4", "adjust": {"rpd": 30}}
    answers = [
        checked("POST", "/adjust", api.post("/adjust", body, headers={"Idempotency-Key": "adjusted"}))
        for _ in range(2)
    ]
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].body == answers[1].body
    assert checked("POST", "/adjust", api.post("/adjust", {**body, "adjust": {"rpd": -10}})).status == 200
    assert available(api, "gw-adjusted") == 80
    assert available(api, "gw-adjusted-project") == 80


def test_every_path_takes_what_it_is_for_and_is_closed_to_the_unsigned(api: ApiClient) -> None:
    for route in SPENDING:
        address = route.path.replace("{lease_id}", "x" * 22)
        for method in ("OPTIONS", "GET", "PUT", "PATCH", "DELETE"):
            wrong = checked(method, address, api.send(method, address))
            assert (wrong.status, wrong.headers["Allow"]) == (405, "POST"), route.path
        for method in ("GET", "POST"):
            assert api.send(method, address, json.dumps({}).encode(), signed=False).status == 403
    for path in ("/leases", "/leases/", "/leases/x", "/leases/x/end", "/acquire/batch/x", "/adjust/x"):
        assert checked("POST", path, api.post(path, {})).status == 404
