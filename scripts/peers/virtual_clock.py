"""A clock that stands still while anybody works, and jumps ahead when all wait.

So work takes no time, only waiting does; and of several who wait, who wait least go on first, one at a time. What
threads do under it depends on no processor, and is the same each time.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from typing import Final

NS_PER_S: Final = 1_000_000_000
_NS_PER_MS: Final = 1_000_000


class VirtualClock:
    """Time for a known number of workers; whoever made the clock is the first."""

    def __init__(self) -> None:
        """Begin at the present time, at a whole millisecond."""
        self._now_ns = time.time_ns() // _NS_PER_MS * _NS_PER_MS
        self._working = 1
        self._lock = threading.Lock()
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, threading.Event]] = []

    def time_ns(self) -> int:
        """Return the time in ns, since 1970 and of a clock that never goes back."""
        return self._now_ns

    def time_s(self) -> float:
        """Return the same in seconds."""
        return self._now_ns / NS_PER_S

    def join(self, workers: int = 1) -> None:
        """Count more workers, before they begin."""
        with self._lock:
            self._working += workers

    def leave(self) -> None:
        """Count one worker less."""
        with self._lock:
            self._working -= 1
            self._go_on()

    def sleep(self, seconds: float, /) -> None:
        """Let a worker wait, on whichever thread."""
        is_over = threading.Event()
        with self._lock:
            due_ns = self._now_ns + round(seconds * NS_PER_S)
            heapq.heappush(self._waiting, (due_ns, next(self._order), is_over))
            self._working -= 1
            self._go_on()
        is_over.wait()

    def _go_on(self) -> None:
        if self._working == 0 and self._waiting:
            self._now_ns, _, is_over = heapq.heappop(self._waiting)
            self._working = 1
            is_over.set()

    def rule_this_process(self) -> None:
        """Become the clock of everything that is imported from now on, and reads or sleeps by :mod:`time`.

        Waits for other threads and sockets keep the real time.
        """
        time.time, time.time_ns = self.time_s, self.time_ns
        time.monotonic, time.monotonic_ns = self.time_s, self.time_ns
        time.sleep = self.sleep  # type: ignore[assignment] # nobody here sleeps for an object that stands for a number
