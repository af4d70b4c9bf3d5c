"""The table in DynamoDB, through a boto3 client."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import ContextVar, copy_context
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, Self

from ..errors import StoreError, StoreUnavailable
from ..operations import Failed, Found, Item, Key, Operation, Outcome
from .calls import Call, Desk
from .checksums import check_answers
from .client import WORKERS, client_config, dynamodb_client
from .deadlines import Deadline, bound_attempts, waiting
from .failures import STORE_FAILURES, classify
from .quota import RetryQuota

if TYPE_CHECKING:
    from types import TracebackType

    from mypy_boto3_dynamodb import DynamoDBClient

    from . import Observer

__all__ = ["Carry", "DynamoRepository", "carry_context", "client_config", "dynamodb_client", "repetition"]

_BACKOFF_FIRST_S: Final = 0.025
_BACKOFF_MAX_S: Final = 0.4
_NS_PER_MS: Final = 1_000_000
_NS_PER_S: Final = 1_000_000_000

repetition: Final[ContextVar[int]] = ContextVar("repetition", default=1)
"""Which attempt at a call is under way, from 1. Whoever records calls may ask."""


class Carry(Protocol):
    """Wraps a function, on the thread that submits it, so that it finds that thread's context on a worker."""

    def __call__[**P, T](self, function: Callable[P, T], /) -> Callable[P, T]:
        """Return a function that does the same within the present context."""
        ...


def carry_context[**P, T](function: Callable[P, T], /) -> Callable[P, T]:
    """Carry the context variables of this moment; see :class:`Carry`."""
    run: Callable[P, T] = partial(copy_context().run, function)
    return run


class DynamoRepository:
    """Execute operations on a DynamoDB table.

    The operations of a round trip run side by side: the first on the calling thread, the others on worker
    threads that are started when first needed; one operation alone needs none. ``close`` ends them, and so does
    ``with``.

    What DynamoDB throttles, answers with 5xx or does not answer is repeated with full jitter, the same request
    each time, while an attempt can begin within ``timeout_ms`` and the process's quota of retries lasts
    (:mod:`~leasegate.repository.quota`); no attempt outlasts that time (:mod:`~leasegate.repository.deadlines`).
    That a repetition is harmless is for the operation to ensure (a request id in its condition, a transaction's
    token). So a client whose own retries are on works too, but it repeats out of the repository's sight, and a
    failure to connect may hide an attempt that was applied. Use :func:`client_config`.

    Args:
        client: a boto3 client, which may be shared among threads.
        table_name: the table.
        observer: called once for each round trip: the operations, their outcomes, start and end in ns.
        max_workers: how many calls are made side by side at most, besides the caller's own.
        carry: hands a thread's context to the workers; a tracer that keeps its place in thread-local storage gives
            its own (:func:`~leasegate.recording.carry_segment`).
        sleep: waits, in seconds. This and the next two are the world's, unless a test brings its own.
        draw: returns 0 to 1, for jitter.
        monotonic_ns: a clock that is never set.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        table_name: str,
        *,
        observer: Observer | None = None,
        max_workers: int = WORKERS,
        carry: Carry = carry_context,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[], float] = random.random,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Send nothing yet; the first round trip is the first to touch the table."""
        bound_attempts(client)
        check_answers(client)
        self._desk = Desk(client, table_name)
        self._quota = RetryQuota()
        self._observer = observer
        self._max_workers = max_workers
        self._carry = carry
        self._sleep = sleep
        self._draw = draw
        self._monotonic_ns = monotonic_ns
        self._pool: ThreadPoolExecutor | None = None
        self._pool_lock = threading.Lock()

    @property
    def compilations(self) -> int:
        """How many times a shape of write had to be compiled; a limiter at work compiles none."""
        return self._desk.compilations

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        """Execute one round trip; see :class:`~leasegate.repository.Repository`.

        A mistake of the program raises before anything is sent. Anything else that is no answer of the store
        (``KeyboardInterrupt``) is raised when the calls already under way have ended.
        """
        start_ns = self._monotonic_ns()
        deadline_ns = start_ns + timeout_ms * _NS_PER_MS
        groups = [self._desk.calls(operation) for operation in operations]
        if len(groups) == 1 and len(groups[0]) == 1:
            outcomes: tuple[Outcome, ...] = (self._answer(groups[0][0], deadline_ns),)
        else:
            outcomes = self._answer_side_by_side(groups, deadline_ns)
        if self._observer is not None:
            self._observer(operations, outcomes, start_ns, self._monotonic_ns())
        return outcomes

    def _answer_side_by_side(self, groups: list[tuple[Call, ...]], deadline_ns: int) -> tuple[Outcome, ...]:
        """Answer all calls at once, and join the answers of each group, which are one operation's."""
        calls = [call for group in groups for call in group]
        if not calls:
            return tuple([_joined([]) for _ in groups])
        futures: list[Future[Outcome]] = []
        try:
            for call in calls[1:]:
                futures.append(self._workers().submit(self._carry(self._answer), call, deadline_ns))  # noqa: PERF401 - those submitted must be known if one is not
            first = self._answer(calls[0], deadline_ns)
            wait(futures, timeout=max(0, deadline_ns - self._monotonic_ns()) / _NS_PER_S)
        except BaseException:
            for future in futures:
                future.cancel()  # those that no worker has begun
            wait(futures)
            raise
        # A worker may be busy with calls that have more time than these.
        answers = iter([first, *[_out_of_time() if future.cancel() else future.result() for future in futures]])
        return tuple([_joined([next(answers) for _ in group]) for group in groups])

    def _answer(self, call: Call, deadline_ns: int) -> Outcome:
        """Repeat a call until it has an answer, or no time is left for another attempt, or no quota."""
        due = waiting.due = Deadline(deadline_ns, self._monotonic_ns)
        try:
            return _out_of_time() if due.is_over() else self._attempt(call, due)
        finally:
            waiting.due = None

    def _attempt(self, call: Call, due: Deadline) -> Outcome:
        maybe_applied = False
        backoff_s = _BACKOFF_FIRST_S
        attempt = 1
        taken = 0
        while True:
            try:
                outcome = call.send() if attempt == 1 else _send_again(call, attempt)
            except STORE_FAILURES as error:
                failure = classify(error)
                if failure is None:
                    raise
                cause = error
            else:
                self._quota.give_back(taken)
                return outcome
            maybe_applied |= failure.maybe_applied and call.writes
            pause_s = self._draw() * backoff_s
            cost = failure.retry_cost
            if not failure.is_transient or due.will_be_over(pause_s) or not self._quota.take(cost):
                return Failed(_caused(failure.error(str(cause), maybe_applied=maybe_applied), cause))
            self._sleep(pause_s)
            backoff_s = min(2 * backoff_s, _BACKOFF_MAX_S)
            taken += cost
            attempt += 1

    def _workers(self) -> ThreadPoolExecutor:
        with self._pool_lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._max_workers, thread_name_prefix="leasegate")
            return self._pool

    def close(self) -> None:
        """End the worker threads, when their calls have ended; a later round trip would start new ones."""
        with self._pool_lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def _out_of_time() -> Failed:
    return Failed(StoreUnavailable("no time was left to ask DynamoDB"))


def _send_again(call: Call, attempt: int) -> Outcome:
    token = repetition.set(attempt)
    try:
        return call.send()
    finally:
        repetition.reset(token)


def _joined(outcomes: list[Outcome]) -> Outcome:
    """Join the outcomes of one operation's calls; only a BatchGet has other than one."""
    if len(outcomes) == 1:
        return outcomes[0]
    items: dict[Key, Item] = {}
    for outcome in outcomes:
        if not isinstance(outcome, Found):
            return outcome
        items |= outcome.items
    return Found(items)


def _caused(error: StoreError, cause: Exception) -> StoreError:
    error.__cause__ = cause
    return error
