"""The story of a history that went wrong: its last steps, of the items and the calls that matter."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..operations import (
    Applied,
    BatchGet,
    Cancelled,
    Failed,
    Found,
    Get,
    Item,
    Key,
    Operation,
    Outcome,
    Query,
    Refused,
    Scan,
    Transact,
)
from .calls import Call
from .world import START_MS, World

_KEPT: Final = 4_000
_TOLD: Final = 40


@dataclass(frozen=True, slots=True)
class _Event:
    step: int
    at_ms: int
    call: Call
    what: str
    operation: Operation | None
    outcome: Outcome | None


class Teller:
    """Listens to a world, and tells the end of it."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self.step = 0
        self._events: deque[_Event] = deque(maxlen=_KEPT)
        self._world: World | None = None

    def listen(self, world: World) -> None:
        """Remember what happens in a world."""
        self._world = world
        world.listener = self._hear

    def story(self, keys: Sequence[Key]) -> str:
        """Tell the last steps that touched these items, and those of the call that came last."""
        last = self._events[-1].call if self._events else None
        concerned = [
            event
            for event in self._events
            if event.call is last
            or (event.operation is not None and not set(_keys(event.operation)).isdisjoint(keys))
        ]
        return "\n".join([_line(event, keys) for event in concerned[-_TOLD:]])

    def _hear(
        self, step: int, call: Call, what: str, operation: Operation | None, outcome: Outcome | None
    ) -> None:
        assert self._world is not None
        self.step = step
        self._events.append(_Event(step, self._world.now_ms - START_MS, call, what, operation, outcome))


def _line(event: _Event, keys: Sequence[Key]) -> str:
    call = event.call
    text = f"{event.step:>7} {event.at_ms:>7} ms  {call.request.id:<12} {call.kind}: {event.what}"
    if event.what == "begins":
        return f"{text} {call.subject!r:.200}, at {call.request.now_ms - START_MS}"
    if event.what == "ends":
        return f"{text} {call.error or call.result!r:.160}"
    if event.operation is not None:
        named = " ".join(f"{key.pk}{key.sk}" for key in _keys(event.operation) if not keys or key in keys)
        text += f" {type(event.operation).__name__} {named:.120}"
    return text if event.outcome is None else f"{text} -> {_outcome(event.outcome, keys)}"


def _outcome(outcome: Outcome, keys: Sequence[Key]) -> str:
    match outcome:
        case Applied(item):
            return f"applied {_state(item)}"
        case Refused(item):
            return f"refused by {_state(item)}"
        case Cancelled(refusals):
            by = "; ".join("fine" if refusal is None else _state(refusal.item) for refusal in refusals)
            return f"cancelled by {by}"
        case Failed(error):
            return f"failed: {error}"
        case Found(items):
            shown = "; ".join(_state(item) for key, item in items.items() if key in keys)
            return f"found {len(items)}{f', {shown}' if shown else ''}"
    return type(outcome).__name__


def _state(item: Item | None) -> str:
    if item is None:
        return "nothing"
    shown = ("cfg", "n", "par")
    states = [f"{name}={item[name]}" for name in item if name in shown or name[:2] in ("v.", "u.", "k.")]
    return " ".join(states) or f"{len(item)} attributes"


def _keys(operation: Operation) -> tuple[Key, ...]:
    match operation:
        case Transact(actions):
            return tuple([action.key for action in actions])
        case BatchGet(keys):
            return keys
        case Get(key):
            return (key,)
        case Query() | Scan():
            return ()
    return (operation.key,)
