"""Counts that wait to be written down, by key: what a process knows and the table does not yet."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from threading import Lock


class Tally[K: Hashable]:
    """A thread-safe count of names by key; of more than ``max_size`` keys those are dropped that changed first."""

    def __init__(self, max_size: int) -> None:
        """Start at nothing."""
        self._max_size = max_size
        self._counts: OrderedDict[K, dict[str, int]] = OrderedDict()
        self._lock = Lock()

    def add(self, key: K, counts: Mapping[str, int]) -> None:
        """Add to the counts of a key."""
        with self._lock:
            present = self._counts.setdefault(key, {})
            for name, count in counts.items():
                present[name] = present.get(name, 0) + count
            self._counts.move_to_end(key)
            if len(self._counts) > self._max_size:
                self._counts.popitem(last=False)

    def take(self, key: K) -> Mapping[str, int]:
        """Return the counts of a key, which are the caller's from now on."""
        if key not in self._counts:
            return {}
        with self._lock:
            return self._counts.pop(key, {})
