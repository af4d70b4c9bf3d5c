"""What X-Ray records of an acquire by the built function, in every situation that the README names.

Other processes use the library, and reach the table directly.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from leasegate import Limit
from scripts.costs.acquires import NAMES
from tests.traces.conftest import Launch
from tests.traces.instances import Instance, beside, check
from tests.traces.scenes import FAST, SLOW, Scene

ADDITION = Limit.per_day("images", 100)


@pytest.fixture(scope="module")
def cold(launch: Launch) -> Iterator[Instance]:
    """Run instances that were never asked before, one for each test that takes the next."""
    return iter([launch("AcquireFunction") for _ in range(3)])


# --- granted by an instance that knows the bucket ------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "like"),
    [
        (1, "known bucket, granted, 1 limit"),
        (2, "known bucket, granted, 2 limits"),
        (5, None),
        (8, "known bucket, granted, 8 limits"),
    ],
    ids=["1", "2", "5", "8"],
)
def test_a_known_bucket_is_one_update_however_many_limits_it_has(
    warm: Instance, scene: Scene, count: int, like: str | None
) -> None:
    consume = dict.fromkeys(NAMES[:count], 1)
    scene.process().set_limits(scene.entity("key"), [Limit.per_day(name, 1_000) for name in consume])
    scene.ask(warm, consume=consume)
    granted = scene.ask(warm, consume=consume)
    assert granted.status == 200
    check(granted, "UpdateItem", like=like)


@pytest.mark.parametrize("levels", [2, 4])
def test_a_known_cascade_updates_all_levels_side_by_side(warm: Instance, scene: Scene, levels: int) -> None:
    scene.family(*("company", "department", "project", "key")[-levels:])
    scene.ask(warm)
    granted = scene.ask(warm)
    assert len(granted.body["ancestors"]) == levels - 1
    check(granted, beside("UpdateItem", levels), like=f"known, cascade of {levels} levels")


def test_an_atomic_cascade_is_one_transaction(warm: Instance, scene: Scene) -> None:
    scene.family("project", "key")
    scene.ask(warm)
    granted = scene.ask(warm, cascade="transaction")
    assert granted.status == 200
    check(granted, "TransactWriteItems", like='known, cascade of 2 levels, `cascade="transaction"`')


def test_what_is_known_of_a_resource_is_renewed_beside_a_write(launch: Launch, scene: Scene) -> None:
    instance = launch("AcquireFunction", DEFAULTS_MAX_AGE_MS="5000")
    scene.family("key")
    scene.ask(instance)
    others = [scene.ask(instance)]
    while others[-1].steps == ("UpdateItem",):
        others.append(scene.ask(instance, consume={"requests": 1}))
    *steady, renewing = others
    assert steady
    check(
        renewing,
        "BatchGetItem+UpdateItem",
        like="known bucket, granted, and renewing beside it what is known of the resource: once in 15 s",
    )
    check(scene.ask(instance), "UpdateItem")


# --- refused -------------------------------------------------------------------------------------------


def test_a_refusal_is_one_update_that_is_no_failure_and_then_no_call_at_all(warm: Instance, scene: Scene) -> None:
    scene.family("key")
    scene.ask(warm)
    scene.spend(consume={"tokens": 9_000})
    first, second = scene.ask(warm), scene.ask(warm)
    assert (first.status, first.verdicts, second.status) == (429, ("refused",), 429)
    check(first, "UpdateItem", like="refused")
    check(second, like="refused again, while that holds (1 s)")


def test_a_refused_parent_gives_the_child_its_tokens_back_in_a_second_step(warm: Instance, scene: Scene) -> None:
    scene.family("project", "key")
    scene.ask(warm)
    scene.spend("project", {"tokens": 9_000})
    refusal = scene.ask(warm)
    assert refusal.status == 429
    assert sorted(refusal.verdicts[:2]) == ["answered", "refused"]
    assert refusal.verdicts[2] == "answered"
    check(
        refusal,
        "UpdateItem+UpdateItem",
        "UpdateItem",
        like="refused by the parent: what the child spent is given back",
    )


def test_a_disabled_entity_is_refused_by_one_update_and_then_by_no_call(warm: Instance, scene: Scene) -> None:
    scene.family("key")
    scene.ask(warm)
    scene.process().disable_entity(scene.entity("key"))
    first, second = scene.ask(warm), scene.ask(warm)
    assert (first.status, first.verdicts, second.status) == (403, ("refused",), 403)
    check(first, "UpdateItem", like="an acquire of an entity that was disabled")
    check(second, like="the same again, within 1 s")


# --- what the instance believes is not so --------------------------------------------------------------


def test_a_wrong_guess_costs_a_second_update(warm: Instance, scene: Scene) -> None:
    scene.family("key", limits=FAST)
    scene.ask(warm)
    scene.spend(consume={"tokens": 90_000_000})
    granted = scene.ask(warm)
    assert (granted.status, granted.verdicts) == (200, ("refused", "answered"))
    assert granted.trace.annotations["guess_missed"] is True
    check(granted, "UpdateItem", "UpdateItem", like="wrong guess whether the bucket is busy or idle")


def test_changed_limits_are_read_once_and_then_known(warm: Instance, scene: Scene) -> None:
    scene.family("key")
    scene.ask(warm)
    scene.process().set_limits(scene.entity("key"), [*SLOW, ADDITION])
    granted = scene.ask(warm)
    assert (granted.status, granted.verdicts) == (200, ("refused", "answered", "answered"))
    check(
        granted,
        "UpdateItem",
        "BatchGetItem",
        "UpdateItem",
        like="limits changed since: once for each bucket and change",
    )
    check(scene.ask(warm), "UpdateItem")


# --- buckets that the instance never saw ---------------------------------------------------------------


def know_defaults(warm: Instance, scene: Scene) -> None:
    """Let an instance learn a resource's defaults from somebody else's acquire."""
    scene.process().set_resource_defaults(scene.resource, FAST)
    scene.ask(warm, "somebody")


def test_an_unknown_bucket_is_one_update_under_known_defaults(warm: Instance, scene: Scene) -> None:
    know_defaults(warm, scene)
    scene.spend()
    granted = scene.ask(warm)
    assert granted.status == 200
    check(granted, "UpdateItem", like="bucket this process never saw, under known defaults")


def test_an_unknown_bucket_under_limits_of_its_own_says_so_itself(warm: Instance, scene: Scene) -> None:
    know_defaults(warm, scene)
    scene.process().set_limits(scene.entity("key"), [*FAST, ADDITION])
    scene.spend()
    granted = scene.ask(warm)
    assert (granted.status, granted.verdicts) == (200, ("refused", "answered"))
    check(granted, "UpdateItem", "UpdateItem", like="bucket this process never saw, under limits of its own")


def test_a_first_bucket_is_a_read_and_a_transaction(warm: Instance, scene: Scene) -> None:
    scene.process().set_limits(scene.entity("key"), SLOW)
    granted = scene.ask(warm)
    assert granted.status == 200
    check(
        granted,
        "BatchGetItem",
        "TransactWriteItems",
        like="bucket that does not exist yet: once in its life",
    )


def test_a_first_bucket_is_tried_under_known_defaults_before(warm: Instance, scene: Scene) -> None:
    know_defaults(warm, scene)
    granted = scene.ask(warm)
    assert (granted.status, granted.verdicts) == (200, ("refused", "answered", "answered"))
    check(
        granted,
        "UpdateItem",
        "BatchGetItem",
        "TransactWriteItems",
        like="the same, tried under the defaults first",
    )


# --- the first request of an instance ------------------------------------------------------------------


def test_a_cold_instance_reads_everything_at_once(cold: Iterator[Instance], scene: Scene) -> None:
    scene.family("key")
    granted = scene.ask(next(cold))
    assert granted.trace.annotations["ColdStart"] is True
    check(granted, "BatchGetItem", "UpdateItem", like="cold process")


def test_a_cold_instance_reads_a_cascade_at_once_if_it_is_told_the_parent(
    cold: Iterator[Instance], scene: Scene
) -> None:
    scene.family("project", "key")
    granted = scene.ask(next(cold), parent_id=scene.entity("project"))
    assert len(granted.body["ancestors"]) == 1
    check(granted, "BatchGetItem", "UpdateItem+UpdateItem", like="cold process, cascade, parent given")


def test_a_cold_instance_reads_twice_if_the_first_read_reveals_the_parent(
    cold: Iterator[Instance], scene: Scene
) -> None:
    scene.family("project", "key")
    granted = scene.ask(next(cold))
    assert len(granted.body["ancestors"]) == 1
    check(
        granted,
        "BatchGetItem",
        "BatchGetItem",
        "UpdateItem+UpdateItem",
        like="cold process, cascade, parent revealed by the first read",
    )
