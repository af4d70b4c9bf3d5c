"""Usage: its keys, its listing in the index, its totals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from ..coverage import Coverage
from ..operations import Item, Key
from ..windows import Window, check_window, read_start, write_start
from .attributes import GSI1PK, GSI1SK, PEAK_PREFIX, REFUSED_PREFIX, USED_PREFIX
from .keys import shard_of

USAGE_COVERAGE: Final = "n"
"""Which versions of the bucket are counted; see :mod:`leasegate.coverage`."""
USAGE_GRANTS: Final = "g"
USAGE_COUNTED_AT: Final = "at"
"""The latest of the bucket's times that were counted, in ms."""

USAGE_SHARDS: Final = 16
"""The usage of a resource in one window is listed in so many partitions of the index."""


def usage_partition(entity_id: str, resource: str) -> str:
    """Return the partition that holds the usage of an entity and a resource."""
    return f"USAGE#{entity_id}#{resource}"


def usage_prefix(window: Window) -> str:
    """Return what the sort keys of usage by a window begin with."""
    return f"{window}#"


def usage_key(entity_id: str, resource: str, window: Window, start_ms: int) -> Key:
    """Name the totals of an entity and a resource in the window that begins at ``start_ms``."""
    return Key(usage_partition(entity_id, resource), _sort_key(window, start_ms))


def usage_of(key: Key) -> tuple[str, str, Window, int]:
    """Return the entity, the resource, the window and its start in ms that a key of usage names."""
    _, entity_id, resource = key.pk.split("#")
    window, start = key.sk.split("#")
    return entity_id, resource, check_window(window), read_start(start)


def usage_list_partition(resource: str, window: Window, start_ms: int, shard: int) -> str:
    """Return an index partition that lists who spent a resource in a window."""
    return _list_partition(resource, _sort_key(window, start_ms), shard)


def usage_index(key: Key, magnitude: int) -> dict[str, str]:
    """Return the index attributes that list usage under its resource and window; greater magnitudes sort later."""
    _, entity_id, resource = key.pk.split("#")
    return {
        GSI1PK: _list_partition(resource, key.sk, shard_of(entity_id, USAGE_SHARDS)),
        GSI1SK: f"{magnitude:03}#{entity_id}",
    }


def magnitude_of(index_sk: str) -> int:
    """Return the magnitude that the index lists usage by."""
    return int(index_sk.partition("#")[0])


@dataclass(frozen=True, slots=True)
class Usage:
    """Totals of an entity and a resource in one window, as their item carried them, by limit name.

    Attributes:
        coverage: the versions of the bucket that are counted.
        grants: how many acquires were granted.
        tokens: the tokens spent, net of what was returned. refused: how many acquires a limit refused.
        peaks: the most that was in use.
        counted_at_ms: the latest time that was counted.
    """

    coverage: Coverage = ()
    grants: int = 0
    tokens: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    peaks: Mapping[str, int] = field(default_factory=dict)
    counted_at_ms: int = 0

    @property
    def magnitude(self) -> int:
        """The bits of all that was counted together: an upper bound for each total, which the index sorts by."""
        positive = [max(0, count) for counts in (self.tokens, self.refused) for count in counts.values()]
        return (max(0, self.grants) + sum(positive)).bit_length()


def parse_usage(item: Item) -> Usage:
    """Read the totals of a window."""
    counts: dict[str, dict[str, int]] = {USED_PREFIX: {}, REFUSED_PREFIX: {}, PEAK_PREFIX: {}}
    for attribute, value in item.items():
        if attribute[:2] in counts:
            counts[attribute[:2]][attribute[2:]] = cast("int", value)
    return Usage(
        coverage=cast("Coverage", item[USAGE_COVERAGE]),
        grants=cast("int", item.get(USAGE_GRANTS, 0)),
        tokens=counts[USED_PREFIX],
        refused=counts[REFUSED_PREFIX],
        peaks=counts[PEAK_PREFIX],
        counted_at_ms=cast("int", item[USAGE_COUNTED_AT]),
    )


def _sort_key(window: Window, start_ms: int) -> str:
    return f"{usage_prefix(window)}{write_start(start_ms)}"


def _list_partition(resource: str, sort_key: str, shard: int) -> str:
    return f"USAGE#{resource}#{sort_key}#{shard}"
