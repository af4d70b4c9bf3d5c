"""The limits of one level, as a file spells them: in words or in fields.

::

    rpm: 60 per minute                                          # by name, in words
    tpm: {amount: 10000, period: minute, burst: 20000}          # in fields, as the HTTP interface has them
    rpd: {capacity: 500, amount: 500, period_ms: 86400000}
    streams: 20 concurrent for 60 seconds                       # leases at a time
    uploads: {concurrent: 5, lease_seconds: 300}

or as a list, of the same (``- rpm: 60 per minute``) or with the name among the fields (``- {name: rpm, …}``), so
that what the HTTP interface takes can be pasted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..errors import InvalidRequest
from ..identifiers import MAX_TOKENS, check_limit_name
from ..limits import MAX_CONCURRENT, MAX_LEASE_S, MAX_PERIOD_MS, Limit, index_limits
from .desired import Limitation
from .nodes import Place, Reading
from .shorthand import FORM, UNITS_MS, read_limit

_PERIODS: Final = ("second", "minute", "hour", "day")
_WITH_PERIOD: Final = ("amount", "period", "burst")
_WITH_PERIOD_MS: Final = ("capacity", "amount", "period_ms")
_CONCURRENT: Final = ("concurrent", "lease_seconds")
_WHAT: Final = "limits by name, such as `rpm: 60 per minute`, or null where there are to be none"


def read_limits(reading: Reading, place: Place) -> Limitation:
    """Return the limits of a level; empty for null, and for what is wrong and noted."""
    if place.is_null:
        return ()
    noted = len(reading.problems)
    found = list(_listed(reading, place) if place.is_list else _named(reading, place))
    if len(reading.problems) == noted:
        try:
            return tuple(index_limits([limit for limit in found if limit is not None], place.path).values())
        except InvalidRequest as error:
            reading.refuse_as(place, error)
    return ()


def _named(reading: Reading, place: Place) -> Iterator[Limit | None]:
    for name, member in reading.members(place, _WHAT):
        yield _limit(reading, name, member)


def _listed(reading: Reading, place: Place) -> Iterator[Limit | None]:
    for item in reading.items(place, _WHAT):
        members = dict(reading.members(item, "a limit, such as `rpm: 60 per minute`"))
        if "name" in members:
            name = reading.text(members["name"], "a limit's name")
            yield None if name is None else _limit(reading, name, item, named=("name",))
        elif len(members) == 1:
            ((name, member),) = members.items()
            yield _limit(reading, name, member)
        else:
            if item.is_mapping:
                reading.refuse(item, "is required", item.below("name"))
            yield None


def _limit(reading: Reading, name: str, place: Place, named: tuple[str, ...] = ()) -> Limit | None:
    """Read one limit, in words or in fields."""
    try:
        check_limit_name(f"{place.path}.name" if named else place.path, name)
        if place.is_mapping:
            return _in_fields(reading, name, place, named)
        text = reading.text(place, f"a limit, as {FORM}")
        return None if text is None else read_limit(name, text, place.path)
    except InvalidRequest as error:
        reading.refuse_as(place, error)
        return None


def _in_fields(reading: Reading, name: str, place: Place, named: tuple[str, ...]) -> Limit | None:
    given = {key for key, _ in Reading().members(place, "")}
    if given & set(_CONCURRENT):
        return _concurrent_in_fields(reading, name, place, named)
    has_period = "period" in given or not given & {"capacity", "period_ms"}
    known = named + (_WITH_PERIOD if has_period else _WITH_PERIOD_MS)
    required = [field for field in known if field != "burst"]
    fields = reading.fields(place, known, tuple(required))
    if fields is None:
        return None
    amount = reading.integer(fields["amount"], 1, MAX_TOKENS)
    if has_period:
        capacity = reading.integer(fields["burst"], 1, MAX_TOKENS) if "burst" in fields else amount
        period_ms = _period_ms(reading, fields["period"])
    else:
        capacity = reading.integer(fields["capacity"], 1, MAX_TOKENS)
        period_ms = reading.integer(fields["period_ms"], 1, MAX_PERIOD_MS)
    if amount is None or capacity is None or period_ms is None:
        return None
    return Limit(name, capacity, amount, period_ms)


def _concurrent_in_fields(reading: Reading, name: str, place: Place, named: tuple[str, ...]) -> Limit | None:
    fields = reading.fields(place, named + _CONCURRENT, named + _CONCURRENT)
    if fields is None:
        return None
    concurrent = reading.integer(fields["concurrent"], 1, MAX_CONCURRENT)
    lease_seconds = reading.integer(fields["lease_seconds"], 1, MAX_LEASE_S)
    if concurrent is None or lease_seconds is None:
        return None
    return Limit.concurrent(name, concurrent, lease_seconds)


def _period_ms(reading: Reading, place: Place) -> int | None:
    text = reading.text(place, f"one of {', '.join(_PERIODS)}")
    if text is None:
        return None
    if text not in _PERIODS:
        reading.refuse(place, f"must be one of {', '.join(_PERIODS)}")
        return None
    return UNITS_MS[text]
