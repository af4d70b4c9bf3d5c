"""What a trace says of an invocation besides its calls: annotations, by which X-Ray's filters find it.

Traces are read by more people than the table is, so who asked stands there as a class only, unless the stack's
parameter TraceEntities says otherwise.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, get_args

if TYPE_CHECKING:
    from aws_lambda_powertools import Tracer

type EntityAnnotation = Literal["class", "id", "off"]
"""How a trace names entities: by what kind they are, by their ids, or not at all."""

ENTITIES_VARIABLE: Final = "TRACE_ENTITIES"
UNCLASSED: Final = "none"
"""The class of an entity whose id names none."""
MIXED: Final = "mixed"
"""The verdict of a batch whose requests did not all end alike."""

_CLASS: Final = re.compile(r"([a-z][a-z_-]{0,31}):")
_LONGEST: Final = 256
"""An identifier's length at most. What a path says is noted before it is judged, and may be longer."""
_QUALIFIERS: Final = frozenset({"CachedRefusals", "Degraded", "Replayed", "Unavailable"})
"""What replies are counted as besides their verdict."""


def entity_class(entity_id: str) -> str:
    """Return what kind of entity an id names: the word before its first colon, ``key`` in ``key:7f3a``.

    A word is of lower-case letters, ``-`` and ``_``: no number, no address, nothing that could be a name of one.
    """
    named = _CLASS.match(entity_id)
    return named[1] if named else UNCLASSED


def verdict_of(counted: Sequence[str]) -> str:
    """Return in a word what became of a request, from what its reply is counted as."""
    verdicts = {name.lower() for name in counted if name not in _QUALIFIERS}
    return verdicts.pop() if len(verdicts) == 1 else MIXED


class Annotations:
    """Annotates the handler's subsegment of the invocation at hand; nothing where it is not traced."""

    def __init__(self, tracer: Tracer) -> None:
        """Note with this tracer; raises ``ValueError`` where the environment asks for what there is not."""
        entities = os.environ.get(ENTITIES_VARIABLE) or "class"
        if entities not in (known := get_args(EntityAnnotation.__value__)):
            raise ValueError(f"{ENTITIES_VARIABLE} must be one of {', '.join(known)}, not {entities}")
        self._entities = entities
        self._tracer = tracer

    def note(self, **annotations: str | float | bool) -> None:
        """Note values under their names."""
        for name, value in annotations.items():
            self._tracer.put_annotation(name, value)  # type: ignore[arg-type]  # to mypy no number is a Number

    def note_subject(self, entity_id: str | None, resource: str | None) -> None:
        """Note who spends what, so far as it is known and may be told."""
        if resource is not None:
            self.note(resource=resource[:_LONGEST])
        if entity_id is None or self._entities == "off":
            return
        self.note(entity_class=entity_class(entity_id))
        if self._entities == "id":
            self.note(entity_id=entity_id[:_LONGEST])
