"""The library under the role of each function: what it is for passes, and what it is not for is denied.

moto answers, and ``tests.roles`` evaluates the statements of template.yaml before, conditions and all.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from leasegate import (
    AcquireRequest,
    Administrator,
    Disabled,
    DurableLease,
    EntityNotFound,
    Knowledge,
    Lease,
    Limit,
    Limiter,
    RateLimitExceeded,
    StoreDenied,
    schema,
)
from leasegate.aggregator import Aggregator
from leasegate.limits import DAY_MS
from leasegate.operations import Add, Update
from leasegate.records import SweepReport
from leasegate.repository.dynamodb import DynamoRepository
from leasegate.repository.memory import MemoryRepository
from leasegate.session import wall_clock_ms
from leasegate.stream import StreamRecord
from leasegate.sweeper import Sweeper
from leasegate.windows import DEFAULT_RETENTION_DAYS, LAST_MS, UsagePlan
from tests.fixtures.dynamodb import Table
from tests.fixtures.functions import TABLE_NAME
from tests.loading import load
from tests.roles import act_as
from tests.stream import StreamedMemory

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

RPM = [Limit.per_minute("rpm", 60)]
OTHER = [Limit.per_minute("rpm", 30)]

type Role = Callable[[str], DynamoDBClient]


@pytest.fixture
def role(moto_client: DynamoDBClient) -> Role:
    """Return a client that acts as a function."""
    return lambda function: act_as(boto3.client("dynamodb"), function)


@pytest.fixture
def repository_of(role: Role) -> Iterator[Callable[[str], DynamoRepository]]:
    """Open the table as a function."""
    opened: list[DynamoRepository] = []

    def open_as(function: str) -> DynamoRepository:
        opened.append(DynamoRepository(role(function), TABLE_NAME))
        return opened[-1]

    yield open_as
    for repository in opened:
        repository.close()


type Open = Callable[[str], DynamoRepository]


def snapshot(client: DynamoDBClient, *, but: tuple[str, ...] = ()) -> list[str]:
    """Return all items but those whose keys begin with ``but``, in an order of their own."""
    items = client.scan(TableName=TABLE_NAME)["Items"]
    return sorted(repr(sorted(item.items())) for item in items if not item["PK"]["S"].startswith(but))


# --- acquire ---------------------------------------------------------------------------------------


def test_acquire_spends_in_every_way_there_is(
    repository_of: Open, limiter: Limiter, moto_client: DynamoDBClient
) -> None:
    spender = Limiter(repository_of("AcquireFunction"), knowledge=Knowledge(max_age_ms=0, refusal_age_ms=0))
    limiter.create_entity("project")
    limiter.set_limits("project", RPM)
    limiter.create_entity("key", "project")
    limiter.set_limits("key", RPM, resource="gpt-4")
    limiter.set_resource_defaults("dall-e", RPM)
    limiter.set_system_defaults(RPM)

    for resource in ("gpt-4", "dall-e", "other"):
        spender.acquire("key", resource, {"rpm": 1})
        Limiter(repository_of("AcquireFunction")).acquire("key", resource, {"rpm": 1})
        spender.acquire("key", resource, {"rpm": 1}, cascade="transaction")
    limiter.delete_system_defaults()
    spender.acquire("stranger", "other", {"rpm": 1}, limits=RPM)
    spender.acquire("stranger", "transaction", {"rpm": 1}, limits=RPM, cascade="transaction")

    with spender.acquire("key", "gpt-4", {"rpm": 1}) as lease:
        lease.adjust({"rpm": 3})
        lease.consume({"rpm": 1})
    with suppress(RuntimeError), spender.acquire("key", "gpt-4", {"rpm": 5}):
        raise RuntimeError
    with pytest.raises(RateLimitExceeded):
        for _ in range(3):
            spender.acquire("key", "gpt-4", {"rpm": 30})

    limiter.set_limits("key", OTHER, resource="gpt-4")
    limiter.set_limits("project", [Limit.per_minute("rpm", 6_000)])
    limiter.reset("key", "gpt-4")
    spender.acquire("key", "gpt-4", {"rpm": 1})
    limiter.move_entity("key", None)
    spender.acquire("key", "gpt-4", {"rpm": 1})

    with spender.acquire("key", "gpt-4", {"rpm": 1}) as lease:
        lease.adjust({"rpm": 4})
        moto_client.delete_item(TableName=TABLE_NAME, Key={"PK": {"S": "BUCKET#key#gpt-4"}, "SK": {"S": "#STATE"}})
    spender.available("key", "gpt-4")
    limiter.disable_entity("key")
    with pytest.raises(Disabled):
        spender.acquire("key", "gpt-4", {"rpm": 1})


def test_acquire_keeps_leases_in_every_way_there_is(
    repository_of: Open, limiter: Limiter, moto_client: DynamoDBClient
) -> None:
    for entity_id, parent_id in (("project", None), ("key", "project")):
        limiter.create_entity(entity_id, parent_id)
        limiter.set_limits(entity_id, [*RPM, Limit.concurrent("slots", 4, 60)])
    spender = Limiter(repository_of("AcquireFunction"))

    def acquire(**options: Any) -> str:  # noqa: ANN401 - as given
        lease = spender.acquire("key", "gpt-4", {"rpm": 1, "slots": 1}, durable=True, **options)
        return str(lease.id)

    spender.lease(acquire()).settle({"rpm": 3})
    spender.lease(acquire(expires_in=60, on_expiry="keep")).release()
    expiring = acquire(expires_in=60)
    spender.lease(expiring).renew(120)
    Limiter(repository_of("AcquireFunction")).lease(expiring).release()
    lasting = acquire(idempotency_key="a")
    assert acquire(idempotency_key="a") == lasting
    spender.lease(lasting).renew()
    spender.acquire("key", "gpt-4", {"slots": 1}, durable="if_held").renew()

    spender.adjust("key", "gpt-4", {"rpm": -1})
    spender.adjust("key", "gpt-4", {"rpm": 2}, idempotency_key="b")
    moto_client.delete_item(TableName=TABLE_NAME, Key=key("BUCKET#key#gpt-4", "#STATE"))
    spender.lease(lasting).settle({"rpm": 5})
    moto_client.delete_item(TableName=TABLE_NAME, Key=key("BUCKET#key#gpt-4", "#STATE"))
    Limiter(repository_of("AcquireFunction")).adjust("key", "gpt-4", {"rpm": 2}, idempotency_key="c")

    spent = AcquireRequest("key", "gpt-4", {"rpm": 1})
    durable = AcquireRequest("key", "gpt-4", {"rpm": 1}, durable=True, expires_in=5)
    verdicts = spender.acquire_many([spent, spent, durable, AcquireRequest("key", "gpt-4", {"rpm": 100})])
    assert [isinstance(verdict, Lease) for verdict in verdicts] == [True, True, True, False]


CHANGES: dict[str, Callable[[Administrator], object]] = {
    "create_entity": lambda admin: admin.create_entity("new", "project"),
    "put_entity": lambda admin: admin.put_entity("key", "project", name="changed"),
    "update_entity": lambda admin: admin.update_entity("key", name="changed"),
    "move_entity": lambda admin: admin.move_entity("key", None),
    "disable_entity": lambda admin: admin.disable_entity("key"),
    "enable_entity": lambda admin: admin.enable_entity("off"),
    "delete_entity": lambda admin: admin.delete_entity("key"),
    "finish_changes": lambda admin: admin.finish_changes("pending"),
    "set_limits": lambda admin: admin.set_limits("key", OTHER),
    "delete_limits": lambda admin: admin.delete_limits("key", "gpt-4"),
    "set_system_defaults": lambda admin: admin.set_system_defaults(OTHER),
    "delete_system_defaults": lambda admin: admin.delete_system_defaults(),
    "set_resource_defaults": lambda admin: admin.set_resource_defaults("gpt-4", OTHER),
    "delete_resource_defaults": lambda admin: admin.delete_resource_defaults("gpt-4"),
    "disable_resource": lambda admin: admin.disable_resource("gpt-4"),
    "enable_resource": lambda admin: admin.enable_resource("off"),
    "reset": lambda admin: admin.reset("key", "gpt-4"),
    "top_up": lambda admin: admin.top_up("key", "gpt-4", {"rpm": 1}),
}
READINGS: dict[str, Callable[[Administrator], object]] = {
    "get_entity": lambda admin: admin.get_entity("key"),
    "list_entities": lambda admin: admin.list_entities(),
    "list_children": lambda admin: admin.list_children("project"),
    "list_buckets": lambda admin: admin.list_buckets("key"),
    "get_limits": lambda admin: admin.get_limits("key", "gpt-4"),
    "list_limits": lambda admin: admin.list_limits("key"),
    "get_system_defaults": lambda admin: admin.get_system_defaults(),
    "resolve_limits": lambda admin: admin.resolve_limits("key", "gpt-4"),
    "get_resource_defaults": lambda admin: admin.get_resource_defaults("gpt-4"),
    "get_resource": lambda admin: admin.get_resource("gpt-4"),
    "list_resources_with_defaults": lambda admin: admin.list_resources_with_defaults(),
    "list_audit": lambda admin: admin.list_audit("entity:key"),
    "usage": lambda admin: admin.usage("key", "gpt-4"),
    "resource_usage": lambda admin: admin.resource_usage("gpt-4"),
}


def test_every_method_of_administration_is_tried_here() -> None:
    methods = {name for name, _ in inspect.getmembers(Administrator, inspect.isfunction) if name[0] != "_"}
    assert methods == {*CHANGES, *READINGS, "backfill_registry"}


@cache
def prepared() -> MemoryRepository:
    """Return a table with something for every change to change, a change that is pending among them."""
    memory = MemoryRepository()
    limiter = Limiter(memory)
    limiter.create_entity("project")
    limiter.create_entity("key", "project")
    limiter.set_limits("key", RPM, resource="gpt-4")
    limiter.set_resource_defaults("gpt-4", RPM)
    limiter.set_system_defaults(RPM)
    limiter.disable_entity("off")
    limiter.disable_resource("off")
    limiter.acquire("key", "gpt-4", {"rpm": 7})
    limiter.set_limits("pending", RPM, resource="gpt-4")
    limiter.acquire("pending", "gpt-4", {"rpm": 1})
    note = Add(schema.ENTITY_PENDING, frozenset({"change:gpt-4"}))
    memory.execute((Update(schema.entity_key("pending"), (note,)),), timeout_ms=1_000)
    return memory


def store(memory: MemoryRepository, client: DynamoDBClient) -> None:
    """Write all that is in a table in memory; calls one after the other would take their time."""
    load(Table(client, TABLE_NAME), memory.items.items())


@pytest.mark.parametrize(
    "function", ["AcquireFunction", "BackfillFunction", "SweepFunction", "AggregatorFunction"]
)
@pytest.mark.parametrize("change", CHANGES)
def test_only_administration_changes_limits_and_entities(
    change: str, function: str, repository_of: Open, moto_client: DynamoDBClient
) -> None:
    store(prepared(), moto_client)
    before = snapshot(moto_client)

    with pytest.raises(StoreDenied):
        CHANGES[change](Administrator(repository_of(function)))

    assert snapshot(moto_client) == before


# --- administration --------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [*CHANGES, *READINGS])
def test_administration_may_do_all_that_it_is_for(
    call: str, repository_of: Open, moto_client: DynamoDBClient
) -> None:
    store(prepared(), moto_client)
    before = snapshot(moto_client)
    {**CHANGES, **READINGS}[call](Administrator(repository_of("AdminFunction")))
    assert (snapshot(moto_client) != before) is (call in CHANGES)


def test_administration_deletes_entities_with_all_that_they_have(repository_of: Open, limiter: Limiter) -> None:
    admin = Administrator(repository_of("AdminFunction"))
    limiter.create_entity("grandparent")
    limiter.create_entity("parent", "grandparent")
    limiter.create_entity("child", "parent")
    limiter.set_limits("parent", RPM)
    limiter.set_limits("parent", RPM, resource="gpt-4")
    limiter.acquire("parent", "gpt-4", {"rpm": 1})
    assert admin.delete_entity("parent", children="reparent").is_complete
    with pytest.raises(EntityNotFound):
        admin.get_entity("parent")
    assert admin.get_entity("child").parent_id == "grandparent"


@pytest.mark.parametrize("function", ["AdminFunction", "BackfillFunction", "SweepFunction", "AggregatorFunction"])
@pytest.mark.parametrize("entity_id", ["key", "stranger"])
@pytest.mark.parametrize("cascade", [True, False, "transaction"])
def test_only_acquire_spends(
    cascade: Any,  # noqa: ANN401 - a literal
    entity_id: str,
    function: str,
    repository_of: Open,
    moto_client: DynamoDBClient,
) -> None:
    store(prepared(), moto_client)
    before = snapshot(moto_client)

    with pytest.raises(StoreDenied):
        Limiter(repository_of(function)).acquire(entity_id, "gpt-4", {"rpm": 1}, cascade=cascade)

    assert snapshot(moto_client) == before


# --- backfill --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dry_run", [False, True])
def test_the_backfill_may_do_all_that_it_is_for(
    dry_run: bool, repository_of: Open, limiter: Limiter, moto_client: DynamoDBClient
) -> None:
    store(prepared(), moto_client)
    for number in range(30):
        limiter.set_resource_defaults(f"model-{number}", RPM)
    moto_client.update_item(
        TableName=TABLE_NAME,
        Key={"PK": {"S": "SYSTEM#"}, "SK": {"S": "#RESOURCES"}},
        UpdateExpression="SET resources = :names",
        ExpressionAttributeValues={":names": {"SS": ["without-defaults"]}},
    )
    others = snapshot(moto_client, but=("SYSTEM#",))
    backfill = Administrator(repository_of("BackfillFunction"))

    report = backfill.backfill_registry(dry_run=dry_run, prune=True)

    assert (report.status, report.added, report.removed) == ("complete", 31, 1)
    assert len(limiter.list_resources_with_defaults()) == (1 if dry_run else 31)
    assert snapshot(moto_client, but=("SYSTEM#",)) == others


@pytest.mark.parametrize("function", ["AcquireFunction", "AdminFunction", "SweepFunction", "AggregatorFunction"])
def test_only_the_backfill_reads_the_whole_table(function: str, repository_of: Open) -> None:
    with pytest.raises(StoreDenied):
        Administrator(repository_of(function)).backfill_registry()


# --- sweep -------------------------------------------------------------------------------------------


@cache
def expired() -> MemoryRepository:
    """Return a table with leases of days ago, all over by now; none finds its buckets as it left them."""
    memory = MemoryRepository()
    past = Limiter(memory, clock=lambda: wall_clock_ms() - 5 * DAY_MS)
    past.create_entity("company")
    past.set_limits("company", [Limit.per_day("images", 1)])
    parents = {"project": "company", "key": "project", "other": "project", "gone": None}
    for entity_id, parent_id in parents.items():
        past.create_entity(entity_id, parent_id)
        past.set_limits(entity_id, [*RPM, Limit.concurrent("slots", 4, 60), Limit.per_day("rpd", 1, burst=10)])
    wanted = {"rpm": 1, "rpd": 1, "slots": 1}
    for entity_id in ("key", "other", "gone", "key"):
        past.acquire(entity_id, "gpt-4", wanted, durable=True, expires_in=86_400)
    past.acquire("key", "gpt-4", wanted, durable=True, expires_in=86_400, on_expiry="keep")
    past.set_limits("key", [*RPM, Limit.per_day("rpd", 1, burst=20)])
    past.acquire("key", "gpt-4", {"rpd": 1})
    memory.delete(schema.bucket_key("gone", "gpt-4"))
    return memory


def test_the_sweep_may_do_all_that_it_is_for(repository_of: Open, moto_client: DynamoDBClient) -> None:
    store(expired(), moto_client)
    others = snapshot(moto_client, but=("BUCKET#", "LEASE#"))

    report = Sweeper(repository_of("SweepFunction"), timeout_ms=60_000).sweep(lambda: 60_000)

    assert report == SweepReport(released=4, kept=1)
    assert snapshot(moto_client, but=("BUCKET#", "LEASE#")) == others
    assert tokens_used(moto_client, "rpd") == {"project": 2, "key": 2, "other": 0}


def tokens_used(client: DynamoDBClient, name: str) -> dict[str, int]:
    """Return what the buckets say was spent under a limit, by entity."""
    items = client.scan(TableName=TABLE_NAME)["Items"]
    buckets = {item["PK"]["S"].split("#")[1]: item for item in items if item["PK"]["S"].startswith("BUCKET#")}
    return {entity_id: int(item[f"u.{name}"]["N"]) for entity_id, item in buckets.items()}


@pytest.mark.parametrize("function", ["AcquireFunction", "BackfillFunction", "AggregatorFunction"])
def test_only_the_sweep_finds_what_has_expired(
    function: str, repository_of: Open, moto_client: DynamoDBClient
) -> None:
    store(expired(), moto_client)
    before = snapshot(moto_client)

    with pytest.raises(StoreDenied):
        Sweeper(repository_of(function)).sweep(lambda: 60_000)

    assert snapshot(moto_client) == before


def test_administration_finds_what_has_expired_and_cannot_end_it(
    repository_of: Open, moto_client: DynamoDBClient
) -> None:
    store(expired(), moto_client)
    before = snapshot(moto_client)

    assert Sweeper(repository_of("AdminFunction")).sweep(lambda: 60_000) == SweepReport(failed=5)

    assert snapshot(moto_client) == before


@pytest.mark.parametrize("function", ["AdminFunction", "BackfillFunction", "SweepFunction", "AggregatorFunction"])
@pytest.mark.parametrize(
    "end", [DurableLease.settle, DurableLease.release, DurableLease.renew], ids=["settle", "release", "renew"]
)
def test_only_acquire_ends_or_renews_the_lease_of_a_caller(
    end: Callable[[DurableLease], object],
    function: str,
    repository_of: Open,
    limiter: Limiter,
    moto_client: DynamoDBClient,
) -> None:
    limiter.set_limits("key", RPM)
    lease = limiter.acquire("key", "gpt-4", {"rpm": 7}, durable=True, expires_in=60)
    before = snapshot(moto_client)

    with pytest.raises(StoreDenied):
        end(Limiter(repository_of(function)).lease(str(lease.id)))

    assert snapshot(moto_client) == before


# --- aggregator --------------------------------------------------------------------------------------


@cache
def spend_and_stream() -> list[StreamRecord]:
    """Return what the stream reports of a bucket that is spent from, given back to and refuses, over an hour."""
    memory = StreamedMemory()
    now_ms = wall_clock_ms()
    limiter = Limiter(memory, clock=lambda: now_ms)
    limits = [*RPM, Limit.concurrent("slots", 4, 60)]
    for _ in range(20):
        now_ms += 200_000
        with limiter.acquire("key", "gpt-4", {"rpm": 10, "slots": 1}, limits=limits) as lease:
            lease.adjust({"rpm": -3})
        with suppress(RateLimitExceeded):
            limiter.acquire("key", "gpt-4", {"rpm": 60, "slots": 1}, limits=limits)
    return memory.records


def test_the_aggregator_may_do_all_that_it_is_for(
    repository_of: Open, limiter: Limiter, moto_client: DynamoDBClient
) -> None:
    store(prepared(), moto_client)
    others = snapshot(moto_client)
    records = spend_and_stream()
    plan = UsagePlan(DEFAULT_RETENTION_DAYS)

    for start in range(0, len(records), 7):
        for batch in (records[start : start + 7], records[: start + 4]):
            report = Aggregator(repository_of("AggregatorFunction"), plan=plan).count(batch)
            assert (report.failures, report.unreadable) == ({}, {})

    assert snapshot(moto_client, but=("USAGE#",)) == others
    records_by_day = limiter.usage("key", "gpt-4", "day", 0, LAST_MS).items
    assert sum(record.limits["rpm"].tokens for record in records_by_day) == 20 * 7


@pytest.mark.parametrize("function", ["AcquireFunction", "AdminFunction", "BackfillFunction", "SweepFunction"])
def test_only_the_aggregator_counts_usage(function: str, repository_of: Open, moto_client: DynamoDBClient) -> None:
    records = spend_and_stream()

    report = Aggregator(repository_of(function)).count(records)

    assert len(report.failures) == len(records)
    assert all(isinstance(error, StoreDenied) for error in report.failures.values())
    assert snapshot(moto_client) == []


# --- single calls that no flow makes ----------------------------------------------------------------


def key(partition: str, sort: str = "#META") -> dict[str, Any]:
    return {"PK": {"S": partition}, "SK": {"S": sort}}


def update(partition: str, attribute: str, sort: str = "#META") -> Callable[[DynamoDBClient], object]:
    return lambda client: client.update_item(
        TableName=TABLE_NAME,
        Key=key(partition, sort),
        UpdateExpression="SET #a = :v",
        ExpressionAttributeNames={"#a": attribute},
        ExpressionAttributeValues={":v": {"N": "1"}},
    )


def put(partition: str, sort: str = "#META") -> Callable[[DynamoDBClient], object]:
    return lambda client: client.put_item(TableName=TABLE_NAME, Item=key(partition, sort))


def delete(partition: str, sort: str = "#META") -> Callable[[DynamoDBClient], object]:
    return lambda client: client.delete_item(TableName=TABLE_NAME, Key=key(partition, sort))


def query(name: str, partition: str, index: str | None = None) -> Callable[[DynamoDBClient], object]:
    where: Any = {"IndexName": index} if index else {}
    return lambda client: client.query(
        TableName=TABLE_NAME,
        KeyConditionExpression=f"{name} = :p",
        ExpressionAttributeValues={":p": {"S": partition}},
        **where,
    )


def read(partition: str, sort: str) -> Callable[[DynamoDBClient], object]:
    return lambda client: client.batch_get_item(RequestItems={TABLE_NAME: {"Keys": [key(partition, sort)]}})


def in_transaction(kind: str, request: dict[str, Any]) -> Callable[[DynamoDBClient], object]:
    part: Any = {kind: {"TableName": TABLE_NAME, **request}}
    return lambda client: client.transact_write_items(TransactItems=[part])


DENIED: dict[str, list[tuple[str, Callable[[DynamoDBClient], object]]]] = {
    "AcquireFunction": [
        ("name an entity", update("ENTITY#key", "name")),
        ("move an entity", update("ENTITY#key", "parent_id")),
        ("enable an entity", update("ENTITY#key", "disabled_at")),
        ("enable an entity for a resource", update("ENTITY#key", "disabled.gpt-4")),
        ("end a deletion", update("ENTITY#key", "deleting_at")),
        ("make an entity", update("ENTITY#key", "created_at")),
        ("list an entity", update("ENTITY#key", "GSI1PK")),
        ("forget what is pending", update("ENTITY#key", "pending")),
        ("set limits", update("ENTITY#key", "limits", "#LIMITS#")),
        ("put limits", put("ENTITY#key", "#LIMITS#")),
        ("delete limits", delete("ENTITY#key", "#LIMITS#")),
        ("delete a bucket", delete("BUCKET#key#gpt-4", "#STATE")),
        ("set defaults", update("RESOURCE#gpt-4", "limits", "#LIMITS")),
        ("put system defaults", put("SYSTEM#", "#LIMITS")),
        ("change the registry", update("SYSTEM#", "resources", "#RESOURCES")),
        ("record a change", put("AUDIT#system", "1")),
        ("delete a lease", delete("LEASE#a", "#STATE")),
        ("look for leases", query("GSI1PK", "EXPIRY#0", "GSI1")),
        ("count usage", update("USAGE#key#gpt-4", "u.rpm", "hour#2026-11-21T22:00Z")),
        ("delete in a transaction", in_transaction("Delete", {"Key": key("ENTITY#key")})),
        ("put in a transaction", in_transaction("Put", {"Item": key("ENTITY#key")})),
    ],
    "AdminFunction": [
        ("make a bucket", put("BUCKET#key#gpt-4", "#STATE")),
        ("count tokens", update("BUCKET#key#gpt-4", "u.rpm", "#STATE")),
        ("take a request's slot", update("BUCKET#key#gpt-4", "r.0", "#STATE")),
        ("change a bucket's limits", update("BUCKET#key#gpt-4", "lim", "#STATE")),
        ("make a bucket expire", update("BUCKET#key#gpt-4", "ttl", "#STATE")),
        ("rewrite a record", update("AUDIT#system", "actor", "1")),
        ("delete a record", delete("AUDIT#system", "1")),
        ("forget an operation", delete("OPERATION#key#a", "#STATE")),
        ("store a lease", put("LEASE#a", "#STATE")),
        ("end a lease", update("LEASE#a", "ended", "#STATE")),
        ("count usage", update("USAGE#key#gpt-4", "u.rpm", "hour#2026-11-21T22:00Z")),
        ("make a bucket in a transaction", in_transaction("Put", {"Item": key("BUCKET#key#gpt-4", "#STATE")})),
    ],
    "BackfillFunction": [
        ("set defaults", update("RESOURCE#gpt-4", "limits", "#LIMITS")),
        ("put defaults", put("RESOURCE#gpt-4", "#LIMITS")),
        ("delete defaults", delete("RESOURCE#gpt-4", "#LIMITS")),
        ("set system defaults", update("SYSTEM#", "limits", "#LIMITS")),
        ("put an entity", put("ENTITY#key")),
        ("spend", update("BUCKET#key#gpt-4", "v.rpm", "#STATE")),
        ("count usage", update("USAGE#key#gpt-4", "u.rpm", "hour#2026-11-21T22:00Z")),
        ("record a change", put("AUDIT#system", "1")),
    ],
    "SweepFunction": [
        ("give a lease to another", update("LEASE#a", "owner", "#STATE")),
        ("let a lease keep its tokens", update("LEASE#a", "on_expiry", "#STATE")),
        ("change what was asked for", update("LEASE#a", "fingerprint", "#STATE")),
        ("store a lease", put("LEASE#a", "#STATE")),
        ("delete a lease", delete("LEASE#a", "#STATE")),
        ("store a lease in a transaction", in_transaction("Put", {"Item": key("LEASE#a", "#STATE")})),
        ("make a bucket", put("BUCKET#key#gpt-4", "#STATE")),
        ("delete a bucket", delete("BUCKET#key#gpt-4", "#STATE")),
        ("change a bucket's limits", update("BUCKET#key#gpt-4", "lim", "#STATE")),
        ("move a bucket", update("BUCKET#key#gpt-4", "par", "#STATE")),
        ("list a bucket", update("BUCKET#key#gpt-4", "GSI1PK", "#STATE")),
        ("list buckets", update("ENTITY#key", "buckets")),
        ("put an entity", put("ENTITY#key")),
        ("set limits", update("ENTITY#key", "limits", "#LIMITS#")),
        ("set defaults", update("RESOURCE#gpt-4", "limits", "#LIMITS")),
        ("change the registry", update("SYSTEM#", "resources", "#RESOURCES")),
        ("record a change", put("AUDIT#system", "1")),
        ("forget an operation", delete("OPERATION#key#a", "#STATE")),
        ("read a bucket", read("BUCKET#key#gpt-4", "#STATE")),
        ("read limits", read("ENTITY#key", "#LIMITS#")),
        ("list the children of an entity", query("GSI1PK", "PARENT#key", "GSI1")),
        ("list limits", query("PK", "ENTITY#key")),
        ("list records", query("PK", "AUDIT#system")),
        ("count usage", update("USAGE#key#gpt-4", "u.rpm", "hour#2026-11-21T22:00Z")),
    ],
    "AggregatorFunction": [
        ("put totals", put("USAGE#key#gpt-4", "hour#2026-11-21T22:00Z")),
        ("delete totals", delete("USAGE#key#gpt-4", "hour#2026-11-21T22:00Z")),
        ("write something else into totals", update("USAGE#key#gpt-4", "limits", "hour#2026-11-21T22:00Z")),
        ("list totals", query("PK", "USAGE#key#gpt-4")),
        ("rank totals", query("GSI1PK", "USAGE#gpt-4#hour#2026-11-21T22:00Z#0", "GSI1")),
        ("read a bucket", read("BUCKET#key#gpt-4", "#STATE")),
        ("spend", update("BUCKET#key#gpt-4", "u.rpm", "#STATE")),
        ("make a bucket", put("BUCKET#key#gpt-4", "#STATE")),
        ("put an entity", put("ENTITY#key")),
        ("read limits", read("ENTITY#key", "#LIMITS#")),
        ("end a lease", update("LEASE#a", "ttl", "#STATE")),
        ("change the registry", update("SYSTEM#", "n", "#RESOURCES")),
        ("record a change", put("AUDIT#system", "1")),
        ("put totals in a transaction", in_transaction("Put", {"Item": key("USAGE#key#gpt-4", "hour#x")})),
    ],
}


@pytest.mark.parametrize(
    ("function", "what", "call"),
    [(function, what, call) for function, calls in DENIED.items() for what, call in calls],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_none_of_a_function_is_denied(
    function: str, what: str, call: Callable[[DynamoDBClient], object], role: Role
) -> None:
    with pytest.raises(ClientError) as denied:
        call(role(function))
    assert denied.value.response["Error"]["Code"] == "AccessDeniedException"
