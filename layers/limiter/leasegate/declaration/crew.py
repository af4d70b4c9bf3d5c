"""Many calls side by side, without end in memory: a few threads, and little that waits for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

THREADS: Final = 8
_WAITING_FOR_EACH_THREAD: Final = 4

type Progress = Callable[[int, int], None]
"""Told how much is done, of how much."""


def side_by_side[A, B](call: Callable[[A], B], arguments: Iterable[A], threads: int = THREADS) -> Iterator[B]:
    """Yield the result for each argument, in their order; what a call raises is raised.

    Calls that have begun end before this does, however it ends; the others are not begun then.
    """
    with ThreadPoolExecutor(threads, "leasegate") as pool:
        waiting: deque[Future[B]] = deque()
        try:
            for argument in arguments:
                waiting.append(pool.submit(call, argument))
                if len(waiting) == threads * _WAITING_FOR_EACH_THREAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def counted[T](results: Iterable[T], progress: Progress, total: int, before: int = 0) -> Iterator[T]:
    """Yield the results, and tell ``progress`` how many there were, ``before`` these included."""
    for done, result in enumerate(results, before + 1):
        progress(done, total)
        yield result
