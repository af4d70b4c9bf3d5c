"""How changes and conditions are told to DynamoDB: expressions, compiled once for each shape.

A *shape* is everything about a write but its values: which kinds of change and condition, of which attributes,
in which order. A limiter has few shapes and many values, so :func:`take_apart` walks a write once and returns the
two separately; :func:`compile_shape` turns a shape into text, and is made to be cached.

Attributes of holders have a name of their own for each lease, which would make a shape of each write. So a shape
only numbers them, in the order in which they first appear, and their names are taken apart like values.

Values are taken apart in the form in which ``templates`` fills them in; for that, a shape says of each whether it
is a number, a string, or anything else.

The counterpart of ``evaluation``, which evaluates the same values in memory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from ..operations import (
    Add,
    AllOf,
    AnyOf,
    AtLeast,
    AtMost,
    Below,
    Between,
    Change,
    Condition,
    Discard,
    Equals,
    Exists,
    Initialize,
    ItemAbsent,
    ItemExists,
    NotEquals,
    NotExists,
    Remove,
    Set,
    Value,
)
from ..schema import PK, SK, is_holder_attribute
from .values import LARGEST_NUMBER, checked_number
from .wire import encode, quoted, written

type Shape = tuple[type | str | int, ...]
"""The number of changes; each change's class and attribute; then the condition, operators before operands.

An attribute is written as its name, that of a holder as its number. Where a value may be of any type, ``int``,
``str`` or ``object`` follows.
"""


@dataclass(frozen=True, slots=True)
class Expressions:
    """What a shape compiles to.

    ``values`` has a placeholder for each value that was taken apart from it, in their order, and its kind
    (``int``, ``str`` or ``object``); ``holders`` one for each name of a holder's attribute; ``names`` has the
    other attributes by placeholder.
    """

    update: str
    condition: str
    names: Mapping[str, str]
    holders: tuple[str, ...]
    values: tuple[tuple[str, type], ...]


def take_apart(
    changes: tuple[Change, ...], condition: Condition | None, values: list[Any]
) -> tuple[Shape, Collection[str]]:
    """Separate a write into its shape and the names of holders' attributes in it; add its values to ``values``.

    A number is itself, a string quoted, anything else its whole JSON text. Raises as
    :func:`~leasegate.repository.wire.encode` does.
    """
    shape: list[type | str | int] = [len(changes)]
    holders: dict[str, int] = {}
    for change in changes:
        name = change.attribute
        shape.append(type(change))
        shape.append(holders.setdefault(name, len(holders)) if is_holder_attribute(name) else name)
        if isinstance(change, Discard):
            _take_value(change.members, shape, values)
        elif not isinstance(change, Remove):
            _take_value(change.value, shape, values)
    if condition is not None:
        _take_condition_apart(condition, shape, holders, values)
    return tuple(shape), holders


def _take_condition_apart(
    condition: Condition, shape: list[type | str | int], holders: dict[str, int], values: list[Any]
) -> None:
    # Every acquire comes through here, and this is quicker than a match statement.
    shape.append(type(condition))
    if isinstance(condition, (AllOf, AnyOf)):
        shape.append(len(condition.conditions))
        for part in condition.conditions:
            _take_condition_apart(part, shape, holders, values)
    elif not isinstance(condition, (ItemExists, ItemAbsent)):
        name = condition.attribute
        shape.append(holders.setdefault(name, len(holders)) if is_holder_attribute(name) else name)
        if isinstance(condition, Between):
            values += (checked_number(condition.low), checked_number(condition.high))
        elif isinstance(condition, (Equals, NotEquals)):
            _take_value(condition.value, shape, values)
        elif not isinstance(condition, (Exists, NotExists)):
            values.append(checked_number(condition.value))


def _take_value(value: Value, shape: list[type | str | int], values: list[Any]) -> None:
    kind = type(value)
    if kind is int and -LARGEST_NUMBER <= value <= LARGEST_NUMBER:  # type: ignore[operator] # it is an int
        shape.append(int)
        values.append(value)
    elif kind is str:
        shape.append(str)
        values.append(quoted(value))  # type: ignore[arg-type] # it is a str
    else:
        shape.append(object)
        values.append(written(encode(value)))


def compile_shape(shape: Shape) -> Expressions:
    """Write the expressions of a shape; ``update`` or ``condition`` is empty where it has none.

    Raises ``ValueError`` for what DynamoDB takes in no item: two changes of one attribute, an attribute that is
    part of the key, a combination of no conditions.
    """
    return _Compilation(shape).expressions()


_COMPARISONS: Final[Mapping[type, str]] = {Equals: "=", NotEquals: "<>", Below: "<", AtMost: "<=", AtLeast: ">="}
_CLAUSES: Final[Mapping[type, str]] = {
    Set: "SET",
    Initialize: "SET",
    Add: "ADD",
    Discard: "DELETE",
    Remove: "REMOVE",
}


class _Compilation:
    """One reading of a shape, from front to back.

    Attributes are always named by placeholders, for they have dots in them, and values are numbered as they come.
    """

    def __init__(self, shape: Shape) -> None:
        self._tokens: Iterator[type | str | int] = iter(shape)
        self._names: dict[str | int, str] = {}
        self._values: list[tuple[str, type]] = []

    def expressions(self) -> Expressions:
        update = self._update(cast("int", next(self._tokens)))
        condition = next(self._tokens, None)
        return Expressions(
            update,
            "" if condition is None else self._condition(condition, inside=False),
            {placeholder: name for name, placeholder in self._names.items() if isinstance(name, str)},
            tuple([placeholder for name, placeholder in self._names.items() if isinstance(name, int)]),
            tuple(self._values),
        )

    def _update(self, changes: int) -> str:
        clauses: dict[str, list[str]] = {clause: [] for clause in _CLAUSES.values()}
        for _ in range(changes):
            kind = cast("type", next(self._tokens))
            attribute = cast("str | int", next(self._tokens))
            if attribute in self._names:
                which = attribute if isinstance(attribute, str) else f"that of holder {attribute}"
                raise ValueError(f"two changes of one attribute: {which}")
            clauses[_CLAUSES[kind]].append(self._change(kind, self._name(attribute)))
        return " ".join(f"{clause} {', '.join(parts)}" for clause, parts in clauses.items() if parts)

    def _change(self, kind: type, name: str) -> str:
        if kind is Set:
            return f"{name} = {self._any_value()}"
        if kind is Initialize:
            return f"{name} = if_not_exists({name}, {self._any_value()})"
        return name if kind is Remove else f"{name} {self._any_value()}"

    def _condition(self, kind: object, *, inside: bool) -> str:
        """Write one condition.

        ``inside`` another one, what has several parts needs parentheses; elsewhere DynamoDB refuses them as
        redundant.
        """
        if kind is AllOf or kind is AnyOf:
            return self._combination("AND" if kind is AllOf else "OR", inside=inside)
        if kind is ItemExists:
            return f"attribute_exists({self._placeholder(PK)})"
        if kind is ItemAbsent:
            return f"attribute_not_exists({self._placeholder(PK)})"
        name = self._name(cast("str | int", next(self._tokens)))
        if kind is Exists:
            return f"attribute_exists({name})"
        if kind is NotExists:
            return f"attribute_not_exists({name})"
        if kind is Between:
            # DynamoDB's own BETWEEN refuses a low above the high, which here is just never true.
            text = f"{name} >= {self._value(int)} AND {name} <= {self._value(int)}"
            return f"({text})" if inside else text
        value = self._any_value() if kind is Equals or kind is NotEquals else self._value(int)
        return f"{name} {_COMPARISONS[cast('type', kind)]} {value}"

    def _combination(self, operator: str, *, inside: bool) -> str:
        count = cast("int", next(self._tokens))
        if count == 0:
            raise ValueError("a combination of no conditions")
        if count == 1:
            return self._condition(next(self._tokens), inside=inside)
        text = f" {operator} ".join([self._condition(next(self._tokens), inside=True) for _ in range(count)])
        return f"({text})" if inside else text

    def _name(self, attribute: str | int) -> str:
        if attribute in (PK, SK):
            raise ValueError(f"{attribute} is part of the key, not an attribute")
        return self._placeholder(attribute)

    def _placeholder(self, attribute: str | int) -> str:
        return self._names.setdefault(attribute, f"#{len(self._names)}")

    def _any_value(self) -> str:
        return self._value(cast("type", next(self._tokens)))

    def _value(self, kind: type) -> str:
        placeholder = f":{len(self._values)}"
        self._values.append((placeholder, kind))
        return placeholder
