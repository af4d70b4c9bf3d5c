"""Several flows at once: what they wait for at the same time is one round trip."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import LeasegateError
from ..operations import BatchGet, Flow, Operation, Outcome


class _Runner[T]:
    """One of the flows: the round trip that it waits for, or (None) how it ended."""

    def __init__(self, flow: Flow[T]) -> None:
        self._flow = flow
        self.waiting: tuple[Operation, ...] | None = None
        self.ended: list[T | LeasegateError] = []
        self._run(lambda: next(flow))

    def go_on(self, outcomes: tuple[Outcome, ...]) -> None:
        """Run to the next round trip, or to the end."""
        self._run(lambda: self._flow.send(outcomes))

    def _run(self, step: Callable[[], tuple[Operation, ...]]) -> None:
        try:
            self.waiting = step()
        except StopIteration as end:
            self.waiting, self.ended = None, [end.value]
        except LeasegateError as error:
            # Its frames would hold this runner, and with it the error: a cycle for each.
            self.waiting, self.ended = None, [error.with_traceback(None)]


def abreast[T](flows: Sequence[Flow[T]]) -> Flow[list[T | LeasegateError]]:
    """Run flows side by side and return how each ended, an error of one being none of the others'.

    As many round trips as the longest of them makes.
    """
    runners = [_Runner(flow) for flow in flows]
    while running := [(runner, runner.waiting) for runner in runners if runner.waiting is not None]:
        operations, places = _join([waiting for _, waiting in running])
        outcomes = yield operations
        for (runner, _), own in zip(running, places, strict=True):
            runner.go_on(tuple([outcomes[place] for place in own]))
    return [ended for runner in runners for ended in runner.ended]


def _join(round_trips: list[tuple[Operation, ...]]) -> tuple[tuple[Operation, ...], list[list[int]]]:
    """Join round trips into one, all consistent batches being one; say where each finds its outcomes."""
    batch = BatchGet(
        tuple(
            dict.fromkeys(
                key
                for operations in round_trips
                for operation in operations
                if isinstance(operation, BatchGet) and operation.is_consistent
                for key in operation.keys
            )
        )
    )
    joined: list[Operation] = [batch] if batch.keys else []
    places: list[list[int]] = []
    for operations in round_trips:
        own: list[int] = []
        for operation in operations:
            if isinstance(operation, BatchGet) and operation.is_consistent:
                own.append(0)
            else:
                own.append(len(joined))
                joined.append(operation)
        places.append(own)
    return tuple(joined), places
