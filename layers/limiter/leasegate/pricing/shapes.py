"""How large items get, by how long everything in them is: that decides what a write costs.

The items are put together by the code that writes them, so that nothing here knows what is in one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .. import schema
from ..changes import BucketChange
from ..driver import drive
from ..flows import leasing
from ..flows.counting import count_usage
from ..flows.grants import Charge, Grant
from ..flows.lifecycle import create, newborn
from ..flows.reading import EntityReading, Resolved
from ..flows.spending import Request
from ..flows.tickets import write_ticket
from ..knowledge import Recent
from ..limits import Limit, Limits, index_limits
from ..operations import Item, Key, Put
from ..repository.memory import MemoryRepository
from ..requesting import AcquireRequest, ask_for
from ..results import LeaseEnd
from ..schema import Bucket
from ..windows import UsagePlan, Window

AT_MS: Final = 4_000_000_000_123
"""The time at which items are looked at: as many digits as any until the year 2286, and no zeros at the end."""

_REQUEST: Final = Request("x" * 16, 0, AT_MS)
_LEASE_S: Final = 61


@dataclass(frozen=True, slots=True)
class Shape:
    """How long everything in an item is; numbers without round ones, which would be shorter.

    Attributes:
        ids: how long the ids of entities and resources are.
        names: how long limit names are.
        tokens: capacities, amounts, and whatever is counted.
        period_ms: the period of all limits.
    """

    ids: int = 36
    names: int = 5
    tokens: int = 999_999
    period_ms: int = 60_000

    @property
    def resource(self) -> str:
        """The resource that is spent."""
        return "r" * self.ids

    def entity(self, level: int) -> str:
        """Return the entity at a level of a cascade, 0 for the one that acquires."""
        return "epqt"[level] * self.ids

    def key(self, level: int = 0) -> Key:
        """Return the key of the bucket at a level."""
        return schema.bucket_key(self.entity(level), self.resource)

    def limits(self, count: int) -> Limits:
        """Return so many limits."""
        return index_limits(
            Limit(f"{number:02}".rjust(self.names, "l"), self.tokens, self.tokens, self.period_ms)
            for number in range(count)
        )

    def amounts(self, count: int) -> Mapping[str, int]:
        """Return tokens of each of so many limits, as many as there may be."""
        return dict.fromkeys(self.limits(count), self.tokens)


@dataclass(frozen=True, slots=True)
class Family:
    """An entity with ancestors above it, all with limits: as many ``levels`` as it has buckets to spend from."""

    shape: Shape
    limits: int
    levels: int = 1

    def fullest_bucket(self, level: int = 0) -> Item:
        """Build a bucket as big as it gets: every slot taken, every limit in use, and refusals of each."""
        item = self._put(level, grants=self.shape.tokens).item
        version = {schema.VERSION: AT_MS * 1_000 + self.shape.tokens}
        slots = {schema.request_attribute(slot): "x" * 16 for slot in range(schema.REQUEST_SLOTS)}
        refused = {schema.refused_attribute(name): self.shape.tokens for name in self.shape.limits(self.limits)}
        return {**item, **version, **slots, **refused}

    def newborn_bucket(self, level: int = 0) -> Item:
        """Build a bucket as it is created."""
        return self._put(level, grants=1).item

    def lease(self, *, expires: bool, ended: bool) -> tuple[Key, Item]:
        """Build a durable lease of all limits of all levels, open or settled.

        What it says of the grant is compressed; limits that have no number in common make it longer.
        """
        amounts = self.shape.amounts(self.limits)
        asked = AcquireRequest(
            self.shape.entity(0),
            self.shape.resource,
            amounts,
            idempotency_key="request",
            expires_in=_LEASE_S if expires else None,
        )
        terms = ask_for(asked, "actor", AT_MS).terms
        assert terms is not None
        charges = [
            Charge(self.shape.entity(level), amounts, self._state(level), limited=True)
            for level in range(self.levels)
        ]
        ticket = write_ticket(Grant(self.shape.resource, AT_MS, amounts, tuple(charges)), terms.ends_at_ms)
        end = LeaseEnd("settled", amounts, AT_MS) if ended else None
        put = leasing.put_lease(terms, ticket, AT_MS, end)
        return put.key, put.item

    def usage(self, window: Window, plan: UsagePlan) -> tuple[Key, Item]:
        """Let the aggregator count a change in an empty table, and return the totals of a window."""
        amounts = self.shape.amounts(self.limits)
        change = BucketChange(
            self.shape.entity(0),
            self.shape.resource,
            after=AT_MS * 1_000,
            version=AT_MS * 1_000 + self.shape.tokens,
            at_ms=AT_MS,
            tokens=amounts,
            grants=self.shape.tokens,
            refused=amounts,
            peaks=amounts,
        )
        table = MemoryRepository()
        only = UsagePlan({window: plan.retention_days[window]})
        drive(count_usage([change], only, AT_MS, Recent(1)), table, 0)
        ((key, item),) = table.items.items()
        return key, item

    def _state(self, level: int) -> Bucket:
        parent_id = self.shape.entity(level + 1) if level + 1 < self.levels else None
        limits = self.shape.limits(self.limits)
        amounts = self.shape.amounts(self.limits)
        return newborn(Resolved(f"e:{AT_MS}", limits), parent_id, amounts, _REQUEST)

    def _put(self, level: int, grants: int) -> Put:
        state = self._state(level)
        reading = EntityReading(schema.Entity(parent_id=state.parent_id), None, None)
        entity_id, resource = schema.bucket_of(self.shape.key(level))
        amounts = self.shape.amounts(self.limits)
        put = create(entity_id, resource, state, amounts, reading, _REQUEST, grants=grants)[0]
        assert isinstance(put, Put)
        return put
