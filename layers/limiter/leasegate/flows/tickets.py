"""Tickets: a grant as a short text, so that whoever holds it can end the lease in one round trip.

A lease's id is ``{name}.{ticket}``. The name is the lease's key in the table. The ticket says what was granted, so
that any process can write the settlement without reading first. Nothing in it is believed: the table has the same
text, and the write that ends the lease is refused unless the two are equal.

A ticket is JSON, deflated (RFC 1951) and base64url: the version, the time of the grant, when the lease ends (or
null), the resource, and the levels. A level without limits is ``[entity]``, one that limits nothing of what was
acquired and was not seen ``[entity, null]``, any other ``[entity, stamp, ttl, limits]``. A limit is ``[capacity,
amount, period, tat, tokens spent]``, a concurrency limit ``[capacity, 0, lease, holders after the grant, ids of
ours]``; what is last is left out where nothing was spent.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from ..concurrency import ASK_AGAIN_MS, MAX_TAKEN, Holders
from ..errors import InvalidRequest
from ..identifiers import MAX_TOKENS, check_identifier, check_integer
from ..limits import MAX_CONCURRENT, MAX_LIMITS, Limit
from ..schema import MAX_LEVELS, Bucket
from .grants import Charge, Grant
from .spending import holds_until_ms

MAX_TICKET_LENGTH: Final = 1_500
"""A longer one stands in the table alone, and its lease is read before it is ended."""

_VERSION: Final = 1
_MAX_JSON_BYTES: Final = 65_536
_MAX_MS: Final = 10**24
"""Later than any debt is paid, and early enough that nothing that is reckoned with it has more than 38 digits."""
_TICKET: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_STAMP: Final = re.compile(r"[a-z]{1,8}:[A-Za-z0-9]{1,40}", re.ASCII)
_HOLDER: Final = re.compile(r"[A-Za-z0-9_-]{8,12}", re.ASCII)


class InvalidTicket(Exception):
    """A text that is no ticket."""


class Ticket(NamedTuple):
    """What a ticket says; ``ends_at_ms`` as the lease was granted, before it was ever renewed."""

    grant: Grant
    ends_at_ms: int | None


def write_ticket(grant: Grant, ends_at_ms: int | None) -> str:
    """Write a grant."""
    levels = [_write_level(charge, grant.now_ms) for charge in grant.charges]
    document = [_VERSION, grant.now_ms, ends_at_ms, grant.resource, levels]
    packer = zlib.compressobj(9, wbits=-15)
    packed = packer.compress(json.dumps(document, separators=(",", ":")).encode()) + packer.flush()
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read_ticket(text: str) -> Ticket:
    """Read what :func:`write_ticket` wrote; raise :class:`InvalidTicket` for anything else."""
    try:
        return _read(text)
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecursionError,
        zlib.error,
        InvalidRequest,
    ) as error:
        raise InvalidTicket(str(error)) from error


def _write_level(charge: Charge, now_ms: int) -> list[object]:
    state = charge.state
    if state is None or not charge.limited:
        return [charge.entity_id, None] if charge.limited else [charge.entity_id]
    limits: dict[str, list[object]] = {}
    for name, limit in state.limits.items():
        if limit.is_concurrent:
            present = state.holders.get(name, {})
            limits[name] = [
                limit.capacity,
                0,
                limit.lease_ms,
                *_write_holders(present, charge.holders.get(name), now_ms),
            ]
        else:
            spent = [charge.amounts[name]] if name in charge.amounts else []
            limits[name] = [limit.capacity, limit.amount, limit.period_ms, state.tats.get(name), *spent]
    return [charge.entity_id, state.stamp, state.expires_at_s, limits]


def _write_holders(present: Holders, ours: tuple[str, ...] | None, now_ms: int) -> list[object]:
    """Write how many there are, who of them is ours, and those times to lapse that an answer tells of."""
    others = [until_ms for holder, until_ms in present.items() if holder not in (ours or ()) and until_ms > now_ms]
    soon = sorted([until_ms - now_ms for until_ms in others if until_ms - now_ms < ASK_AGAIN_MS])
    count = len(others) + len(ours or ())
    if soon:
        return [count, ours, soon]
    return [count] if ours is None else [count, ours]


def _read(text: str) -> Ticket:
    if not _TICKET.fullmatch(text):
        raise ValueError("not a ticket")
    packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    unpacker = zlib.decompressobj(wbits=-15)
    document = unpacker.decompress(packed, _MAX_JSON_BYTES)
    if not unpacker.eof:
        raise ValueError("too long, or cut off")
    version, now_ms, ends_at_ms, resource, levels = json.loads(document)
    if version != _VERSION or not isinstance(levels, list) or not 1 <= len(levels) <= MAX_LEVELS:
        raise ValueError("of another version, or of no levels")
    check_integer("now", now_ms, 0, _MAX_MS)
    if ends_at_ms is not None:
        check_integer("end", ends_at_ms, 0, _MAX_MS)
    charges = tuple([_read_level(level, now_ms, ends_at_ms) for level in levels])
    if len({charge.entity_id for charge in charges}) < len(charges):
        raise ValueError("an entity is no ancestor of its own")
    return Ticket(Grant(check_identifier("resource", resource), now_ms, charges[0].amounts, charges), ends_at_ms)


def _read_level(level: list[Any], now_ms: int, ends_at_ms: int | None) -> Charge:
    if len(level) == 1 or (len(level) == 2 and level[1] is None):
        return Charge(check_identifier("entity", level[0]), {}, None, limited=len(level) == 2)
    entity_id, stamp, expires_at_s, stored = level
    if not isinstance(stamp, str) or not _STAMP.fullmatch(stamp) or not 1 <= len(stored) <= MAX_LIMITS:
        raise ValueError("not a level")
    limits: dict[str, Limit] = {}
    tats: dict[str, int] = {}
    amounts: dict[str, int] = {}
    holders: dict[str, dict[str, int]] = {}
    ours: dict[str, tuple[str, ...]] = {}
    for name in sorted(stored):
        capacity, amount, period_ms, state, *spent = stored[name]
        if amount:
            limits[name] = Limit(name, capacity, amount, period_ms)
            if state is not None:
                tats[name] = check_integer("tat", state, -_MAX_MS * amount, _MAX_MS * amount)
            for tokens in spent:
                amounts[name] = check_integer("tokens", tokens, 0, MAX_TOKENS)
            continue
        limits[name] = limit = Limit(name, capacity, 0, 0, period_ms)
        until_ms = holds_until_ms(limit, now_ms, ends_at_ms)
        ids, others = _read_holders(state, *spent)
        holders[name] = {**dict.fromkeys(ids or (), until_ms)}
        for number, left_ms in enumerate(others):
            holders[name][str(number)] = until_ms if left_ms is None else now_ms + left_ms
        if ids is not None:
            ours[name] = ids
            amounts[name] = len(ids)
    check_integer("ttl", expires_at_s, 0, _MAX_MS)
    bucket = Bucket(stamp, limits, tats, None, 0, expires_at_s, {}, holders)
    return Charge(check_identifier("entity", entity_id), amounts, bucket, limited=True, holders=ours)


def _read_holders(
    count: object, ours: Sequence[object] | None = None, soon: Sequence[object] = ()
) -> tuple[tuple[str, ...] | None, list[int | None]]:
    """Return the ids of ours, and of each other in how many ms it lapses; None for as late as ours do."""
    ids = None if ours is None else tuple([_check_holder(holder) for holder in ours])
    check_integer("holders", len(ids or ()), 0, MAX_TAKEN)
    others = check_integer("holders", count, len(ids or ()), MAX_CONCURRENT + MAX_TAKEN) - len(ids or ())
    times = [check_integer("time", left_ms, 1, ASK_AGAIN_MS) for left_ms in soon]
    check_integer("times", len(times), 0, others)
    return ids, [*times, *[None] * (others - len(times))]


def _check_holder(holder: object) -> str:
    if not isinstance(holder, str) or not _HOLDER.fullmatch(holder):
        raise ValueError("not a holder")
    return holder
