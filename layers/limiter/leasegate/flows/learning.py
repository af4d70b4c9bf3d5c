"""What an acquire learns of its levels: from reads, and from how its writes ended."""

from __future__ import annotations

from collections.abc import Mapping

from .. import schema
from ..errors import LeasegateError, StoreError
from ..frozen import frozen
from ..knowledge import Knowledge
from ..operations import Applied, Cancelled, Failed, Item, Key, Outcome, Refused
from ..schema import Bucket
from . import reading, spending
from .climbing import Path
from .levels import Level, Read, Write
from .planning import Planner
from .spending import Request


@frozen
class Learner:
    """Takes in what the table answers to one acquire: for its levels, and for those after it in this process."""

    resource: str
    request: Request
    planner: Planner
    knowledge: Knowledge

    def learn_read(self, path: Path, keys: tuple[Key, ...], items: Mapping[Key, Item]) -> None:
        """Take in what a read found of the levels that wanted it."""
        now_ms = self.request.now_ms
        if schema.system_defaults_key() in keys:
            defaults = reading.parse_defaults_reading(items, self.resource)
            self.planner.fresh_defaults = defaults
            self.knowledge.learn_defaults(self.resource, defaults, now_ms)
        for level, step in path:
            if not isinstance(step, Read) or schema.entity_key(level.entity_id) not in step.keys:
                continue
            level.reading = reading.parse_entity_reading(items, level.entity_id, self.resource)
            level.state = reading.parse_bucket_reading(items, level.entity_id, self.resource)
            level.verified, level.absent = True, level.state is None
            if not level.own:
                reading.learn_ancestor(self.knowledge, level.entity_id, self.resource, level.reading, now_ms)
            if level.state is not None:
                self.knowledge.learn_bucket(level.entity_id, self.resource, level.state)

    def judge(self, group: list[tuple[Level, Write]], outcome: Outcome) -> StoreError | None:
        """Take an outcome in; return the error that stands in its place, if any."""
        match outcome:
            case Applied(item):
                for level, write in group:
                    state = write.after if item is None else schema.parse_bucket(item, write.after)
                    self._take_applied(level, write, state)
            case Refused():
                ((level, write),) = group
                self._take_refused(level, write, outcome)
            case Cancelled(refusals):
                position = 0
                for level, write in group:
                    own = refusals[position : position + len(write.actions)]
                    position += len(write.actions)
                    if own[0] is not None:
                        self._take_refused(level, write, own[0])
                    elif any(own):
                        # The limits or the parent changed between the read and the creation: read again.
                        level.reading = None
            case Failed(error):
                for level, write in group:
                    level.unsure = write if error.maybe_applied else None
                return error
            case _:
                raise LeasegateError(f"a write cannot end as {type(outcome).__name__}")
        return None

    def _take_applied(self, level: Level, write: Write, state: Bucket) -> None:
        before = write.before
        if before is not None and level.mark == (before.stamp, before.version) == (state.stamp, state.version - 1):
            level.mark = (state.stamp, state.version)  # nobody wrote in between, so it is that very mark still
        level.state, level.verified, level.absent = state, True, False
        level.charged = write.amounts
        self.knowledge.learn_bucket(level.entity_id, self.resource, state)

    def _take_refused(self, level: Level, write: Write, refused: Refused) -> None:
        if refused.item is None:
            level.state, level.verified, level.absent, level.reading = None, False, True, None
            self.knowledge.note_missed_guess()
            self.knowledge.forget_bucket(level.entity_id, self.resource)
            return
        state = schema.parse_bucket(refused.item, write.before)
        if self.request.was_applied_to(state) or self._holds_place(write, state):
            self._take_applied(level, write, state)
            return
        if self._was_missed(write, state):
            self.knowledge.note_missed_guess()
        if write.before is not None and state.stamp == write.before.stamp:
            level.lost_rebases += write.after.stamp != write.before.stamp
        else:
            self.planner.fresh_defaults = None  # read before this stamp was seen, so perhaps older than it
        level.state, level.verified, level.absent = state, True, False
        self.knowledge.learn_bucket(level.entity_id, self.resource, state)

    def _was_missed(self, write: Write, state: Bucket) -> bool:
        """Say whether a write was refused though the tokens are there, because the bucket was not as believed."""
        if write.before is None or not state.stamp == write.before.stamp == write.after.stamp:
            return True
        return spending.can_grant(state, write.amounts or {}, self.request.now_ms)

    def _holds_place(self, write: Write, state: Bucket) -> bool:
        """Say whether a bucket has a holder that this write lets in: then it was applied, though forgotten."""
        return bool(state.holders) and any(
            not self.request.entering(write.after.limits[name], count).keys().isdisjoint(state.holders[name])
            for name, count in (write.amounts or {}).items()
            if name in state.holders and name in write.after.limits
        )
