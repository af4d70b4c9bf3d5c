"""Playing a history, and telling it shortly where it goes wrong."""

from __future__ import annotations

import gc
import traceback
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from .calls import Violation
from .family import populate
from .faults import ALL, Faults
from .history import History
from .judge import FamilyJudge
from .telling import Teller
from .traffic import FamilyTraffic
from .world import World


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a history that held.

    Attributes:
        seed: of which. steps: how many it took, its end included.
        endings: how calls ended, by kind. checked: what changes acquires were held to, how often.
        may_differ: calls of which a write came late, or was repeated when nothing remembered it any more.
        digest: of the table at the end; the same seed gives the same on any machine.
    """

    seed: int
    steps: int
    endings: Mapping[str, int]
    checked: Mapping[str, int]
    may_differ: int
    digest: int


class ViolationFound(Exception):
    """A history in which something happened that must not; ``story`` tells how it came to that."""

    def __reduce__(self) -> tuple[type[ViolationFound], tuple[int, int, str, str]]:
        """Let it come out of a process of its own."""
        return ViolationFound, (self.seed, self.step, self.reason, self.story)

    def __init__(self, seed: int, step: int, reason: str, story: str) -> None:
        """Say which history, and when."""
        self.seed = seed
        self.step = step
        self.reason = reason
        self.story = story
        super().__init__(f"seed {seed}, step {step}: {reason}\n{story}")


def simulate(seed: int, steps: int, faults: Faults = ALL) -> Report:
    """Play the history of a seed; raise :class:`ViolationFound` where it breaks what must hold.

    Where it breaks it is played once more, to tell of the last steps that led to it.
    """
    try:
        with _uncollected():
            return _play(seed, steps, faults, None)
    except Exception:  # noqa: BLE001 - whatever it is, it is told by the history that led to it
        return _tell(seed, steps, faults)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no cycles meanwhile: a history makes next to none, and each look goes through all that it keeps."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _play(seed: int, steps: int, faults: Faults, teller: Teller | None) -> Report:
    history = History()
    judge = FamilyJudge(history, faults.skew_ms)
    world = World(seed, faults, FamilyTraffic(history, judge.obedience), judge)
    judge.watch(world)
    populate(world)
    if teller is not None:
        teller.listen(world)
    world.run(steps)
    world.calm_down()
    judge.close(world)
    return Report(seed, world.step, judge.endings, judge.obedience.checked, judge.may_differ, _digest(world))


def _tell(seed: int, steps: int, faults: Faults) -> Report:
    teller = Teller()
    try:
        report = _play(seed, steps, faults, teller)
    except Violation as violation:
        raise ViolationFound(seed, teller.step, str(violation), teller.story(violation.keys)) from violation
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error} ({place.name})"
        raise ViolationFound(seed, teller.step, reason, teller.story(())) from error
    return report


def _digest(world: World) -> int:
    """Return a number for all that is in the table, whatever the order of its sets."""
    crc = 0
    for key, item in sorted(world.table.items.items()):
        values = [(name, sorted(value) if isinstance(value, frozenset) else value) for name, value in item.items()]
        crc = zlib.crc32(repr((key, sorted(values, key=lambda each: each[0]))).encode(), crc)
    return crc
