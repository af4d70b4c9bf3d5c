"""What one change of a bucket means for usage: the tokens, grants and refusals that it added, and how full it was.

A bucket counts upward from its birth: its version ``n``, and by limit the tokens spent net of those returned
(``u.``) and the refusals reported (``x.``); besides its grants (``g``). So the difference of two images says what
happened between them, and the version says which change it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from . import bucket as arithmetic
from . import schema
from .concurrency import places_available
from .errors import InvalidRequest, LeasegateError
from .operations import Item, Key
from .schema import Bucket
from .windows import LAST_MS

type Counts = Mapping[str, int]
"""Numbers by limit name."""

_MISREAD: Final = (AttributeError, InvalidRequest, KeyError, TypeError, ValueError)
"""What reading an item raises that is no bucket's."""


class UnreadableChange(LeasegateError):
    """A change of something that is no bucket as this release knows them; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class BucketChange:
    """One change of a bucket.

    Attributes:
        entity_id: whose bucket. resource: of what.
        after: the version before the change, which begins a run of changes. version: the one after it.
        at_ms: the bucket's own time: the clock of whoever wrote it.
        tokens: the tokens spent by limit name, net of what was returned; without zeros.
        grants: how many acquires were granted, net of those taken back because another level refused.
        refused: the refusals that came to be known with it, by limit name; without zeros.
        peaks: how many tokens, or places, were in use right after it, by limit name: 0 for a full bucket.
    """

    entity_id: str
    resource: str
    after: int
    version: int
    at_ms: int
    tokens: Counts
    grants: int
    refused: Counts
    peaks: Counts

    @property
    def counts(self) -> bool:
        """Whether it says anything of its window; a mark on a full bucket, say, does not."""
        return bool(self.tokens or self.grants or self.refused or any(self.peaks.values()))


def read_change(key: Key, before: Item | None, after: Item) -> BucketChange:
    """Read a change from the item before it (None: the bucket was created) and after it.

    Raises :class:`UnreadableChange`.
    """
    try:
        entity_id, resource = schema.bucket_of(key)
        state = schema.parse_bucket(after)
        version, at_ms = _integer(after, schema.VERSION), _integer(after, schema.WRITTEN_AT)
        since = version - 1 if before is None else _integer(before, schema.VERSION)
        if not 0 <= since < version:
            raise ValueError(f"version {version} follows {since}")
        if not 0 <= at_ms <= LAST_MS:
            raise ValueError(f"{at_ms} is no time in ms")
        tokens, refused = _differences(before or {}, after)
        grants = _integer(after, schema.GRANTS, 0) - _integer(before or {}, schema.GRANTS, 0)
        in_use = _in_use(state, at_ms)
        return BucketChange(entity_id, resource, since, version, at_ms, tokens, grants, refused, in_use)
    except _MISREAD as error:
        raise UnreadableChange(f"{type(error).__name__}: {error}") from error


def _differences(before: Item, after: Item) -> tuple[Counts, Counts]:
    """Return by how much tokens and refusals grew; a counter that is gone was reset with its limit."""
    grown: dict[str, dict[str, int]] = {schema.USED_PREFIX: {}, schema.REFUSED_PREFIX: {}}
    for attribute in after:
        counts = grown.get(attribute[:2])
        if counts is not None:
            difference = _integer(after, attribute) - _integer(before, attribute, 0)
            if difference:
                counts[attribute[2:]] = difference
    return grown[schema.USED_PREFIX], grown[schema.REFUSED_PREFIX]


def _in_use(state: Bucket, at_ms: int) -> Counts:
    in_use: dict[str, int] = {}
    for name, limit in state.limits.items():
        if limit.is_concurrent:
            in_use[name] = limit.capacity - places_available(limit, state.holders.get(name, {}), at_ms)
        else:
            in_use[name] = limit.capacity - arithmetic.tokens_available(limit, state.tats.get(name), at_ms)
    return in_use


def _integer(item: Item, attribute: str, default: int | None = None) -> int:
    value = item.get(attribute, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{attribute} is no integer")
    return value
