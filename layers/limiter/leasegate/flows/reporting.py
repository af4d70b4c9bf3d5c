"""Refusals, written down without a write of their own: with the next grant of the same bucket.

A refusal changes nothing in the table, so nothing tells the table of it. The process that gave it remembers it
until a write of the bucket goes out in any case, which then adds it to a counter. So a refusal is counted late,
never twice, and not at all where its process grants nothing any more: what is counted is a lower bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .. import schema
from ..knowledge import Knowledge
from ..operations import Add, Update
from .levels import Level, Write


@dataclass(slots=True)
class Reporter:
    """Takes refusals along with the writes of one acquire."""

    resource: str
    knowledge: Knowledge

    def take_along(self, writes: list[tuple[Level, Write]]) -> tuple[list[tuple[Level, Write]], Report]:
        """Return the writes with what there is to report of their buckets, and what that is."""
        report: Report = {}
        taken = []
        for level, write in writes:
            update = write.actions[0]
            if write.amounts is not None and isinstance(update, Update):
                refusals = self.knowledge.take_refusals(level.entity_id, self.resource)
                counted = {name: count for name, count in refusals.items() if name in write.after.limits}
                if counted:
                    report[level.entity_id] = counted
                    added = [Add(schema.refused_attribute(name), count) for name, count in counted.items()]
                    update = replace(update, changes=(*update.changes, *added))
                    write = replace(write, actions=(update, *write.actions[1:]))
            taken.append((level, write))
        return taken, report

    def put_back(self, writes: list[tuple[Level, Write]], report: Report) -> None:
        """Remember what was not written; what may have been written is not reported again."""
        for level, _ in writes:
            if level.entity_id in report and level.charged is None and level.unsure is None:
                self.knowledge.note_refusals(level.entity_id, self.resource, report[level.entity_id])


type Report = dict[str, Mapping[str, int]]
"""Refusals by limit name, by entity."""
