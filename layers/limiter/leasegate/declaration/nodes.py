"""YAML, read strictly: the tree as it was written, with lines; every mistake is noted and reading goes on.

YAML decides by the look of a word whether it is a number, a date or a truth value. Nothing of that is used here:
an id stays as it was typed (``007``, ``on``, ``12:30``), and where a number or a truth value is meant, only one
spelling of it counts. So neither the version of YAML matters nor its surprises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import yaml

from ..errors import InvalidRequest
from ..identifiers import check_integer
from .problems import InvalidDeclaration, Problem

_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]*(_[0-9]+)*)", re.ASCII)
_NULLS: Final = ("null", "~")
_MAX_DIGITS: Final = 30
_PLAIN_TAG: Final = "tag:yaml.org,2002:"
_PLAIN_TYPES: Final = ("bool", "float", "int", "map", "merge", "null", "seq", "str", "timestamp", "value")
# libyaml where PyYAML was built with it: about ten times as fast.
_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Place(NamedTuple):
    """A value of the file, and its path from the top."""

    path: str
    node: yaml.Node

    @property
    def line(self) -> int:
        """The line that the value begins in, counted from 1."""
        return int(self.node.start_mark.line) + 1

    @property
    def is_null(self) -> bool:
        """Whether ``null`` is written there, or ``~``."""
        return self.is_plain and self.node.value in _NULLS

    @property
    def is_empty(self) -> bool:
        """Whether nothing is written there."""
        return self.is_plain and self.node.value == ""

    @property
    def is_mapping(self) -> bool:
        """Whether fields are written there."""
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        """Whether a list is written there."""
        return isinstance(self.node, yaml.SequenceNode)

    @property
    def is_plain(self) -> bool:
        """Whether one word or line without quotes is written there."""
        return isinstance(self.node, yaml.ScalarNode) and not self.node.style

    def below(self, name: str) -> str:
        """Return the path of a field of this value."""
        return f"{self.path}.{name}" if self.path else name


class Reading:
    """One pass over a file. Methods that cannot return what they promise note a problem, and return None."""

    def __init__(self) -> None:
        """Start without problems."""
        self.problems: list[Problem] = []

    def refuse(self, place: Place, reason: str, path: str | None = None) -> None:
        """Note what is wrong with a value."""
        self.problems.append(Problem(place.path if path is None else path, reason, place.line))

    def refuse_as(self, place: Place, error: InvalidRequest) -> None:
        """Note what the library said of a value; its field is a path already."""
        self.refuse(place, error.reason, error.field)

    def members(self, place: Place, what: str) -> Iterator[tuple[str, Place]]:
        """Yield the fields of a mapping, names as they were typed; what is given twice is noted and left out."""
        if not isinstance(place.node, yaml.MappingNode):
            self._refuse_kind(place, what)
            return
        lines: dict[str, int] = {}
        for key, value in place.node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.refuse(Place(place.path, key), "has a name that is no text")
                continue
            member = Place(place.below(key.value), value)
            if key.value in lines:
                at = Place(member.path, key)
                self.refuse(at, f"is given twice; the first time in line {lines[key.value]}")
                continue
            lines[key.value] = int(key.start_mark.line) + 1
            if self._check_tag(member):
                yield key.value, member

    def fields(
        self, place: Place, known: tuple[str, ...], required: tuple[str, ...] = ()
    ) -> dict[str, Place] | None:
        """Return the known fields of a mapping, others noted; None where a required one is missing."""
        found = dict(self.members(place, f"a mapping with the fields {', '.join(known)}"))
        if not place.is_mapping:
            return None
        for name in found.keys() - set(known):
            self.refuse(found[name], f"is unknown; the fields are {', '.join(known)}")
        missing = [name for name in required if name not in found]
        for name in missing:
            self.refuse(place, "is required", place.below(name))
        return None if missing else {name: found[name] for name in known if name in found}

    def items(self, place: Place, what: str) -> Iterator[Place]:
        """Yield the elements of a list."""
        if not isinstance(place.node, yaml.SequenceNode):
            self._refuse_kind(place, what)
            return
        for index, node in enumerate(place.node.value):
            item = Place(f"{place.path}[{index}]", node)
            if self._check_tag(item):
                yield item

    def text(self, place: Place, what: str) -> str | None:
        """Return a text as it was typed; null is none."""
        if not isinstance(place.node, yaml.ScalarNode) or place.is_null or place.is_empty:
            self._refuse_kind(place, what)
            return None
        return str(place.node.value)

    def integer(self, place: Place, low: int, high: int) -> int | None:
        """Return a whole number: digits, perhaps with ``_`` between them, no quotes."""
        text = place.node.value if place.is_plain else ""
        if not _INTEGER.fullmatch(text):
            self._refuse_kind(place, "a whole number")
            return None
        try:
            return check_integer(place.path, int(text[:_MAX_DIGITS].strip("_").replace("_", "")), low, high)
        except InvalidRequest as error:
            self.refuse_as(place, error)
            return None

    def boolean(self, place: Place, what: str = "true or false") -> bool | None:
        """Return a truth value: ``true`` or ``false``."""
        if not place.is_plain or place.node.value not in ("true", "false"):
            self._refuse_kind(place, what)
            return None
        return bool(place.node.value == "true")

    def _refuse_kind(self, place: Place, what: str) -> None:
        empty = "; it is empty" if place.is_empty else ""
        self.refuse(place, f"must be {what}{empty}")

    def _check_tag(self, place: Place) -> bool:
        tag = str(place.node.tag)
        if tag.removeprefix(_PLAIN_TAG) in _PLAIN_TYPES:
            return True
        self.refuse(place, f"has the tag {tag}; tags mean nothing here")
        return False


def read_yaml(text: str, source: str) -> Place | None:
    """Return the top of a YAML document; None for one without content. Raises :class:`InvalidDeclaration`."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = ", ".join([part for part in (error.context, error.problem) if part])
        problem = Problem("", f"is no YAML: {reason}", None if mark is None else mark.line + 1)
        raise InvalidDeclaration((problem,), source) from error
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidDeclaration((Problem("", f"is no YAML: {str(error).splitlines()[0]}"),), source) from error
    except RecursionError as error:
        raise InvalidDeclaration((Problem("", "must not be nested so deeply"),), source) from error
    return None if node is None else Place("", node)
