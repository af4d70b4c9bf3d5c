"""Comparisons in turns: before each round of what is measured, what it is compared with has a round of its own.

So whatever else the machine does meets all of them. A ratio is the median of those of the rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import median, quantiles
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

OURS: Final = "Leasegate"
BOTO3: Final = "boto3"
SEQUENTIAL: Final = "sequential"
"""What results call those that are compared."""
_WARMING: Final = 0.2
"""As many rounds more, before those that count: caches, and the emulator's compiler."""


@dataclass(frozen=True)
class Compared:
    """How long each call took, in seconds, round by round, by who made it; ours among them."""

    rounds: Mapping[str, Sequence[Sequence[float]]]

    def ratio_to(self, other: str) -> float:
        """Return what ours takes of what another takes."""
        pairs = zip(self.rounds[OURS], self.rounds[other], strict=True)
        return median([median(ours) / median(theirs) for ours, theirs in pairs])

    def describe(self, percentiles: Sequence[int] = (50,)) -> dict[str, object]:
        """Return percentiles in us, and the ratios to the others, for the report."""
        cuts = {
            name: quantiles(chain.from_iterable(own), n=100, method="inclusive")
            for name, own in self.rounds.items()
        }
        return {
            "us": {name: {f"p{p}": own[p - 1] * 1e6 for p in percentiles} for name, own in cuts.items()},
            "ratios": {name: self.ratio_to(name) for name in self.rounds if name != OURS},
        }


def take_turns(
    benchmark: BenchmarkFixture,
    ours: Callable[[], object],
    others: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    calls: int = 1,
) -> Compared | None:
    """Benchmark a call, in rounds of so many calls, next to others; None where benchmarks are disabled.

    Then everybody calls once.
    """
    clock: Callable[[], float] = benchmark._timer
    if benchmark.disabled:
        calls = 1
    taken: dict[str, list[list[float]]] = {name: [] for name in (OURS, *others)}

    def make_calls(name: str, call: Callable[[], object]) -> None:
        times_s = []
        for _ in range(calls):
            start_s = clock()
            call()
            times_s.append(clock() - start_s)
        taken[name].append(times_s)

    def let_others() -> None:
        for name, other in others.items():
            make_calls(name, other)

    warming = _warming(rounds)
    benchmark.pedantic(make_calls, (OURS, ours), setup=let_others, rounds=rounds, warmup_rounds=warming)
    return None if benchmark.disabled else Compared({name: own[warming:] for name, own in taken.items()})


def rounds_made(benchmark: BenchmarkFixture, rounds: int) -> int:
    """Return how often :func:`take_turns` lets everybody have a turn."""
    return 1 if benchmark.disabled else rounds + _warming(rounds)


def _warming(rounds: int) -> int:
    return max(1, round(_WARMING * rounds))
