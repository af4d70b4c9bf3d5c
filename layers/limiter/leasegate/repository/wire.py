"""How values and items travel: DynamoDB's typed JSON to and from Python's own types, without ``Decimal``.

A request is written straight as text (:mod:`~leasegate.repository.templates`), an answer read as the parsed JSON.

``int`` is N, ``str`` S, ``bool`` BOOL, ``None`` NULL, ``tuple`` L, a mapping M, ``frozenset[str]`` SS.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from json import JSONEncoder
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any, Final

from ..errors import StoreError
from ..operations import Item, Key, Position, Value
from ..schema import GSI1PK, GSI1SK, PK, SK
from .values import checked_name, checked_number, checked_set

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

type Wire = AttributeValueTypeDef

quoted: Final = encode_basestring_ascii
"""Writes a string as JSON text."""
written: Final = JSONEncoder(separators=(",", ":"), check_circular=False).encode
"""Writes anything of JSON's types as text."""

_NUMBER: Final = re.compile(r"(?P<whole>-?\d+)(?:\.(?P<fraction>\d+))?(?:[eE](?P<exponent>[+-]?\d{1,3}))?")


def encode(value: Value) -> Wire:
    """Write a value for DynamoDB.

    Raises ``TypeError`` for types that an item cannot hold (floats among them), ``ValueError`` for an empty set
    and for numbers of more than 38 digits.
    """
    if isinstance(value, str):
        return {"S": value}
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int):
        return encode_number(value)
    if isinstance(value, tuple):
        return {"L": [encode(element) for element in value]}
    if isinstance(value, Mapping):
        return {"M": {checked_name(name): encode(element) for name, element in value.items()}}
    return {"SS": sorted(checked_set(value))}


def encode_number(value: int) -> Wire:
    """Write a number; raises like :func:`encode`, and for a ``bool``."""
    return {"N": str(checked_number(value))}


def encode_key(key: Key) -> dict[str, Wire]:
    """Write an item's key."""
    pk, sk = key
    return {PK: {"S": pk}, SK: {"S": sk}}


@lru_cache(maxsize=1024)
def key_text(key: Key) -> str:
    """Write an item's key as text; those that are asked for again and again, once."""
    pk, sk = key
    return f'{{"{PK}":{{"S":{quoted(pk)}}},"{SK}":{{"S":{quoted(sk)}}}}}'


def encode_item(key: Key, item: Item) -> dict[str, Wire]:
    """Write a whole item with its key, which must not be among its attributes (``ValueError``)."""
    if PK in item or SK in item:
        raise ValueError("the key is not among an item's attributes")
    return encode_key(key) | {name: encode(value) for name, value in item.items()}


def encode_position(position: Position, partition: str) -> dict[str, Wire]:
    """Write where a page of this partition ended; in the index, ``partition`` is the index's."""
    attributes = encode_key(position.key)
    if position.index_sk is not None:
        attributes |= {GSI1PK: {"S": partition}, GSI1SK: {"S": position.index_sk}}
    return attributes


def decode(value: Wire) -> Value:
    """Read a value that DynamoDB sent; raises :class:`StoreError` for one that Leasegate never writes."""
    for kind, content in value.items():
        read = _READERS.get(kind)
        if read is None:
            raise StoreError(f"the table holds a value of type {kind}, which Leasegate never writes")
        return read(content)
    raise StoreError("the table sent a value without a type")


def decode_key(attributes: Mapping[str, Wire]) -> Key:
    """Read the key of an item that DynamoDB sent."""
    return Key(attributes[PK]["S"], attributes[SK]["S"])


def decode_item(attributes: Mapping[str, Wire]) -> Item:
    """Read an item that DynamoDB sent, without its key."""
    return take_item(dict(attributes))


def take_item(attributes: dict[str, Any]) -> Item:
    """Read an item that DynamoDB sent, without its key, in place of what it was sent as."""
    attributes.pop(PK, None)
    attributes.pop(SK, None)
    for name in attributes:
        value = attributes[name]
        number = value.get("N")  # numbers and strings are nearly all that a bucket has
        if number is not None:
            attributes[name] = decode_number(number)
        else:
            text = value.get("S")
            attributes[name] = decode(value) if text is None else text
    return attributes


def decode_position(attributes: Mapping[str, Wire]) -> Position:
    """Read where a page that DynamoDB sent ended, of the table or of the index."""
    index_sk = attributes.get(GSI1SK)
    return Position(decode_key(attributes), None if index_sk is None else index_sk["S"])


def decode_number(text: str) -> int:
    """Read a number exactly; DynamoDB may write 1000 as ``1E+3``. A fraction is a :class:`StoreError`."""
    try:
        return int(text)
    except ValueError:
        pass
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise StoreError(f"the table sent a number that cannot be read: {text}")
    fraction = match["fraction"] or ""
    exponent = int(match["exponent"] or 0) - len(fraction)
    digits = int(match["whole"] + fraction)
    if exponent >= 0:
        return int(digits * 10**exponent)
    divisor: int = 10**-exponent
    number, rest = divmod(digits, divisor)
    if rest:
        raise StoreError(f"the table holds a number that is no integer: {text}")
    return number


def _as_it_is(content: Any) -> Any:  # noqa: ANN401 - strings and booleans, each to itself
    return content


def _none(_content: object) -> None:
    return None


def _tuple(content: list[Wire]) -> tuple[Value, ...]:
    return tuple([decode(element) for element in content])


def _mapping(content: Mapping[str, Wire]) -> dict[str, Value]:
    return {name: decode(element) for name, element in content.items()}


_READERS: Final[Mapping[str, Callable[[Any], Value]]] = {
    "S": _as_it_is,
    "N": decode_number,
    "BOOL": _as_it_is,
    "NULL": _none,
    "SS": frozenset,
    "L": _tuple,
    "M": _mapping,
}
