"""What a limiter must do to be compared.

Each contestant runs in processes and an environment of its own. So what those processes have in common may import
nothing but boto3 and the standard library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

LEASEGATE: Final = "Leasegate"
ZAE_LIMITER: Final = "zae-limiter"
NAMES: Final = (LEASEGATE, ZAE_LIMITER)
"""The contestants; ratios are to the second."""

type Tokens = Mapping[str, int]
"""Tokens by the limit's name: what is asked for, or what flows back each minute and fits in at once."""


class Contestant(Protocol):
    """One process's limiter on a table: what it knows, it learned itself."""

    @classmethod
    def create_table(cls, endpoint_url: str) -> None:
        """Create the table by the contestant's own definition, with all its indexes."""

    def __init__(self, endpoint_url: str) -> None:
        """Open the table with the settings that the contestant recommends."""

    def store(self, entity_id: str, resource: str, limits: Tokens, parent_id: str | None = None) -> None:
        """Create an entity, and give it limits of its own."""

    def store_defaults(self, resource: str, limits: Tokens) -> None:
        """Give limits to all entities that have none of their own."""

    def ask(self, entity_id: str, resource: str, consume: Tokens) -> float | None:
        """Spend tokens of an entity and of its parent: None if granted, else the seconds to wait."""


def contestant(name: str) -> type[Contestant]:
    """Return the contestant of this name; only its own environment can."""
    if name == LEASEGATE:
        from scripts.peers.leasegate_adapter import LeasegateContestant

        return LeasegateContestant
    from scripts.peers.zae_limiter_adapter import ZaeLimiterContestant

    return ZaeLimiterContestant
