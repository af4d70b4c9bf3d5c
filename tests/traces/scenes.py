"""What a test is about: names of its own in a shared table, requests, and other processes that use it too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from leasegate import Limit, Limiter
from leasegate.repository.dynamodb import DynamoRepository
from tests.traces.instances import Instance, Invocation

SLOW: Final = (Limit.per_day("requests", 1_000), Limit.per_day("tokens", 10_000))
"""Nothing comes back while a test runs, so a bucket that was used stays busy."""
FAST: Final = (Limit.per_second("requests", 1_000), Limit.per_second("tokens", 500_000, burst=100_000_000))
"""What a test spends is back in a few ms, so a bucket is idle; not so who spends many millions."""
CONSUME: Final = {"requests": 1, "tokens": 500}


@dataclass(frozen=True, slots=True)
class Scene:
    """A corner of the table for one test. Entities are called by short names, which are made unique here."""

    repository: DynamoRepository
    number: int

    @property
    def resource(self) -> str:
        """The resource of this test."""
        return f"model-{self.number}"

    def entity(self, name: str) -> str:
        """Return the id of an entity of this test."""
        return f"{name}-of-{self.number}"

    def process(self) -> Limiter:
        """Return another process on the same table, which knows nothing yet; it reaches the table directly."""
        return Limiter(self.repository)

    def family(self, *names: str, limits: Iterable[Limit] = SLOW) -> None:
        """Create entities with limits, each the child of the one before, and a bucket for each."""
        admin = self.process()
        for parent, name in zip((None, *names), names, strict=False):
            admin.create_entity(self.entity(name), parent and self.entity(parent))
            admin.set_limits(self.entity(name), limits)
        self.spend(names[-1])

    def spend(self, name: str = "key", consume: Mapping[str, int] = CONSUME) -> None:
        """Let another process spend."""
        self.process().acquire(self.entity(name), self.resource, consume)

    def ask(
        self,
        instance: Instance,
        name: str = "key",
        consume: Mapping[str, int] = CONSUME,
        *,
        key: str | None = None,
        **fields: object,
    ) -> Invocation:
        """Send an acquire to an instance, perhaps under an idempotency key."""
        headers = {"Idempotency-Key": f'"{self.entity(key)}"'} if key else None
        return instance.send("POST", "/acquire", self.request(name, consume, **fields), headers)

    def request(
        self, name: str = "key", consume: Mapping[str, int] = CONSUME, **fields: object
    ) -> dict[str, object]:
        """Write the body of an acquire."""
        return {"entity_id": self.entity(name), "resource": self.resource, "consume": consume, **fields}
