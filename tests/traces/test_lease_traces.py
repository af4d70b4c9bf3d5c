"""What X-Ray records of durable leases by the built function: granted once, ended once, in one call each."""

from __future__ import annotations

from typing import Final

import pytest

from leasegate import Limit
from tests.traces.conftest import MANY_DELAY_MS, Launch
from tests.traces.instances import Instance, Invocation, beside, check
from tests.traces.scenes import SLOW, Scene

HOUR_S: Final = 3_600
STREAMS: Final = Limit.concurrent("streams", 20, lease_seconds=HOUR_S)
USED: Final = {"actual": {"tokens": 312}}
BATCH: Final = 25


@pytest.fixture(scope="module")
def busy(launch: Launch) -> Instance:
    """Run an instance that is asked for many things at once, and knows nothing of the rest."""
    return launch("AcquireFunction", delay_ms=MANY_DELAY_MS)


def know(instance: Instance, scene: Scene, *names: str) -> None:
    """Let an instance know the buckets of a family."""
    scene.family(*names, limits=[*SLOW, STREAMS])
    scene.ask(instance)


def end(instance: Instance, granted: Invocation, how: str, body: object = None) -> Invocation:
    """Settle, release or renew a lease."""
    return instance.send("POST", f"/leases/{granted.body['lease']['id']}/{how}", body)


# --- granted, or not -----------------------------------------------------------------------------------


@pytest.mark.parametrize("durable", [False, True])
def test_a_grant_that_is_stored_is_one_transaction(warm: Instance, scene: Scene, durable: bool) -> None:
    know(warm, scene, "key")
    granted = scene.ask(warm, durable=True) if durable else scene.ask(warm, key="request")
    assert granted.status == 200
    check(granted, "TransactWriteItems", like="grant a durable lease, or one under an idempotency key")


def test_a_stored_grant_of_a_cascade_is_one_transaction_whether_it_expires_or_not(
    warm: Instance, scene: Scene
) -> None:
    know(warm, scene, "project", "key")
    lasting, expiring = scene.ask(warm, durable=True), scene.ask(warm, durable=True, expires_in=HOUR_S)
    assert len(lasting.body["ancestors"]) == len(expiring.body["ancestors"]) == 1
    check(lasting, "TransactWriteItems", like="grant one, cascade of 2 levels")
    check(expiring, "TransactWriteItems", like="grant one that expires, cascade of 2 levels")


def test_a_repeated_key_is_answered_in_one_call_by_any_instance(
    warm: Instance, busy: Instance, scene: Scene
) -> None:
    know(warm, scene, "key")
    first, again, elsewhere = (scene.ask(instance, key="request") for instance in (warm, warm, busy))
    assert first.body == again.body == elsewhere.body
    check(again, "TransactWriteItems", like="answer a key that was used")
    assert again.verdicts == ("refused",)
    check(elsewhere, "BatchGetItem", like="answer it, by a process that knows nothing")


def test_a_refusal_under_a_key_is_one_transaction_and_then_one_read(warm: Instance, scene: Scene) -> None:
    know(warm, scene, "key")
    scene.spend(consume={"tokens": 9_000})
    first, second = scene.ask(warm, key="request"), scene.ask(warm, key="another")
    assert (first.status, first.verdicts, second.status) == (429, ("refused",), 429)
    check(first, "TransactWriteItems", like="refuse under a key")
    check(second, "BatchGetItem", like="refuse under a key what was refused within 1 s")


# --- ended, or going on --------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "body"), [("settle", USED), ("release", None)])
def test_an_end_is_one_transaction_and_so_is_its_repetition(
    warm: Instance, scene: Scene, how: str, body: object
) -> None:
    know(warm, scene, "key")
    granted = scene.ask(warm, durable=True)
    ended, again = end(warm, granted, how, body), end(warm, granted, how, body)
    assert ended.body == again.body
    check(ended, "TransactWriteItems", like="settle or release a durable lease")
    check(again, "TransactWriteItems", like="settle it again")
    assert again.verdicts == ("refused",)


def test_an_instance_that_knows_nothing_settles_a_cascade_in_one_transaction(
    warm: Instance, busy: Instance, scene: Scene
) -> None:
    know(warm, scene, "project", "key")
    settled = end(busy, scene.ask(warm, durable=True), "settle", USED)
    assert settled.status == 200
    check(
        settled,
        "TransactWriteItems",
        like="settle or release one, cascade of 2 levels, by a process that knows nothing",
    )


def test_a_lease_of_which_all_was_used_is_settled_by_one_update(warm: Instance, scene: Scene) -> None:
    # Nothing goes back to the buckets, so the lease alone is written.
    know(warm, scene, "project", "key")
    check(end(warm, scene.ask(warm, durable=True), "settle"), "UpdateItem")


def test_a_lease_that_expires_is_settled_in_one_transaction(warm: Instance, scene: Scene) -> None:
    know(warm, scene, "project", "key")
    settled = end(warm, scene.ask(warm, durable=True, expires_in=HOUR_S), "settle", USED)
    assert settled.status == 200
    check(settled, "TransactWriteItems", like="settle or release one that expires, cascade of 2 levels")


def test_a_place_is_taken_renewed_and_given_back_in_one_transaction_each(warm: Instance, scene: Scene) -> None:
    # Over HTTP a lease that holds a place is a durable one, so what the library does by updates are transactions.
    know(warm, scene, "key")
    granted = scene.ask(warm, consume={"requests": 1, "streams": 1})
    renewed, released = end(warm, granted, "renew"), end(warm, granted, "release")
    assert (granted.status, renewed.status, released.status) == (200, 200, 200)
    check(granted, "TransactWriteItems", like="take a place of a concurrency limit, beside tokens")
    check(renewed, "TransactWriteItems", like="renew that")
    check(released, "TransactWriteItems", like="release that")


# --- many at once, and corrections ---------------------------------------------------------------------


@pytest.mark.parametrize(("buckets", "like"), [(BATCH, f"{BATCH} buckets"), (1, "one bucket")])
def test_a_batch_updates_its_buckets_side_by_side(busy: Instance, scene: Scene, buckets: int, like: str) -> None:
    scene.process().set_resource_defaults(scene.resource, SLOW)
    requests = [scene.request(f"key-{number % buckets}", {"requests": 1}) for number in range(BATCH)]
    busy.send("POST", "/acquire/batch", {"requests": requests})
    answered = busy.send("POST", "/acquire/batch", {"requests": requests})
    assert [result["status"] for result in answered.body["results"]] == [200] * BATCH
    check(answered, beside("UpdateItem", buckets), like=f"answer a batch of {BATCH} acquires of {like}")


def test_an_adjustment_is_one_update_of_a_bucket_and_one_transaction_of_several(
    warm: Instance, scene: Scene
) -> None:
    know(warm, scene, "project", "key")
    adjustment = {"resource": scene.resource, "adjust": {"tokens": 312}}
    child = warm.send("POST", "/adjust", {"entity_id": scene.entity("key"), **adjustment})
    scene.ask(warm, "project")
    parent = warm.send("POST", "/adjust", {"entity_id": scene.entity("project"), **adjustment})
    assert (child.status, parent.status) == (200, 200)
    check(parent, "UpdateItem", like="adjust what was spent, without a lease")
    check(child, "TransactWriteItems", like="adjust it, cascade of 2 levels")
