"""Whom a cascade charges: every level of the family, and nobody who was only said to belong to it."""

from __future__ import annotations

import pytest

from leasegate import Limit, Limiter
from leasegate.flows.grants import Cascade
from leasegate.knowledge import DEFAULT_MAX_AGE_MS
from leasegate.limits import DAY_MS
from tests.fixtures.tables import MemoryTable

FAMILY = ("company", "department", "project", "key-1")
RPM = (Limit.per_day("rpm", 100),)


def spent(table: MemoryTable, entity_id: str) -> int:
    return 100 - table.process().available(entity_id, "gpt-4", limits=RPM)["rpm"].available


@pytest.fixture
def family(admin: Limiter) -> None:
    """Create four levels, each the parent of the next, and limits on all but the last; defaults are for that."""
    for parent_id, entity_id in zip((None, *FAMILY), FAMILY, strict=False):
        admin.create_entity(entity_id, parent_id)
    for entity_id in FAMILY[:-1]:
        admin.set_limits(entity_id, RPM)
    admin.set_resource_defaults("gpt-4", RPM)


@pytest.mark.usefixtures("family")
@pytest.mark.parametrize("cascade", [True, "transaction"])
def test_a_grant_spends_at_every_one_of_four_levels(table: MemoryTable, cascade: Cascade) -> None:
    cold, warm = table.process(), table.process()
    for limiter in (warm, warm, cold):
        limiter.acquire("key-1", "gpt-4", {"rpm": 1}, cascade=cascade)
    assert [spent(table, entity_id) for entity_id in FAMILY] == [3, 3, 3, 3]


@pytest.mark.usefixtures("family")
def test_a_parent_that_was_only_hinted_at_is_not_charged(table: MemoryTable, admin: Limiter) -> None:
    admin.create_entity("stranger")
    admin.set_limits("stranger", RPM)
    table.process().acquire("key-1", "gpt-4", {"rpm": 1})
    table.now_ms += DAY_MS  # all is full again: the guess at the unseen bucket is right but for its parent
    limiter = table.process()
    limiter.acquire("another", "gpt-4", {"rpm": 1})  # so that it knows the defaults, and tries key-1 under them
    limiter.acquire("key-1", "gpt-4", {"rpm": 1}, parent_id="stranger")
    assert [spent(table, entity_id) for entity_id in ("stranger", *FAMILY)] == [0, 1, 1, 1, 1]


def test_limits_that_a_parent_gets_meanwhile_are_given_back_too(table: MemoryTable, admin: Limiter) -> None:
    for parent_id, entity_id in ((None, "project"), ("project", "key-1"), ("project", "key-2")):
        admin.create_entity(entity_id, parent_id)
    admin.set_resource_defaults("gpt-4", RPM)
    process = table.process()
    for entity_id in ("key-1", "key-2"):
        process.acquire(entity_id, "gpt-4", {"rpm": 0})  # so that it knows that the project has no limits

    def meanwhile() -> None:
        admin.set_limits("project", RPM)
        table.process().acquire("key-1", "gpt-4", {"rpm": 1})  # so that key-1 is not full, as process believes
        table.now_ms += DEFAULT_MAX_AGE_MS + 1
        process.acquire("key-2", "gpt-4", {"rpm": 1})  # another thread, which reads what the project has now

    table.before_trip(1, meanwhile)
    lease = process.acquire("key-1", "gpt-4", {"rpm": 5})
    assert spent(table, "project") == 7
    lease.release()
    assert spent(table, "project") == 2
