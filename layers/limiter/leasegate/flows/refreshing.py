"""Renewing aged knowledge beside a write, so that no acquire waits for it."""

from __future__ import annotations

from dataclasses import dataclass, field

from .. import schema
from ..knowledge import Defaults, Knowledge
from ..operations import BatchGet, Found, Key, Outcome
from . import reading


@dataclass(slots=True)
class Belief:
    """The aged knowledge that the plans of one acquire rest on: the defaults, and ancestors by entity id.

    ``ancestors`` is a dictionary for the sake of its order. ``is_unknown`` tells that nothing is known of the
    resource's state: whoever spends must find out, but under limits of its own it need not wait for that.
    ``fresh`` is what was found out beside a write.
    """

    resource: str
    now_ms: int
    knowledge: Knowledge
    defaults: bool = False
    is_unknown: bool = False
    fresh: Defaults | None = None
    ancestors: dict[str, None] = field(default_factory=dict)

    def due_refresh(self) -> BatchGet | None:
        """Return a read of what is to be renewed by now, if this acquire is the one to do it."""
        keys: list[Key] = []
        if self.is_unknown or (
            self.defaults and self.knowledge.claim_defaults_refresh(self.resource, self.now_ms)
        ):
            keys += reading.defaults_keys(self.resource)
        for entity_id in self.ancestors:
            if self.knowledge.claim_ancestor_refresh(entity_id, self.resource, self.now_ms):
                keys += reading.record_keys(entity_id, self.resource)
        return BatchGet(tuple(keys)) if keys else None

    def learn(self, refresh: BatchGet, outcome: Outcome) -> None:
        """Remember what the read found; where it failed, what was known stays good for its age."""
        if not isinstance(outcome, Found):
            return
        if schema.system_defaults_key() in refresh.keys:
            self.fresh = reading.parse_defaults_reading(outcome.items, self.resource)
            self.is_unknown = False
            self.knowledge.learn_defaults(self.resource, self.fresh, self.now_ms)
        for entity_id in self.ancestors:
            if schema.entity_key(entity_id) in refresh.keys:
                record = reading.parse_entity_reading(outcome.items, entity_id, self.resource)
                reading.learn_ancestor(self.knowledge, entity_id, self.resource, record, self.now_ms)
