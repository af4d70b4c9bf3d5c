"""The meter on the wire bills Leasegate as the package's own meter does, which never sees the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from leasegate import Limit, Limiter, RateLimitExceeded
from leasegate.metering import Meter
from leasegate.repository.dynamodb import DynamoRepository
from scripts.peers.gate import gate
from scripts.peers.wire_meter import WireMeter
from tests.chance import Chance
from tests.fixtures.dynamodb import dynamodb_client

if TYPE_CHECKING:
    from tests.fixtures.dynamodb import Table

STEPS = 200


@pytest.mark.parametrize("seed", range(300, 303))
def test_random_operations_have_the_same_bill_on_the_wire(seed: int, table: Table, dynamodb_local: str) -> None:
    chance, meter, wire = Chance(seed), Meter(), WireMeter(table.client)
    with (
        gate(dynamodb_local, wire) as url,
        DynamoRepository(dynamodb_client(url), table.name, observer=meter) as repository,
    ):
        for _ in range(STEPS):
            operations = chance.round_trip()
            chance.see(operations, repository.execute(operations, timeout_ms=30_000))
            assert wire.take() == meter.total, (seed, operations)
            meter.reset()


def test_acquires_have_the_same_bill_on_the_wire(table: Table, dynamodb_local: str) -> None:
    meter, wire = Meter(), WireMeter(table.client)
    limits = [Limit.per_minute("rpm", 10), Limit.per_minute("tpm", 10)]
    with (
        gate(dynamodb_local, wire) as url,
        DynamoRepository(dynamodb_client(url), table.name, observer=meter) as repository,
    ):
        limiter = Limiter(repository, timeout_ms=30_000)
        limiter.create_entity("project")
        limiter.set_limits("project", limits)
        limiter.create_entity("key", parent_id="project")
        limiter.set_resource_defaults("gpt-4", limits)
        limiter.acquire("key", "gpt-4", {"rpm": 1})
        limiter.acquire("key", "gpt-4", {"rpm": 9, "tpm": 10}, durable=True).release()
        with pytest.raises(RateLimitExceeded):
            for _ in range(20):
                limiter.acquire("key", "gpt-4", {"rpm": 5})
        limiter.move_entity("key", None)
        limiter.delete_entity("project")
    usage = wire.take()
    assert usage == meter.total
    assert usage.write_units > usage.calls
