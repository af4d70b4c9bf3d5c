"""What administrators do, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable

from leasegate import Limiter
from scripts.costs.tables import LIMITS, Situation, Table, measure, spend


def administered(table: Table) -> Limiter:
    """Return an administrator, of a table with a key under one of two projects, all of which have spent."""
    table.family("project", "key-1")
    admin = table.process()
    admin.create_entity("other")
    admin.set_resource_defaults("gpt-4", LIMITS)
    table.now_ms += 1
    return admin


def administer(change: Callable[[Limiter], object]) -> Situation:
    """Prepare a table that is in use, and a change of it."""

    def prepare(table: Table) -> Callable[[], object]:
        admin = administered(table)
        return lambda: change(admin)

    return prepare


def set_before(table: Table) -> Callable[[], object]:
    """Prepare defaults that another process set."""
    administered(table)
    other = table.process()
    return lambda: other.set_resource_defaults("gpt-4", LIMITS)


def disabled(*, again: bool) -> Situation:
    """Prepare a process that knows a bucket well, but not that its entity was disabled since."""

    def prepare(table: Table) -> Callable[[], object]:
        table.family("key-1")
        limiter = table.process()
        spend(limiter)()
        table.process().disable_entity("key-1")
        if again:
            measure(table, spend(limiter))
        return spend(limiter)

    return prepare


ADMINISTRATION: dict[str, Situation] = {
    "list the resources that have defaults": administer(lambda admin: admin.list_resources_with_defaults()),
    "the same, eventually consistent": administer(
        lambda admin: admin.list_resources_with_defaults(consistent=False)
    ),
    "say which limits hold for an entity and a resource": administer(
        lambda admin: admin.resolve_limits("key-1", "gpt-4")
    ),
    "set a resource's defaults, and list it": administer(lambda admin: admin.set_resource_defaults("x", LIMITS)),
    "the same, where another process set them before": set_before,
    "set limits that another process set before, and tell the bucket": administer(
        lambda admin: admin.set_limits("key-1", LIMITS)
    ),
    "create an entity under a parent": administer(lambda admin: admin.create_entity("key-2", "project")),
    "move an entity, and tell its bucket": administer(lambda admin: admin.move_entity("key-1", "other")),
    "disable an entity, and tell its bucket": administer(lambda admin: admin.disable_entity("key-1")),
    "an acquire of an entity that was disabled": disabled(again=False),
    "the same again, within 1 s": disabled(again=True),
    "top up a bucket": administer(lambda admin: admin.top_up("key-1", "gpt-4", {"tpm": 500})),
    "a page of the audit": administer(lambda admin: admin.list_audit("entity:key-1")),
}
"""Everything that is not an acquire that was allowed to spend."""
