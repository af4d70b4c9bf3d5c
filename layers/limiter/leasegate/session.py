"""What every part of the library's face has in common: a table, a clock, knowledge, and somebody who acts."""

from __future__ import annotations

import base64
import itertools
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .driver import drive
from .identifiers import check_integer, check_text
from .knowledge import Knowledge
from .operations import Flow

if TYPE_CHECKING:
    from .repository import Repository

DEFAULT_TIMEOUT_MS: Final = 2_000
ANSWER_MARGIN_MS: Final = 250
"""Kept for the answer: for writing it, and for a processor that comes round late. No call outlasts its time."""

DEFAULT_ACTOR: Final = "library"
DEFAULT_PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 1_000
_MAX_ACTOR_LENGTH: Final = 2_048


def wall_clock_ms() -> int:
    """Return the time since 1970 in ms."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """Return 16 characters that nobody else will choose (96 random bits)."""
    return base64.urlsafe_b64encode(os.urandom(12)).decode()


class Session:
    """Runs flows on one table, at one clock, in the name of one actor."""

    def __init__(
        self,
        repository: Repository,
        *,
        clock: Callable[[], int] = wall_clock_ms,
        knowledge: Knowledge | None = None,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
        actor: str = DEFAULT_ACTOR,
    ) -> None:
        """Start with nothing known; the first call is the first to touch the table."""
        self._repository = repository
        self._clock = clock
        self._knowledge = Knowledge() if knowledge is None else knowledge
        self._timeout_ms = timeout_ms
        self._actor = check_actor(actor)
        self._changes = itertools.count()

    def _drive[T](self, flow: Flow[T], timeout_ms: int | None = None) -> T:
        return drive(flow, self._repository, self._timeout_ms if timeout_ms is None else timeout_ms)


def check_actor(actor: object) -> str:
    """Return ``actor`` if it can stand in an audit record; raise :class:`InvalidRequest` if not."""
    return check_text("actor", actor, 1, _MAX_ACTOR_LENGTH)


def check_page_size(page_size: object) -> int:
    """Return ``page_size`` if it can be the most items of a page; raise :class:`InvalidRequest` if not."""
    return check_integer("page_size", page_size, 1, MAX_PAGE_SIZE)
