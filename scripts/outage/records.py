"""What was seen of an outage, and what it comes to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

WINDOW_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Call:
    """One acquire: when it began and ended, on a monotonic clock, and how.

    ``granted`` and ``refused`` are answers of the table, ``remembered`` a refusal without a round trip.
    ``allowed``, ``declined`` and ``failed`` are what the limiter does without it; ``unsure`` is a failure that may
    have been applied.
    """

    began_s: float
    ended_s: float
    verdict: str

    @property
    def is_answered(self) -> bool:
        """Whether the table answered."""
        return self.verdict in ("granted", "refused")


@dataclass(frozen=True, slots=True)
class Admission:
    """What the bucket says of one limiter's calls.

    Attributes:
        used: the tokens that were spent from it, by its counter.
        bound: the most that its limit lets through in the time: its capacity, and the refill.
    """

    used: int
    bound: int


@dataclass(frozen=True, slots=True)
class Record:
    """All calls of one limiter; the outage began and ended at these times."""

    on_unavailable: str
    deadline_ms: int
    down_s: float
    up_s: float
    calls: Sequence[Call]
    admission: Admission

    @property
    def verdicts(self) -> Counter[str]:
        """How many calls ended how."""
        return Counter(call.verdict for call in self.calls)

    def percentile_ms(self, share: float) -> float:
        """Return how long a call took that began in the outage, at most so many of a hundred longer."""
        took = sorted(
            call.ended_s - call.began_s for call in self.calls if self.down_s <= call.began_s < self.up_s
        )
        return took[min(len(took) - 1, math.ceil(share * len(took)) - 1)] * 1_000

    @property
    def usual_ms(self) -> float:
        """Return how long the table took to answer before the outage, as the median."""
        answered = [call for call in self.calls if call.is_answered and call.ended_s < self.down_s]
        return median([call.ended_s - call.began_s for call in answered]) * 1_000

    @property
    def first_answer_s(self) -> float:
        """How long after the table's return it answered first."""
        return (
            min(call.ended_s for call in self.calls if call.is_answered and call.ended_s > self.up_s) - self.up_s
        )

    @property
    def recovered_s(self) -> float:
        """How long after the return 99 of 100 calls were answered, in every tenth of a second from then on."""
        windows: dict[int, list[bool]] = {}
        for call in self.calls:
            if call.ended_s > self.up_s:
                answered = call.is_answered or call.verdict == "remembered"
                windows.setdefault(int((call.ended_s - self.up_s) / WINDOW_S), []).append(answered)
        poor = [number for number, answers in windows.items() if sum(answers) < 0.99 * len(answers)]
        return (max(poor, default=-1) + 1) * WINDOW_S

    @property
    def is_exact(self) -> bool:
        """Whether the bucket holds every grant, and no more than the limit lets through.

        What failed without an answer may have been spent all the same: that is less for others, never more.
        """
        granted = self.verdicts["granted"]
        unanswered = len(self.calls) - granted - self.verdicts["refused"] - self.verdicts["remembered"]
        return granted <= self.admission.used <= min(granted + unanswered, self.admission.bound)
