"""What X-Ray records of administration by the built function.

The README counts what the library does in a process that administers and spends. Over HTTP they are functions of
their own, and a change of an entity is answered with the entity as it is then, which is one more read.
"""

from __future__ import annotations

from typing import Final

import pytest

from leasegate import Limiter
from leasegate.http.limits import write_limits
from leasegate.knowledge import Recent
from leasegate.metering import Meter
from leasegate.schema import USAGE_SHARDS
from scripts.costs.tables import Table, measure
from scripts.costs.usage import changes, count, read
from tests.traces.conftest import LONG_MS, MANY_DELAY_MS, Launch
from tests.traces.instances import Instance, Invocation, beside, check, said_of
from tests.traces.scenes import SLOW, Scene

ENTITIES: Final = 40
PAGE: Final = 20
LIMITS: Final = {"limits": write_limits(SLOW)}


@pytest.fixture(scope="module")
def admin(launch: Launch) -> Instance:
    """Run an instance that knows nothing but what these tests lead it to."""
    return launch("AdminFunction", DEFAULTS_MAX_AGE_MS=LONG_MS)


def ask(admin: Instance, scene: Scene, method: str, path: str, body: object = None) -> Invocation:
    """Send a request about the key, or the resource, of a test."""
    path = path.format(key=scene.entity("key"), resource=scene.resource)
    answered = admin.send(method, path, body)
    assert answered.status < 300, answered.body
    return answered


# --- what is read --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "like"),
    [("", "list the resources that have defaults"), ("?consistent=false", "the same, eventually consistent")],
)
def test_listing_the_resources_is_exactly_one_read(admin: Instance, scene: Scene, query: str, like: str) -> None:
    scene.process().set_resource_defaults(scene.resource, SLOW)
    listed = ask(admin, scene, "GET", f"/resources{query}")
    assert scene.resource in listed.body["items"]
    check(listed, "GetItem", like=like)


def test_what_is_left_is_one_read(admin: Instance, scene: Scene) -> None:
    scene.family("key")
    check(ask(admin, scene, "GET", "/entities/{key}/available?resource={resource}"), "BatchGetItem")


def test_which_limits_hold_is_one_read(admin: Instance, scene: Scene) -> None:
    scene.family("key")
    resolved = ask(admin, scene, "GET", "/entities/{key}/resolution?resource={resource}")
    check(resolved, "BatchGetItem", like="say which limits hold for an entity and a resource")


def test_a_page_of_the_audit_is_one_query(admin: Instance, scene: Scene) -> None:
    scene.family("key")
    check(ask(admin, scene, "GET", "/audit?scope=entity:{key}"), "Query", like="a page of the audit")


def test_what_an_entity_spent_is_one_query(admin: Instance, scene: Scene) -> None:
    scene.family("key")
    spent = ask(admin, scene, "GET", "/entities/{key}/usage?resource={resource}&window=hour")
    check(spent, "Query", like="read what an entity spent, 24 hours")


def rank(reader: Limiter, at_ms: int) -> object:
    """Ask the library who spent the most in an hour."""
    return reader.resource_usage("gpt-4", "hour", at_ms, page_size=PAGE)


def test_who_spent_the_most_is_asked_of_all_partitions_side_by_side(launch: Launch, scene: Scene) -> None:
    table = Table(scene.repository, Meter())
    count(table, changes(table, buckets=ENTITIES, records=ENTITIES), Recent(1_000))()
    instance = launch("AdminFunction", delay_ms=MANY_DELAY_MS)
    ranked = ask(instance, scene, "GET", f"/resources/gpt-4/usage?window=hour&at={table.now_ms}&page_size={PAGE}")
    assert len(ranked.body["items"]) == PAGE
    check(ranked, beside("Query", USAGE_SHARDS), "BatchGetItem")
    # The README ranks 200 entities, which takes a second read: so this is held to as many in memory as are here.
    in_memory = Table.in_memory()
    meter = measure(in_memory, read(rank, entities=ENTITIES)(in_memory))
    assert (ranked.trace.depth, len(ranked.trace.calls)) == (meter.round_trips, meter.calls)


# --- what is written -----------------------------------------------------------------------------------


def test_defaults_are_set_and_listed_in_one_transaction(admin: Instance, scene: Scene) -> None:
    change = ask(admin, scene, "PUT", "/resources/{resource}/limits", LIMITS)
    check(change, "TransactWriteItems", like="set a resource's defaults, and list it")


def test_defaults_that_others_set_take_a_second_transaction(admin: Instance, scene: Scene) -> None:
    scene.process().set_resource_defaults(scene.resource, SLOW)
    change = ask(admin, scene, "PUT", "/resources/{resource}/limits", LIMITS)
    assert change.verdicts == ("refused", "answered")
    check(
        change,
        "TransactWriteItems",
        "TransactWriteItems",
        like="the same, where another process set them before",
    )


def test_limits_that_others_set_are_changed_and_the_bucket_is_told(admin: Instance, scene: Scene) -> None:
    scene.family("project", "key")
    change = ask(admin, scene, "PUT", "/entities/{key}/limits", LIMITS)
    assert change.verdicts == ("refused", "answered", "answered", "answered", "answered")
    check(
        change,
        "TransactWriteItems",  # as if they were the first
        "TransactWriteItems",
        "GetItem",  # which buckets there are
        "UpdateItem",
        "UpdateItem",  # no bucket is left to be told
        like="set limits that another process set before, and tell the bucket",
    )


def test_a_disabled_entity_has_its_bucket_told(admin: Instance, scene: Scene) -> None:
    scene.family("project", "key")
    change = ask(admin, scene, "POST", "/entities/{key}/disable")
    check(
        change,
        "GetItem",
        "TransactWriteItems",
        "GetItem",
        "UpdateItem",
        "GetItem",
        "UpdateItem",
        "UpdateItem",
        like="disable an entity, and tell its bucket",
    )


def test_a_bucket_is_topped_up_by_a_read_and_a_transaction(admin: Instance, scene: Scene) -> None:
    scene.family("project", "key")
    body = {"resource": scene.resource, "tokens": {"tokens": 300}}
    change = ask(admin, scene, "POST", "/entities/{key}/top-up", body)
    check(change, "BatchGetItem", "TransactWriteItems", like="top up a bucket")


def test_an_entity_that_is_created_is_shown_by_one_more_read(admin: Instance, scene: Scene) -> None:
    scene.family("project")
    created = ask(admin, scene, "PUT", "/entities/{key}", {"parent_id": scene.entity("project")})
    assert created.status == 201
    check(created, "BatchGetItem", "TransactWriteItems", "GetItem")
    assert created.trace.depth == said_of("create an entity under a parent").round_trips + 1


def test_an_entity_that_is_moved_is_shown_by_one_more_read(admin: Instance, scene: Scene) -> None:
    scene.family("project", "key")
    scene.process().create_entity(scene.entity("other"))
    moved = ask(admin, scene, "PATCH", "/entities/{key}", {"parent_id": scene.entity("other")})
    check(
        moved,
        "BatchGetItem",
        "BatchGetItem",
        "TransactWriteItems",
        "GetItem",
        "UpdateItem",
        "UpdateItem",
        "GetItem",  # to show it
    )
    assert moved.trace.depth == said_of("move an entity, and tell its bucket").round_trips + 1
