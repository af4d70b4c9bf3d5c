"""What one process remembers of the table, bounded and with ages.

Of two kinds. *Pushed*: the state of buckets. A bucket carries its limits and its parent under a stamp which
every write checks, so what is remembered of it can be out of date but never wrong for long enough to matter:
the write is refused and brings the truth back. *Aged*: defaults and ancestors, which nothing checks; they are
believed for ``max_age_ms``. From half that age on one caller is told to read them again beside its write, so
that a steady process never waits for it.

Besides, an administrator's process remembers the limits that it wrote, to write over them without a read; that
is checked by the write, and needs no age.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Final

from .frozen import frozen
from .identifiers import check_integer
from .limits import HOUR_MS
from .operations import Item, Key
from .schema import Bucket, StoredLimits
from .tally import Tally

DEFAULT_MAX_AGE_MS: Final = 30_000
DEFAULT_REFUSAL_AGE_MS: Final = 1_000
DEFAULT_MAX_BUCKETS: Final = 10_000
DEFAULT_MAX_AGED: Final = 10_000

_REFRESH_RETRY_MS: Final = 1_000
_MAX_ENTRIES: Final = 10**9


class Recent[K: Hashable, V]:
    """A thread-safe mapping that keeps the ``max_size`` entries used last."""

    def __init__(self, max_size: int) -> None:
        """Start empty."""
        self._max_size = max_size
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._lock = Lock()

    def get(self, key: K) -> V | None:
        """Return the entry, which counts as used now, or None."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
            return entry

    def merge(self, key: K, value: V, choose: Callable[[V, V], V]) -> None:
        """Store ``value``; where there is one, what ``choose(old, value)`` makes of the two."""
        with self._lock:
            old = self._entries.get(key)
            if old is not None:
                value = choose(old, value)
            if value is not old:
                self._store(key, value)

    def put(self, key: K, value: V) -> None:
        """Store ``value`` in place of what is there."""
        with self._lock:
            self._store(key, value)

    def _store(self, key: K, value: V) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._max_size:
            self._entries.popitem(last=False)

    def pop(self, key: K) -> None:
        """Forget an entry."""
        with self._lock:
            self._entries.pop(key, None)

    def pop_where(self, condition: Callable[[K], bool]) -> None:
        """Forget all entries whose key meets the condition."""
        with self._lock:
            for key in [key for key in self._entries if condition(key)]:
                del self._entries[key]

    def __len__(self) -> int:
        """Count the entries."""
        return len(self._entries)


@frozen
class KnownBucket:
    """A bucket's last seen state; ``refused_at_ms`` when it refused somebody and nothing came back since."""

    state: Bucket
    refused_at_ms: int | None = None


@frozen
class Defaults:
    """The two levels below an entity's own limits; None where a level has none.

    ``is_disabled``: nobody may spend the resource, whatever limits they have.
    """

    resource: StoredLimits | None
    system: StoredLimits | None
    is_disabled: bool = False


@frozen
class Ancestor:
    """What an entity's record and limits say to those below it: its parent, what it limits, its state."""

    parent_id: str | None
    limit_names: frozenset[str]
    is_disabled: bool = False


@dataclass(slots=True)
class Aged[V]:
    """A value and when the read of it began; ``refreshing_at_ms`` when somebody last set out to renew it."""

    value: V
    read_at_ms: int
    refreshing_at_ms: int | None = None


class Knowledge:
    """The memory of one process, shared by its threads.

    Args:
        max_age_ms: how long defaults and ancestors are believed, 30,000 by default; 0 reads them every time.
        refusal_age_ms: how long a refusal answers for the table, 1,000 by default; 0 asks it every time.
        max_buckets: how many buckets are remembered, 10,000 by default.
        max_aged: how many resources' defaults, and how many ancestors, are remembered, 10,000 by default.

    Raises:
        InvalidRequest: for ages over an hour and sizes under 1.
    """

    def __init__(
        self,
        *,
        max_age_ms: int = DEFAULT_MAX_AGE_MS,
        refusal_age_ms: int = DEFAULT_REFUSAL_AGE_MS,
        max_buckets: int = DEFAULT_MAX_BUCKETS,
        max_aged: int = DEFAULT_MAX_AGED,
    ) -> None:
        """Start knowing nothing."""
        self._max_age_ms = check_integer("max_age_ms", max_age_ms, 0, HOUR_MS)
        self._refusal_age_ms = check_integer("refusal_age_ms", refusal_age_ms, 0, HOUR_MS)
        check_integer("max_buckets", max_buckets, 1, _MAX_ENTRIES)
        check_integer("max_aged", max_aged, 1, _MAX_ENTRIES)
        self._buckets: Recent[tuple[str, str], KnownBucket] = Recent(max_buckets)
        self._defaults: Recent[str, Aged[Defaults]] = Recent(max_aged)
        self._ancestors: Recent[tuple[str, str], Aged[Ancestor]] = Recent(max_aged)
        self._items: Recent[Key, Item] = Recent(max_aged)
        self._refusals: Tally[tuple[str, str]] = Tally(max_buckets)
        self._missed_guesses = 0
        self._lock = Lock()

    # buckets

    def bucket(self, entity_id: str, resource: str) -> Bucket | None:
        """Return the last seen state of a bucket."""
        known = self._buckets.get((entity_id, resource))
        return None if known is None else known.state

    def known_bucket(self, entity_id: str, resource: str) -> KnownBucket | None:
        """Return the last seen state of a bucket, with when it refused."""
        return self._buckets.get((entity_id, resource))

    def may_refuse(self, refused_at_ms: int | None, now_ms: int) -> bool:
        """Say whether a bucket refused so lately that what is remembered of it may answer for the table."""
        return refused_at_ms is not None and abs(now_ms - refused_at_ms) < self._refusal_age_ms

    def refused_bucket(self, entity_id: str, resource: str, now_ms: int) -> Bucket | None:
        """Return the state of a bucket that refused so lately that it may answer for the table."""
        known = self._buckets.get((entity_id, resource))
        return known.state if known is not None and self.may_refuse(known.refused_at_ms, now_ms) else None

    def learn_bucket(
        self, entity_id: str, resource: str, state: Bucket, *, refused_at_ms: int | None = None
    ) -> None:
        """Remember a state unless a later one is known; spending leaves an earlier refusal standing."""
        self._buckets.merge((entity_id, resource), KnownBucket(state, refused_at_ms), _later)

    def learn_return(self, entity_id: str, resource: str, state: Bucket) -> None:
        """Remember a state after tokens came back: earlier refusals no longer stand."""
        self._buckets.merge((entity_id, resource), KnownBucket(state), _later_after_return)

    def forget_bucket(self, entity_id: str, resource: str) -> None:
        """Forget a bucket that turned out not to exist."""
        self._buckets.pop((entity_id, resource))

    # counted

    def note_refusals(self, entity_id: str, resource: str, refusals: Mapping[str, int]) -> None:
        """Remember refusals by limit name, until a write of the bucket takes them along."""
        self._refusals.add((entity_id, resource), refusals)

    def take_refusals(self, entity_id: str, resource: str) -> Mapping[str, int]:
        """Return the refusals of a bucket that are not written down yet; they are the caller's from now on."""
        return self._refusals.take((entity_id, resource))

    def note_missed_guess(self) -> None:
        """Count a write that the table refused because what this process remembered was out of date."""
        with self._lock:
            self._missed_guesses += 1

    def take_missed_guesses(self) -> int:
        """Return how many guesses missed since this was asked last."""
        with self._lock:
            missed, self._missed_guesses = self._missed_guesses, 0
        return missed

    # aged

    def defaults(self, resource: str, now_ms: int) -> Defaults | None:
        """Return the defaults of a resource and of the system, if they may still be believed."""
        return self._believed(self._defaults.get(resource), now_ms)

    def ancestor(self, entity_id: str, resource: str, now_ms: int) -> Ancestor | None:
        """Return what is known of an entity as an ancestor, if it may still be believed."""
        return self._believed(self._ancestors.get((entity_id, resource)), now_ms)

    def claim_defaults_refresh(self, resource: str, now_ms: int) -> bool:
        """Tell one caller at a time that it is to read the defaults again, from half their age on."""
        return self._claim(self._defaults.get(resource), now_ms)

    def claim_ancestor_refresh(self, entity_id: str, resource: str, now_ms: int) -> bool:
        """Tell one caller at a time that it is to read the ancestor again, from half its age on."""
        return self._claim(self._ancestors.get((entity_id, resource)), now_ms)

    def learn_defaults(self, resource: str, defaults: Defaults, read_at_ms: int) -> None:
        """Remember the defaults as a read that began at ``read_at_ms`` found them."""
        self._defaults.merge(resource, Aged(defaults, read_at_ms), self._read_later)

    def learn_ancestor(self, entity_id: str, resource: str, ancestor: Ancestor, read_at_ms: int) -> None:
        """Remember an ancestor as a read that began at ``read_at_ms`` found it."""
        self._ancestors.merge((entity_id, resource), Aged(ancestor, read_at_ms), self._read_later)

    def forget_defaults(self, resource: str | None) -> None:
        """Forget the defaults of a resource that this process changed, or all where the system's changed."""
        self._defaults.pop_where(lambda key: resource is None or key == resource)

    def forget_ancestor(self, entity_id: str) -> None:
        """Forget an entity as an ancestor, because this process changed it."""
        self._ancestors.pop_where(lambda key: key[0] == entity_id)

    # written

    def item(self, key: Key) -> Item | None:
        """Return an item as this process wrote it or saw it refuse a write last, or None."""
        return self._items.get(key)

    def learn_item(self, key: Key, item: Item | None) -> None:
        """Remember an item; None forgets it."""
        if item is None:
            self._items.pop(key)
        else:
            self._items.put(key, item)

    def _believed[V](self, aged: Aged[V] | None, now_ms: int) -> V | None:
        # A negative age is another thread's newer read, or a clock that was set back: bounded like any age.
        if aged is None or abs(now_ms - aged.read_at_ms) >= self._max_age_ms:
            return None
        return aged.value

    def _claim[V](self, aged: Aged[V] | None, now_ms: int) -> bool:
        if aged is None or now_ms - aged.read_at_ms < self._max_age_ms // 2:
            return False
        if aged.refreshing_at_ms is not None and abs(now_ms - aged.refreshing_at_ms) < _REFRESH_RETRY_MS:
            return False
        aged.refreshing_at_ms = now_ms
        return True

    def _read_later[V](self, old: Aged[V], new: Aged[V]) -> Aged[V]:
        return old if 0 < old.read_at_ms - new.read_at_ms < self._max_age_ms else new


def _later_after_return(old: KnownBucket, new: KnownBucket) -> KnownBucket:
    return old if old.state.version > new.state.version else new


def _later(old: KnownBucket, new: KnownBucket) -> KnownBucket:
    """Choose the later state; a refusal goes on standing while the bucket has the same limits."""
    if old.state.version > new.state.version:
        return old
    if old.refused_at_ms is None or new.refused_at_ms is not None or old.state.stamp != new.state.stamp:
        return new
    return KnownBucket(new.state, old.refused_at_ms)
