"""What a condition says of an item, and what changes make of it: DynamoDB's expressions, evaluated.

The counterpart of ``expressions``, which compiles the same values to text for DynamoDB to evaluate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..errors import StoreError
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
    Equals,
    Exists,
    Initialize,
    Item,
    ItemAbsent,
    ItemExists,
    NotEquals,
    NotExists,
    Remove,
    Set,
    Value,
)
from .values import LARGEST_NUMBER, checked_number, checked_set, same, stored

_MISSING: Final[Any] = object()


def holds(condition: Condition, item: Item | None) -> bool:
    """Tell whether the condition holds of the item; None stands for an item that does not exist.

    A comparison with a missing attribute, or with one that is no number, is false, as in DynamoDB.
    """
    return _TESTS[type(condition)](condition, item)


def _all_hold(condition: AllOf, item: Item | None) -> bool:
    if not condition.conditions:
        raise ValueError("AllOf combines at least one condition")
    for each in condition.conditions:  # noqa: SIM110 - all() over a generator costs a simulation more
        if not _TESTS[type(each)](each, item):
            return False
    return True


def _any_holds(condition: AnyOf, item: Item | None) -> bool:
    if not condition.conditions:
        raise ValueError("AnyOf combines at least one condition")
    for each in condition.conditions:  # noqa: SIM110 - as above
        if _TESTS[type(each)](each, item):
            return True
    return False


def _equals(condition: Equals, item: Item | None) -> bool:
    value = _attribute(item, condition.attribute)
    return value is not _MISSING and same(value, condition.value)


def _differs(condition: NotEquals, item: Item | None) -> bool:
    value = _attribute(item, condition.attribute)
    return value is _MISSING or not same(value, condition.value)


def _is_between(condition: Between, item: Item | None) -> bool:
    number = _number(item, condition.attribute)
    return number is not None and condition.low <= number <= condition.high


def _is_below(condition: Below, item: Item | None) -> bool:
    number = _number(item, condition.attribute)
    return number is not None and number < condition.value


def _is_at_most(condition: AtMost, item: Item | None) -> bool:
    number = _number(item, condition.attribute)
    return number is not None and number <= condition.value


def _is_at_least(condition: AtLeast, item: Item | None) -> bool:
    number = _number(item, condition.attribute)
    return number is not None and number >= condition.value


def _has(condition: Exists, item: Item | None) -> bool:
    return item is not None and condition.attribute in item


def _has_not(condition: NotExists, item: Item | None) -> bool:
    return item is None or condition.attribute not in item


def _exists(_: ItemExists, item: Item | None) -> bool:
    return item is not None


def _is_absent(_: ItemAbsent, item: Item | None) -> bool:
    return item is None


_TESTS: Final[Mapping[type, Callable[[Any, Item | None], bool]]] = {
    AllOf: _all_hold,
    AnyOf: _any_holds,
    Equals: _equals,
    NotEquals: _differs,
    Between: _is_between,
    Below: _is_below,
    AtMost: _is_at_most,
    AtLeast: _is_at_least,
    Exists: _has,
    NotExists: _has_not,
    ItemExists: _exists,
    ItemAbsent: _is_absent,
}


def _attribute(item: Item | None, name: str) -> Value:
    return _MISSING if item is None else item.get(name, _MISSING)


def _number(item: Item | None, attribute: str) -> int | None:
    value = None if item is None else item.get(attribute)
    return value if type(value) is int else None


def changed(item: Item | None, changes: tuple[Change, ...]) -> dict[str, Value]:
    """Return a new item: the old one with every change applied; None stands for an absent item.

    Raises :class:`StoreError` where DynamoDB would reject the update of this item, such as adding a number to a
    string; ``ValueError`` for changes that no item could take. An absent item from which attributes are only
    taken away is there afterwards, without any, as in DynamoDB Local; DynamoDB itself, by the tests of ScyllaDB's
    Alternator, then makes none. An update for which that matters has a condition.
    """
    if not changes:
        raise ValueError("an update needs at least one change")
    if len({change.attribute for change in changes}) < len(changes):
        raise ValueError(f"two changes of one attribute: {[change.attribute for change in changes]}")
    new: dict[str, Value] = {} if item is None else dict(item)
    for change in changes:
        attribute = change.attribute
        if isinstance(change, Set):
            new[attribute] = stored(change.value)
        elif isinstance(change, Add):
            new[attribute] = _sum(new.get(attribute, _MISSING), change.value)
        elif isinstance(change, Remove):
            new.pop(attribute, None)
        elif isinstance(change, Initialize):
            new.setdefault(attribute, stored(change.value))
        else:
            rest = _difference(new.pop(attribute, _MISSING), change.members)
            if rest:
                new[attribute] = rest
    return new


def _difference(old: Value, members: frozenset[str]) -> frozenset[str]:
    members = checked_set(members)
    if old is _MISSING:
        return frozenset()
    if isinstance(old, frozenset):
        return old - members
    raise StoreError(f"cannot take members out of a {type(old).__name__}")


def _sum(old: Value, addend: int | frozenset[str]) -> Value:
    if isinstance(addend, frozenset):
        members = checked_set(addend)
        if old is _MISSING:
            return members
        if isinstance(old, frozenset):
            return old | members
    else:
        number = checked_number(addend)
        if type(old) is int:
            total = old + number
            if -LARGEST_NUMBER <= total <= LARGEST_NUMBER:
                return total
            raise StoreError("the sum has more than 38 digits")
        if old is _MISSING:
            return number
    raise StoreError(f"cannot add a {type(addend).__name__} to a {type(old).__name__}")
