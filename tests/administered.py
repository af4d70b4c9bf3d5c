"""What tests of administration have in common: key-1, its limits, its bucket, and those who spend from it."""

from __future__ import annotations

import pytest

from leasegate import Disabled, Knowledge, Limit, Limiter, schema
from leasegate.flows.acquire import acquire
from leasegate.flows.auditing import Signature
from leasegate.flows.grants import Ask, Grant
from leasegate.flows.spending import Request
from tests.fixtures.tables import MemoryTable, Steps

RPM = Limit.per_minute("rpm", 60)
BUCKET = schema.bucket_key("key-1", "gpt-4")
RESOURCES = [f"model-{number:03}" for number in range(120)]


def spend(process: Limiter, entity_id: str = "key-1", resource: str = "gpt-4") -> None:
    process.acquire(entity_id, resource, {"rpm": 1})


def warm(table: MemoryTable, level: str = "entity") -> Limiter:
    """Return a process that spent for key-1 before, under limits of a level."""
    process = table.process()
    if level == "entity":
        process.set_limits("key-1", [RPM])
    else:
        process.set_system_defaults([RPM])
    spend(process)
    return process


def refusal(process: Limiter, entity_id: str = "key-1", resource: str = "gpt-4") -> tuple[str | None, str]:
    """Return who is disabled, and for what."""
    with pytest.raises(Disabled) as caught:
        spend(process, entity_id, resource)
    return caught.value.entity_id, caught.value.resource


def populate(process: Limiter, resources: list[str]) -> None:
    """Give key-1 limits for all resources but the first, and buckets for all."""
    process.create_entity("project")
    process.create_entity("key-1", "project")
    process.set_limits("key-1", [RPM])
    for resource in resources[1:]:
        process.set_limits("key-1", [RPM], resource)
    for resource in resources:
        process.acquire("key-1", resource, {"rpm": 1})


def left_of(table: MemoryTable, entity_id: str) -> list[str]:
    """Return what there still is of an entity: its record, limits that hold, buckets."""
    left = []
    for key, item in table.memory.items.items():
        is_limits = key.pk == f"ENTITY#{entity_id}" and schema.STORED_LIMITS in item
        if key == schema.entity_key(entity_id) or is_limits or key.pk.startswith(f"BUCKET#{entity_id}#"):
            left.append("/".join(key))
    return left


def begin_acquire(table: MemoryTable, request_id: str = "slow") -> Steps[Grant]:
    """Return an acquire of a cold process, before its first round trip."""
    ask = Ask("key-1", "gpt-4", {"rpm": 1})
    return Steps(table, acquire(ask, Request(request_id, 0, table.now_ms), Knowledge()))


def sign(table: MemoryTable, name: str) -> Signature:
    return Signature("tests", name, table.now_ms)
