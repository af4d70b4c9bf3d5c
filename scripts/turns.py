"""Whose turn it is, where what is compared is measured in turns."""

from __future__ import annotations

from collections.abc import Sequence


def in_turn[T](contestants: Sequence[T], turn: int) -> Sequence[T]:
    """Return them all in the order of a turn; each turn begins with the next one."""
    shift = turn % len(contestants)
    return [*contestants[shift:], *contestants[:shift]]
