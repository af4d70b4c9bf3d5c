"""What ids, names and amounts may look like, checked with errors that name the field.

Entity and resource ids stand in keys (where ``#`` separates parts) and in URL paths (where ``/`` does), so
neither character is allowed in them. No more are ``.`` and ``..`` alone: a path loses them on its way (RFC 3986,
5.2.4), and would lead to another item.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from .errors import InvalidRequest

MAX_TOKENS: Final = 10**12
"""The most that a capacity, a refill amount or a cost may be."""
DOT_SEGMENTS: Final = (".", "..")
"""What no id may be."""

_MAX_SHOWN: Final = 10**30
"""Longer numbers are not repeated in an error. Beyond 4,300 digits Python would not write them."""

_IDENTIFIER = re.compile(r"[A-Za-z0-9._:@+-]{1,256}", re.ASCII)
_SURROGATE = re.compile("[\ud800-\udfff]")
_LIMIT_NAME = re.compile(r"[a-z0-9_-]{1,32}", re.ASCII)


def check_identifier(field: str, value: object) -> str:
    """Return ``value`` if it can identify an entity or a resource; raise :class:`InvalidRequest` if not."""
    identifier = _check(field, value, _IDENTIFIER, "1 to 256 characters of A-Z a-z 0-9 . _ : @ + -")
    if identifier in DOT_SEGMENTS:
        raise InvalidRequest(field, "must not be . or .. alone")
    return identifier


def check_limit_name(field: str, value: object) -> str:
    """Return ``value`` if it can name a limit; raise :class:`InvalidRequest` if not."""
    return _check(field, value, _LIMIT_NAME, "1 to 32 characters of a-z 0-9 _ -")


def check_text(field: str, value: object, low: int, high: int) -> str:
    """Return ``value`` if it is a string of so many characters that UTF-8 can hold; else raise InvalidRequest."""
    if not isinstance(value, str) or not low <= len(value) <= high or _SURROGATE.search(value):
        raise InvalidRequest(field, f"must be a string of {low} to {high} characters, and no halves of any")
    return value


def check_integer(field: str, value: object, low: int, high: int) -> int:
    """Return ``value`` if it is an integer from ``low`` to ``high``; raise :class:`InvalidRequest` if not."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequest(field, "must be an integer")
    if not low <= value <= high:
        given = f", not {value}" if abs(value) < _MAX_SHOWN else ""
        raise InvalidRequest(field, f"must be from {low} to {high}{given}")
    return value


def check_amounts(field: str, value: object) -> dict[str, int]:
    """Return ``value`` if it maps limit names to tokens (0 to 10^12), at least one; else raise InvalidRequest."""
    if not isinstance(value, Mapping):
        raise InvalidRequest(field, "must map limit names to tokens")
    if not value:
        raise InvalidRequest(field, "must name at least one limit")
    return {
        check_limit_name(field, name): check_integer(f"{field}.{name}", tokens, 0, MAX_TOKENS)
        for name, tokens in value.items()
    }


def check_delta(field: str, value: object) -> dict[str, int]:
    """Return ``value`` if it maps limit names to signed tokens, at least one; else raise InvalidRequest."""
    if not isinstance(value, Mapping):
        raise InvalidRequest(field, "must map limit names to tokens")
    if not value:
        raise InvalidRequest(field, "must name at least one limit")
    return {
        check_limit_name(field, name): check_integer(f"{field}.{name}", tokens, -MAX_TOKENS, MAX_TOKENS)
        for name, tokens in value.items()
    }


def _check(field: str, value: object, pattern: re.Pattern[str], allowed: str) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(field, "must be a string")
    if not pattern.fullmatch(value):
        raise InvalidRequest(field, f"must be {allowed}")
    return value
