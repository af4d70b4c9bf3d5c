"""Cursors: opaque texts that say where a listing goes on.

A cursor holds a place within a listing and nothing else; which listing it is, the request says. So none, however
it was made, leads into another partition. The checksum tells a cursor that was cut, changed or taken from
another listing from a good one; it keeps nothing secret.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Final

from .errors import InvalidRequest

_CHECKSUM_BYTES: Final = 9
_MAX_PLACE_BYTES: Final = 1_000
"""A sort key may have 1,024."""


def write_cursor(listing: str, place: str) -> str:
    """Return a text for URLs that leads back to a place of a listing, which is not empty."""
    data = place.encode()
    return base64.urlsafe_b64encode(_checksum(listing, data) + data).decode().rstrip("=")


def read_place[T](listing: str, cursor: object, parse: Callable[[str], T]) -> T:
    """Return what ``parse`` makes of the place in this listing; where it raises ``ValueError``, that is none.

    Anybody can make a cursor that is whole; what is in it need not be a place.
    """
    try:
        return parse(read_cursor(listing, cursor))
    except ValueError as error:
        raise _wrong() from error


def read_cursor(listing: str, cursor: object) -> str:
    """Return the place in this listing; raise :class:`InvalidRequest` for anything else."""
    wrong = _wrong()
    if not isinstance(cursor, str):
        raise wrong
    try:
        decoded = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        checksum, data = decoded[:_CHECKSUM_BYTES], decoded[_CHECKSUM_BYTES:]
        place = data.decode()
    except ValueError as error:
        raise wrong from error
    if checksum != _checksum(listing, data) or write_cursor(listing, place) != cursor:
        raise wrong
    if not 0 < len(data) <= _MAX_PLACE_BYTES:
        raise wrong
    return place


def _wrong() -> InvalidRequest:
    return InvalidRequest("cursor", "is no cursor of this listing; ask without one for the first page")


def _checksum(listing: str, place: bytes) -> bytes:
    return hashlib.blake2b(
        place, digest_size=_CHECKSUM_BYTES, key=hashlib.sha256(listing.encode()).digest()
    ).digest()
