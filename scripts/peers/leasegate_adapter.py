"""Leasegate, as a contestant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import boto3

from leasegate import Limit, Limiter, RateLimitExceeded
from leasegate.repository.dynamodb import DynamoRepository, dynamodb_client
from scripts import template

if TYPE_CHECKING:
    from scripts.peers.contestant import Tokens

TABLE: Final = "leasegate"


class LeasegateContestant:
    """The library as its README shows it: the suggested client, everything else as it is by default.

    Beside the other contestant: an acquire spends from the ancestors of an entity unless it is told not to.
    """

    @classmethod
    def create_table(cls, endpoint_url: str) -> None:
        template.create_table(boto3.client("dynamodb", endpoint_url=endpoint_url), TABLE)

    def __init__(self, endpoint_url: str) -> None:
        client = dynamodb_client(endpoint_url=endpoint_url)
        self._limiter = Limiter(DynamoRepository(client, TABLE))

    def store(self, entity_id: str, resource: str, limits: Tokens, parent_id: str | None = None) -> None:
        self._limiter.create_entity(entity_id, parent_id=parent_id)
        self._limiter.set_limits(entity_id, _per_minute(limits), resource=resource)

    def store_defaults(self, resource: str, limits: Tokens) -> None:
        self._limiter.set_resource_defaults(resource, _per_minute(limits))

    def ask(self, entity_id: str, resource: str, consume: Tokens) -> float | None:
        try:
            with self._limiter.acquire(entity_id, resource, consume):
                return None
        except RateLimitExceeded as refusal:
            return refusal.retry_after_ms / 1_000


def _per_minute(limits: Tokens) -> list[Limit]:
    return [Limit.per_minute(name, amount) for name, amount in limits.items()]
