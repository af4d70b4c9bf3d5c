"""The library's face: ask for tokens, say who may spend what, see what is left."""

from __future__ import annotations

from .administration import Administrator
from .spender import Spender

__all__ = ["Limiter"]


class Limiter(Spender, Administrator):
    """Spends from one table, and administers it too; remembers what it learns.

    Safe to share between threads; make one for each process.

    Args:
        repository: where the table is, a ``DynamoRepository`` or a ``MemoryRepository``.
        clock: returns the time since 1970 in ms. Clocks that differ by d ms admit at most the refill of d ms more.
        knowledge: what is remembered, how much and how long.
        timeout_ms: the time for all round trips of one call, repetitions included, 2,000 by default; no call
            outlasts it.
        on_unavailable: what an acquire does when the table does not answer in that time; see :class:`Spender`.
        actor: who is behind a change, and whose leases and keys are meant, where a call does not say so;
            ``"library"`` by default.
    """
