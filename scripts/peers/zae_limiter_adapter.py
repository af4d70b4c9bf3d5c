"""zae-limiter, as a contestant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import boto3
from zae_limiter import Limit, RateLimitExceeded, SyncRateLimiter, SyncRepository
from zae_limiter.schema import get_table_definition

if TYPE_CHECKING:
    from scripts.peers.contestant import Tokens

TABLE: Final = "zae-limiter"


class ZaeLimiterContestant:
    """The library's synchronous half as its README shows it: speculative writes, caches of limits and refusals.

    Beside the other contestant: that an acquire spends from the parent too is a property of the entity, and the
    table is opened by calls of its own (a namespace, a version), which are made before anything is counted.
    """

    @classmethod
    def create_table(cls, endpoint_url: str) -> None:
        client = boto3.client("dynamodb", endpoint_url=endpoint_url)
        client.create_table(**get_table_definition(TABLE))
        client.get_waiter("table_exists").wait(TableName=TABLE, WaiterConfig={"Delay": 1})
        client.close()

    def __init__(self, endpoint_url: str) -> None:
        repository = SyncRepository.open(stack=TABLE, endpoint_url=endpoint_url)
        self._limiter = SyncRateLimiter(repository=repository)

    def store(self, entity_id: str, resource: str, limits: Tokens, parent_id: str | None = None) -> None:
        self._limiter.create_entity(entity_id, parent_id=parent_id, cascade=parent_id is not None)
        self._limiter.set_limits(entity_id, _per_minute(limits), resource)

    def store_defaults(self, resource: str, limits: Tokens) -> None:
        self._limiter.set_resource_defaults(resource, _per_minute(limits))

    def ask(self, entity_id: str, resource: str, consume: Tokens) -> float | None:
        try:
            with self._limiter.acquire(entity_id, resource, dict(consume)):
                return None
        except RateLimitExceeded as refusal:
            return float(refusal.retry_after_seconds)


def _per_minute(limits: Tokens) -> list[Limit]:
    return [Limit.per_minute(name, amount) for name, amount in limits.items()]
