"""What every write of a bucket is held to: a second bucket, which is told what was spent, and does its own sums.

Limit by limit: the state after the write must be the state before it plus what the write says that it spent, to
the token and to the ms, neither more nor less; nobody is granted what is not there; and over any span of grants
the limit's rate and burst are kept (the invariant of exact admission).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from .. import schema
from ..limits import HOUR_MS
from ..operations import Item, Key, Value
from .calls import Call, Violation
from .history import Stream
from .ledger import Line, Terms
from .table import Change
from .world import NOBODY

GRANTING: Final = frozenset({"acquire", "acquire durable", "acquire many"})
"""The calls that spend only what is there; others may go into debt."""

type Leaver = tuple[Key, str]
"""A bucket, and a holder of one of its places."""


@dataclass(slots=True)
class Buckets:
    """Follows all buckets of a table.

    Attributes:
        stream: what the table's stream says of them.
        usage: tokens, and grants under the name ``""``, by bucket, name and hour since 1970.
        changed_step: when a bucket's limits last became others, or the bucket came or went.
        came_step: when a bucket last got a limit that it had not had before.
        left_step: when a bucket was last deleted, and what it had spent with it.
        leavers: those that lost a place in the write at hand before their time was over.
        births: the buckets that were created, with their first versions.
        reborn: those that the very write that had created them created again, after they were deleted: it came
            late, and usage takes its versions for those of the first life.
    """

    stream: Stream
    usage: Counter[tuple[Key, str, int]] = field(default_factory=Counter)
    changed_step: dict[Key, int] = field(default_factory=dict)
    came_step: dict[tuple[Key, str], int] = field(default_factory=dict)
    left_step: dict[Key, int] = field(default_factory=dict)
    lines: dict[tuple[Key, str], Line] = field(default_factory=dict)
    leavers: list[Leaver] = field(default_factory=list)
    births: set[tuple[Key, Value]] = field(default_factory=set)
    reborn: set[Key] = field(default_factory=set)

    def follow(self, call: Call, change: Change, step: int, now_ms: int) -> dict[str, int]:
        """Take in one write of a bucket; return the tokens that it spent or gave back, by limit name."""
        key, before, after = change
        if after is None:
            self._check_forgotten(call, key, before or {}, now_ms)
            self.changed_step[key] = self.left_step[key] = step
            for name in cast("Mapping[str, Terms]", (before or {})["lim"]):
                self.lines.pop((key, name), None)
            return {}
        self.stream.changes.append(change)
        limits = cast("Mapping[str, Terms]", after["lim"])
        if before is None:
            birth = key, after[schema.VERSION]
            if birth in self.births:
                self.reborn.add(key)
            self.births.add(birth)
        old: Item = {} if before is None else before
        old_limits = cast("Mapping[str, Terms]", old.get("lim", {}))
        if limits is not old_limits and limits != old_limits:
            self._take_limits(key, old, after, step)
        at_ms = cast("int", after["at"])
        hour = at_ms // HOUR_MS
        spent: dict[str, int] = {}
        for name, terms in limits.items():
            if not terms[1]:
                self._check_places(call, key, name, terms[0], old, after)
                continue
            used = "u." + name
            known = old_limits.get(name)
            tokens = cast("int", after.get(used, 0)) - (cast("int", old.get(used, 0)) if known else 0)
            tat: Any = _carried(old.get("v." + name), known, terms, at_ms)
            if tokens > 0:
                start = at_ms * terms[1]
                tat = (start if tat is None or tat < start else tat) + tokens * terms[2]
            elif tokens and tat is not None:
                tat += tokens * terms[2]
            found: Any = after.get("v." + name)
            if found != tat and not (call.kind == "replenish" and not tokens):
                # Full is full, be it said by a state that is not there or by one that has just passed.
                start = at_ms * terms[1]
                if tokens or found != start or (tat is not None and tat > start):
                    raise Violation(f"the state of {name} is {found}, and not {tat}, after {tokens} tokens", key)
            self._take(call, key, name, terms, terms == known, tokens, tat, at_ms)
            if tokens:
                spent[name] = tokens
                self.usage[key, name, hour] += tokens
        if after.get("g") != old.get("g"):
            self.usage[key, "", hour] += cast("int", after.get("g", 0)) - cast("int", old.get("g", 0))
        return spent

    def _take(
        self,
        call: Call,
        key: Key,
        name: str,
        terms: Terms,
        is_same: bool,
        tokens: int,
        tat: int | None,
        at_ms: int,
    ) -> None:
        line = self.lines.get((key, name))
        if line is None or not is_same or call.kind == "replenish":
            line = self.lines[key, name] = Line()
        is_allowed = line.spend(terms, tokens, at_ms)
        if tokens > 0 and call.kind in GRANTING:
            ceiling = at_ms * terms[1] + terms[0] * terms[2]
            if not is_allowed or tat is None or tat > ceiling:
                raise Violation(f"{tokens} tokens of {name} were granted that were not there", key)

    def _take_limits(self, key: Key, before: Item, after: Item, step: int) -> None:
        """Take in that the limits are others; of those that are gone nothing stays but who holds a place."""
        limits = cast("Mapping[str, Terms]", after["lim"])
        self.changed_step[key] = step
        for name in limits.keys() - cast("Mapping[str, Terms]", before.get("lim", {})).keys():
            self.came_step[key, name] = step
        held = Counter([attribute.split(".")[1] for attribute in after if attribute.startswith("h.")])
        for attribute in after:
            kind, _, name = attribute.partition(".")
            if kind in ("u", "v") and name not in limits:
                raise Violation(f"{name} is no limit any more, and there is {attribute}", key)
            if kind == "k" and after[attribute] != held[name]:
                raise Violation(f"{held[name]} hold {name}, and {after[attribute]} are counted", key)

    def _check_places(self, call: Call, key: Key, name: str, capacity: int, before: Item, after: Item) -> None:
        """Hold a concurrency limit to its count: one place for each holder, no more than there are, none lost."""
        count = after.get("k." + name, 0)
        prefix = f"h.{name}."
        holders = sum([attribute.startswith(prefix) for attribute in after])
        if count != holders:
            raise Violation(f"{holders} hold {name}, and {count} are counted", key)
        if holders > capacity and holders > cast("int", before.get("k." + name, 0)):
            raise Violation(f"{holders} hold {name}, of which there are {capacity}", key)
        if before.get("k." + name):
            now_ms = call.request.now_ms
            self.leavers += [
                (key, attribute.removeprefix(prefix))
                for attribute, until in before.items()
                if attribute not in after and attribute.startswith(prefix) and cast("int", until) > now_ms
            ]

    def _check_forgotten(self, call: Call, key: Key, item: Item, now_ms: int) -> None:
        """Let time delete only what is full: a bucket that is not there has every token."""
        if call is not NOBODY:
            return
        for name, terms in cast("Mapping[str, Terms]", item["lim"]).items():
            if terms[1] and cast("int", item.get("v." + name, 0)) > now_ms * terms[1]:
                raise Violation(f"the bucket was deleted, and {name} was not full", key)
        if any(schema.is_holder_attribute(name) and cast("int", item[name]) > now_ms for name in item):
            raise Violation("the bucket was deleted, and a lease held a place of it", key)


def _carried(tat: Any, old: Terms | None, new: Terms, at_ms: int) -> int | None:  # noqa: ANN401 - an attribute
    """Carry a state over to other limits: what was spent, and is not refilled, stays spent, rounded up."""
    if old is None or tat is None:
        return None
    if old[1:] == new[1:]:
        return cast("int", tat)
    missing = tat - at_ms * old[1]  # tokens, times the old period
    return None if missing <= 0 else at_ms * new[1] + -(-missing * new[2] // old[2])
