"""What a condition says of an item, and what changes make of it: DynamoDB's expressions, evaluated.

The counterpart of ``expressions``, which compiles the same values to text for DynamoDB to evaluate.
"""

from __future__ import annotations

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
    Discard,
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

    A comparison with a missing attribute, or with one that is no number, is false, as in DynamoDB. The kinds of
    condition stand in the order in which a hot write has most of them.
    """
    match condition:
        case Between():
            number = _number(item, condition.attribute)
            return number is not None and condition.low <= number <= condition.high
        case Equals():
            value = _attribute(item, condition.attribute)
            return value is not _MISSING and same(value, condition.value)
        case NotEquals():
            value = _attribute(item, condition.attribute)
            return value is _MISSING or not same(value, condition.value)
        case AllOf():
            return _all_hold(condition.conditions, item)
        case AnyOf():
            return _any_holds(condition.conditions, item)
        case NotExists():
            return item is None or condition.attribute not in item
        case Below():
            number = _number(item, condition.attribute)
            return number is not None and number < condition.value
        case AtMost():
            number = _number(item, condition.attribute)
            return number is not None and number <= condition.value
        case AtLeast():
            number = _number(item, condition.attribute)
            return number is not None and number >= condition.value
        case Exists():
            return item is not None and condition.attribute in item
        case ItemExists():
            return item is not None
        case ItemAbsent():
            return item is None


def _attribute(item: Item | None, name: str) -> Value:
    return _MISSING if item is None else item.get(name, _MISSING)


def _number(item: Item | None, attribute: str) -> int | None:
    value = None if item is None else item.get(attribute)
    return value if type(value) is int else None


def _all_hold(conditions: tuple[Condition, ...], item: Item | None) -> bool:
    if not conditions:
        raise ValueError("AllOf combines at least one condition")
    for condition in conditions:  # noqa: SIM110 - all() over a generator costs a simulation more
        if not holds(condition, item):
            return False
    return True


def _any_holds(conditions: tuple[Condition, ...], item: Item | None) -> bool:
    if not conditions:
        raise ValueError("AnyOf combines at least one condition")
    for condition in conditions:  # noqa: SIM110 - as above
        if holds(condition, item):
            return True
    return False


def changed(item: Item | None, changes: tuple[Change, ...]) -> dict[str, Value]:
    """Return a new item: the old one with every change applied; None stands for an absent item.

    Raises :class:`StoreError` where DynamoDB would reject the update of this item, such as adding a number to a
    string; ``ValueError`` for changes that no item could take. An absent item from which attributes are only
    taken away is there afterwards, without any, as in DynamoDB Local; DynamoDB itself, by the tests of ScyllaDB's
    Alternator, then makes none. An update for which that matters has a condition.
    """
    if not changes:
        raise ValueError("an update needs at least one change")
    new: dict[str, Value] = {} if item is None else dict(item)
    touched: set[str] = set()
    for change in changes:
        attribute = change.attribute
        if attribute in touched:
            raise ValueError(f"two changes of one attribute: {attribute}")
        touched.add(attribute)
        match change:
            case Set():
                new[attribute] = stored(change.value)
            case Add():
                new[attribute] = _sum(new.get(attribute, _MISSING), change.value)
            case Remove():
                new.pop(attribute, None)
            case Initialize():
                new.setdefault(attribute, stored(change.value))
            case Discard():
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
        if old is _MISSING:
            return number
        if type(old) is int:
            total = old + number
            if -LARGEST_NUMBER <= total <= LARGEST_NUMBER:
                return total
            raise StoreError("the sum has more than 38 digits")
    raise StoreError(f"cannot add a {type(addend).__name__} to a {type(old).__name__}")
