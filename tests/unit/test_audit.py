"""The audit: one record of every change, in the change's own transaction, and none where nothing changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from leasegate import AuditRecord, EntityExists, InvalidRequest, Limit, Limiter, schema
from leasegate.errors import StoreUnavailable
from leasegate.operations import Failed, Operation, Outcome, Put, Transact
from tests.fixtures.tables import MemoryTable

RPM = Limit.per_minute("rpm", 60)
RPM_AS_JSON = ({"name": "rpm", "capacity": 60, "amount": 60, "period_ms": 60_000},)
KEPT_S = 90 * 86_400
NOTHING: dict[str, object] = {"parent_id": None, "name": None, "metadata": {}}

type Call = Callable[..., object]


@pytest.fixture
def admin(table: MemoryTable) -> Limiter:
    return table.process("arn:aws:iam::1:user/ann")


def records(process: Limiter, *scopes: str) -> list[AuditRecord]:
    return [record for scope in scopes for record in process.list_audit(scope).items]


def prepare(admin: Limiter) -> None:
    """Make one of everything, so that each change has something before."""
    admin.create_entity("project")
    admin.create_entity("key-1", "project", name="Key", metadata={"a": "b"})
    admin.set_limits("key-2", [RPM])
    admin.set_limits("key-2", [RPM], "gpt-4")
    admin.disable_entity("key-3", "gpt-4")
    admin.set_system_defaults([RPM])
    admin.set_resource_defaults("gpt-4", [RPM])
    admin.disable_resource("gpt-3")
    admin.acquire("key-2", "gpt-4", {"rpm": 20})


CHANGES: list[tuple[str, str, str | None, Any, Any, Call]] = [
    (
        "entity:new",
        "create_entity",
        None,
        None,
        NOTHING | {"name": "x"},
        lambda x, **o: x.create_entity("new", name="x", **o),
    ),
    ("entity:new", "create_entity", None, None, NOTHING, lambda x, **o: x.put_entity("new", **o)),
    (
        "entity:key-1",
        "update_entity",
        None,
        {"parent_id": "project", "name": "Key", "metadata": {"a": "b"}},
        {"parent_id": "project", "name": "K", "metadata": {"a": "b", "c": "d"}},
        lambda x, **o: x.update_entity("key-1", name="K", metadata={"c": "d"}, **o),
    ),
    (
        "entity:key-1",
        "move_entity",
        None,
        {"parent_id": "project", "name": "Key", "metadata": {"a": "b"}},
        {"parent_id": None, "name": "Key", "metadata": {"a": "b"}},
        lambda x, **o: x.move_entity("key-1", None, **o),
    ),
    ("entity:new", "set_limits", None, None, RPM_AS_JSON, lambda x, **o: x.set_limits("new", [RPM], **o)),
    ("entity:new", "set_limits", "a", None, RPM_AS_JSON, lambda x, **o: x.set_limits("new", [RPM], "a", **o)),
    ("entity:key-2", "delete_limits", None, RPM_AS_JSON, None, lambda x, **o: x.delete_limits("key-2", **o)),
    (
        "entity:key-2",
        "delete_limits",
        "gpt-4",
        RPM_AS_JSON,
        None,
        lambda x, **o: x.delete_limits("key-2", "gpt-4", **o),
    ),
    ("system", "set_limits", None, RPM_AS_JSON, RPM_AS_JSON, lambda x, **o: x.set_system_defaults([RPM], **o)),
    ("system", "delete_limits", None, RPM_AS_JSON, None, lambda x, **o: x.delete_system_defaults(**o)),
    (
        "resource:new",
        "set_limits",
        "new",
        None,
        RPM_AS_JSON,
        lambda x, **o: x.set_resource_defaults("new", [RPM], **o),
    ),
    (
        "resource:gpt-4",
        "delete_limits",
        "gpt-4",
        RPM_AS_JSON,
        None,
        lambda x, **o: x.delete_resource_defaults("gpt-4", **o),
    ),
    (
        "entity:new",
        "disable",
        None,
        {"disabled": False},
        {"disabled": True},
        lambda x, **o: x.disable_entity("new", **o),
    ),
    (
        "entity:key-3",
        "enable",
        "gpt-4",
        {"disabled": True},
        {"disabled": False},
        lambda x, **o: x.enable_entity("key-3", "gpt-4", **o),
    ),
    (
        "resource:new",
        "disable",
        "new",
        {"disabled": False},
        {"disabled": True},
        lambda x, **o: x.disable_resource("new", **o),
    ),
    (
        "resource:gpt-3",
        "enable",
        "gpt-3",
        {"disabled": True},
        {"disabled": False},
        lambda x, **o: x.enable_resource("gpt-3", **o),
    ),
    (
        "entity:key-2",
        "top_up",
        "gpt-4",
        {"available": {"rpm": 40}},
        {"available": {"rpm": 45}, "operation_id": "op"},
        lambda x, **o: x.top_up("key-2", "gpt-4", {"rpm": 5}, operation_id="op", **o),
    ),
    (
        "entity:key-2",
        "reset",
        "gpt-4",
        {"available": {"rpm": 40}},
        {"available": {"rpm": 60}, "operation_id": "op"},
        lambda x, **o: x.reset("key-2", "gpt-4", operation_id="op", **o),
    ),
]
EVERY = pytest.mark.parametrize(
    ("scope", "action", "resource", "before", "after", "change"),
    CHANGES,
    ids=[f"{action} {scope} {resource or ''}".strip() for scope, action, resource, *_ in CHANGES],
)


def audit_keys(table: MemoryTable) -> set[tuple[str, str]]:
    return {tuple(key) for key in table.memory.items if key.pk.startswith("AUDIT#")}  # type: ignore[misc]  # a pair


@EVERY
def test_a_change_leaves_exactly_one_record(
    table: MemoryTable,
    admin: Limiter,
    scope: str,
    action: str,
    resource: str | None,
    before: object,
    after: object,
    change: Call,
) -> None:
    prepare(admin)
    known = audit_keys(table)
    table.now_ms += 1
    change(admin)
    (new,) = audit_keys(table) - known
    record = admin.list_audit(scope).items[0]
    assert (record.scope, record.action, record.resource) == (scope, action, resource)
    assert (record.before, record.after) == (before, after)
    assert (record.actor, record.at_ms) == ("arn:aws:iam::1:user/ann", table.now_ms)
    item = {tuple(key): item for key, item in table.memory.items.items()}[new]
    assert item[schema.EXPIRES_AT] == table.now_ms // 1000 + KEPT_S


@EVERY
def test_a_call_can_name_its_actor(
    table: MemoryTable,
    admin: Limiter,
    scope: str,
    action: str,
    resource: str | None,
    before: object,
    after: object,
    change: Call,
) -> None:
    prepare(admin)
    table.now_ms += 1
    change(admin, actor="somebody else")
    assert admin.list_audit(scope).items[0].actor == "somebody else"


class Deaf(MemoryTable):
    """A table that does not take transactions any more once it is ``deaf``, and notes which it was offered."""

    def __init__(self) -> None:
        super().__init__()
        self.deaf = False
        self.offered: list[Operation] = []

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        if self.deaf and any(isinstance(operation, Transact) for operation in operations):
            self.offered += operations
            return tuple(Failed(StoreUnavailable("no")) for _ in operations)
        return super().execute(operations, timeout_ms=timeout_ms)


@EVERY
def test_the_record_stands_in_the_transaction_of_its_change(
    scope: str, action: str, resource: str | None, before: object, after: object, change: Call
) -> None:
    table = Deaf()
    admin = table.process()
    prepare(admin)
    table.deaf = True
    items = table.memory.items
    with pytest.raises(StoreUnavailable):
        change(admin)
    assert table.memory.items == items, "neither the change nor its record"
    (transaction,) = table.offered
    assert isinstance(transaction, Transact)
    audited = [x for x in transaction.actions if isinstance(x, Put) and x.key.pk == f"AUDIT#{scope}"]
    assert len(audited) == 1


def test_a_deletion_is_recorded_from_its_beginning_to_its_end(table: MemoryTable, admin: Limiter) -> None:
    prepare(admin)
    table.now_ms += 1
    admin.delete_entity("key-2", actor="bob")
    found = [x for x in admin.list_audit("entity:key-2").items if x.at_ms == table.now_ms]
    assert {x.actor for x in found} == {"bob"}
    assert sorted((x.action, x.resource or "", bool(x.before)) for x in found) == [
        ("delete_entity", "", True),
        ("delete_entity_begun", "", True),
        ("delete_limits", "", True),
        ("delete_limits", "gpt-4", True),
    ]


def test_a_moved_child_of_a_deleted_entity_has_a_record_of_its_own(table: MemoryTable, admin: Limiter) -> None:
    prepare(admin)
    table.now_ms += 1
    admin.delete_entity("project", children="reparent")
    record = admin.list_audit("entity:key-1").items[0]
    assert (record.action, record.at_ms) == ("move_entity", table.now_ms)
    assert record.after == {"parent_id": None, "name": "Key", "metadata": {"a": "b"}}


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.put_entity("key-1", "project", name="Key", metadata={"a": "b"}),
        lambda x: x.update_entity("key-1"),
        lambda x: x.move_entity("key-1", "project"),
        lambda x: x.delete_limits("nobody"),
        lambda x: x.delete_limits("key-1", "gpt-4"),
        lambda x: x.delete_resource_defaults("gpt-2"),
        lambda x: x.disable_entity("key-3", "gpt-4"),
        lambda x: x.enable_entity("key-1"),
        lambda x: x.disable_resource("gpt-3"),
        lambda x: x.enable_resource("gpt-4"),
        lambda x: x.finish_changes("key-1"),
    ],
)
def test_nothing_is_recorded_where_nothing_changed(
    table: MemoryTable, admin: Limiter, change: Callable[[Limiter], object]
) -> None:
    prepare(admin)
    before = table.memory.items
    for process in (admin, table.process()):
        change(process)
    assert table.memory.items == before


def test_nothing_is_recorded_of_a_change_that_was_refused(table: MemoryTable, admin: Limiter) -> None:
    prepare(admin)
    before = audit_keys(table)
    with pytest.raises(EntityExists):
        admin.create_entity("key-1")
    with pytest.raises(InvalidRequest):
        admin.move_entity("project", "key-1")
    assert audit_keys(table) == before


def test_what_was_there_before_is_told_exactly_by_a_process_that_knew_something_older(
    table: MemoryTable, admin: Limiter
) -> None:
    old, new = Limit.per_minute("rpm", 1), Limit.per_minute("rpm", 2)
    other = table.process()
    admin.set_limits("key-1", [RPM])
    other.set_limits("key-1", [old])
    table.now_ms += 1
    admin.set_limits("key-1", [new])
    before = admin.list_audit("entity:key-1").items[0].before
    assert before == ({"name": "rpm", "capacity": 1, "amount": 1, "period_ms": 60_000},)


# --- read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page_size", [1, 2, 3, 7, 8])
def test_records_are_listed_page_by_page_the_latest_first(
    table: MemoryTable, admin: Limiter, page_size: int
) -> None:
    for number in range(7):
        admin.set_limits("key-1", [Limit.per_minute("rpm", 1 + number)])
        admin.set_limits("key-10", [RPM])
        table.now_ms += number * 999
    times: list[int] = []
    ids: set[str] = set()
    cursor = None
    for _ in range(10):
        page = admin.list_audit("entity:key-1", cursor=cursor, page_size=page_size)
        times += [record.at_ms for record in page.items]
        ids |= {record.id for record in page.items}
        cursor = page.cursor
        if cursor is None:
            break
    assert times == sorted(times, reverse=True)
    assert (len(times), len(ids)) == (7, 7)


def test_scopes_do_not_mix(admin: Limiter) -> None:
    admin.set_limits("a", [RPM])
    admin.set_resource_defaults("a", [RPM])
    admin.set_system_defaults([RPM])
    admin.set_limits("system", [RPM])
    assert [record.scope for record in records(admin, "entity:a", "resource:a", "system", "entity:system")] == [
        "entity:a",
        "resource:a",
        "system",
        "entity:system",
    ]
    assert records(admin, "entity:b", "resource:b") == []


@pytest.mark.parametrize(
    "scope",
    [
        "",
        "entity",
        "entity:",
        "resource:",
        "system:",
        "system:a",
        "other:a",
        "entity:a#b",
        "a",
        None,
        1,
        "ENTITY:a",
    ],
)
def test_scopes_that_name_nothing_are_refused(table: MemoryTable, admin: Limiter, scope: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        admin.list_audit(scope)  # type: ignore[arg-type]  # that is the test
    assert (caught.value.field, table.trips) == ("scope", [])


@pytest.mark.parametrize("actor", ["", 1, None, "x" * 2_049])
def test_an_actor_has_a_name(table: MemoryTable, actor: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        table.process(actor)  # type: ignore[arg-type]  # that is the test
    assert caught.value.field == "actor"


def test_a_limiter_acts_as_the_library_unless_it_is_told(table: MemoryTable) -> None:
    Limiter(table, clock=lambda: table.now_ms).set_system_defaults([RPM])
    assert records(table.process(), "system")[0].actor == "library"
