"""Which values an item may hold, and when two of them are the same to DynamoDB.

Python takes ``True`` for ``1``; DynamoDB, which types its values, does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..operations import Value

LARGEST_NUMBER: Final = 10**38 - 1
"""DynamoDB keeps 38 digits."""

_SCALARS: Final = frozenset({int, str, bool, type(None)})


def checked_number(value: object) -> int:
    """Return the number as a plain ``int``; a ``bool`` is none, and one of more than 38 digits cannot be kept."""
    if type(value) is not int and (isinstance(value, bool) or not isinstance(value, int)):
        raise TypeError(f"a number is an int, not a {type(value).__name__}")
    if -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        return int(value)
    raise ValueError(f"a number has at most 38 digits: {value}")


def checked_set(value: object) -> frozenset[str]:
    """Return the string set as it is; it must hold strings alone, and at least one."""
    if not isinstance(value, frozenset):
        raise TypeError(f"an item cannot hold a {type(value).__name__}")
    if not value:
        raise ValueError("an item cannot hold an empty set")
    for member in value:
        checked_name(member)
    return value


def checked_name(name: object) -> str:
    """Return the name of a mapping's entry, or a set's member, as it is; it must be a string."""
    if isinstance(name, str):
        return name
    raise TypeError(f"names and members of sets are strings, not {type(name).__name__}")


def stored(value: Value) -> Value:
    """Return the value as a store keeps it: plain types, and no container shared with the caller.

    Raises ``TypeError`` for types that an item cannot hold (floats among them), ``ValueError`` for an empty set
    and for numbers of more than 38 digits.
    """
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if isinstance(value, int):
        return checked_number(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, tuple):
        return tuple([stored(element) for element in value])
    if isinstance(value, Mapping):
        return {checked_name(name): stored(element) for name, element in value.items()}
    return checked_set(value)


def same(one: Value, other: Value) -> bool:
    """Tell whether DynamoDB holds the two equal: of one type, and equal in it, at every depth."""
    kind = type(one)
    if kind in _SCALARS and kind is type(other):
        return one == other
    if isinstance(one, tuple):
        return isinstance(other, tuple) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Mapping):
        return (
            isinstance(other, Mapping)
            and one.keys() == other.keys()
            and all(same(element, other[name]) for name, element in one.items())
        )
    if isinstance(one, bool) or isinstance(other, bool):
        return False  # two of them were compared above
    return one == other
