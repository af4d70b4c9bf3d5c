"""How large an item is, in the bytes and units that DynamoDB bills.

The rules are the developer guide's, in its pages on item sizes and formats and on read and write operations.
"""

from __future__ import annotations

from typing import Final

from ..operations import Item, Key, Value
from ..schema import PK, SK

WRITE_UNIT_BYTES: Final = 1024
READ_UNIT_BYTES: Final = 4096
_CONTAINER_BYTES: Final = 3


def write_units(key: Key, item: Item | None) -> int:
    """Return the units of writing an item, at least one; what is not there costs one as well."""
    return 1 if item is None else -(-item_size(key, item) // WRITE_UNIT_BYTES)


def read_units(key: Key, item: Item | None) -> int:
    """Return the units of reading an item consistently, at least one; what is not there costs one as well."""
    return 1 if item is None else page_units(item_size(key, item))


def page_units(page_bytes: int) -> int:
    """Return the units of reading a page consistently: rounded up as a whole, at least one."""
    return max(1, -(-page_bytes // READ_UNIT_BYTES))


def halved(units: int) -> float:
    """Return what an eventually consistent read costs; an ``int`` where it is whole."""
    return units // 2 if units % 2 == 0 else units / 2


def item_size(key: Key, item: Item) -> int:
    """Return the bytes of an item as DynamoDB bills them, names and key included."""
    key_bytes = len(PK) + len(SK) + _text_size(key.pk) + _text_size(key.sk)
    return key_bytes + sum([_text_size(name) + value_size(value) for name, value in item.items()])


def value_size(value: Value) -> int:
    """Return the bytes of one value as DynamoDB bills them."""
    if value is None or isinstance(value, bool):
        return 1
    if isinstance(value, int):
        return _number_size(value)
    if isinstance(value, str):
        return _text_size(value)
    if isinstance(value, frozenset):
        return sum(map(_text_size, value))
    if isinstance(value, tuple):
        return _CONTAINER_BYTES + sum([1 + value_size(element) for element in value])
    return _CONTAINER_BYTES + sum([1 + _text_size(name) + value_size(each) for name, each in value.items()])


def _text_size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _number_size(number: int) -> int:
    """Return one byte for each pair of digits, one more, and one for a minus; zero pairs at the end are free."""
    magnitude = abs(number)
    while magnitude and magnitude % 100 == 0:
        magnitude //= 100
    digits = len(str(magnitude)) if magnitude else 0
    return (digits + 1) // 2 + 1 + (number < 0)
