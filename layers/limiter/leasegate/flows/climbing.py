"""The way up from the acquiring entity: its levels, as far as parents are known, each with its next step.

Which levels there are is partly remembered, and an entity may have been moved since. What a write checks needs no
doubt; but an error is raised, and a refusal believed, only where this acquire itself saw the levels that lead to
it. The others are read first.
"""

from __future__ import annotations

from .. import schema
from ..errors import Disabled, InvalidRequest, LeasegateError, NoLimitsConfigured
from .grants import Ask
from .levels import NOTHING, Level, Read, Refuse, Spend, Step, Write
from .planning import Planner

type Path = list[tuple[Level, Step]]
"""Each level with its next step, the acquiring entity's first."""


class Climb:
    """The levels of one acquire, by entity; they are kept even where they turn out to be no ancestors."""

    def __init__(self, ask: Ask, planner: Planner) -> None:
        """Start at the acquiring entity."""
        self.levels: dict[str, Level] = {}
        self._ask = ask
        self._planner = planner

    def plan(self) -> Path:
        """Plan each level from the acquiring entity up, as far as parents are known."""
        path: Path = []
        entity_id: str | None = self._ask.entity_id
        seen: set[str] = set()
        while entity_id is not None:
            if entity_id in seen or len(seen) == schema.MAX_LEVELS:
                if self._planner.parent_hint is None:
                    circle = InvalidRequest("parent_id", f"{entity_id} is its own ancestor, or one too many")
                    return self._see_before(path, circle)
                self._planner.parent_hint = None  # a hint cannot make a request invalid
                return self.plan()
            seen.add(entity_id)
            level = self.levels.get(entity_id)
            if level is None:
                level = self.levels[entity_id] = Level(entity_id, own=not path)
                level.believe(self._planner.knowledge.known_bucket(entity_id, self._ask.resource))
            try:
                step = self._planner.plan(level)
            except Disabled as error:
                if error.entity_id is None:
                    raise
                return self._see_before(path, error)
            except (InvalidRequest, NoLimitsConfigured) as error:
                return self._see_before([*path, (level, NOTHING)], error)
            if isinstance(step, Refuse) and not step.cached and not self._planner.is_atomic:
                path = [(x, self._planner.read(x) if _is_guess(x, planned) else planned) for x, planned in path]
            path.append((level, step))
            entity_id = level.parent_id if self._ask.cascade else None
        return path

    def _see_before(self, path: Path, error: LeasegateError) -> Path:
        """Read the levels that an error rests on, as far as they are only remembered: they may have been moved.

        Raises the error where this acquire saw them all. That it led to a disabled ancestor is remembered of a
        bucket for as long as a refusal.
        """
        is_lasting = isinstance(error, Disabled)
        now_ms = self._planner.request.now_ms
        reads: Path = []
        for level, step in path:
            if isinstance(step, Read):
                reads.append((level, step))
            elif not (level.verified or (is_lasting and self._refused_lately(level))):
                reads.append((level, self._planner.read(level)))
        if reads:
            return reads
        for level, _ in path:
            if is_lasting and level.verified and level.state is not None:
                self._planner.knowledge.learn_bucket(
                    level.entity_id, self._ask.resource, level.state, refused_at_ms=now_ms
                )
        raise error

    def _refused_lately(self, level: Level) -> bool:
        """Say whether the level's bucket is remembered for a refusal, and led the way that was taken here.

        A hint leads anywhere, and another thread may have seen the bucket since.
        """
        known = self._planner.knowledge.refused_bucket(
            level.entity_id, self._ask.resource, self._planner.request.now_ms
        )
        return known is not None and known.parent_id == level.parent_id


def _is_guess(level: Level, step: Step) -> bool:
    """Say whether a write goes by what is remembered: only its outcome would tell where the level stands."""
    return isinstance(step, (Spend, Write)) and not level.verified
