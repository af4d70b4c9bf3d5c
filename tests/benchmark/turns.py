"""Comparisons in turns: before each round of what is measured, what it is compared with has a round of its own.

So whatever else the machine does meets all of them. A ratio is the median of those of the rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

OURS: Final = "Leasegate"
BOTO3: Final = "boto3"
SEQUENTIAL: Final = "sequential"
"""What results call those that are compared."""
_WARMING: Final = 2
"""Rounds that do not count."""


@dataclass(frozen=True)
class Compared:
    """The time that a call took in each round, in seconds, by who made it; ours among them."""

    times_s: Mapping[str, Sequence[float]]

    def ratio_to(self, other: str) -> float:
        """Return what ours takes of what another takes."""
        pairs = zip(self.times_s[OURS], self.times_s[other], strict=True)
        return median([ours / theirs for ours, theirs in pairs])

    def describe(self, percentiles: Sequence[int] = (50,)) -> dict[str, object]:
        """Return percentiles in us, and the ratios to the others, for the report."""
        cuts = {name: quantiles(times, n=100, method="inclusive") for name, times in self.times_s.items()}
        return {
            "us": {name: {f"p{p}": own[p - 1] * 1e6 for p in percentiles} for name, own in cuts.items()},
            "ratios": {name: self.ratio_to(name) for name in self.times_s if name != OURS},
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
    taken: dict[str, list[float]] = {name: [] for name in others}

    def let_others() -> None:
        for name, other in others.items():
            start_s = clock()
            _repeat(other, calls)
            taken[name].append(clock() - start_s)

    benchmark.pedantic(_repeat, (ours, calls), setup=let_others, rounds=rounds, warmup_rounds=_WARMING)
    if benchmark.stats is None:
        return None
    times = {OURS: benchmark.stats.stats.data, **{name: own[_WARMING:] for name, own in taken.items()}}
    return Compared({name: [time_s / calls for time_s in own] for name, own in times.items()})


def _repeat(call: Callable[[], object], times: int) -> None:
    for _ in range(times):
        call()
