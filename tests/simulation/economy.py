"""A small economy on a table in memory: families that spend through the library, and a ledger of what it said.

The ledger knows nothing of versions and images. What an acquire granted is taken from the lease, at the clock that
its process had; what came back from how the lease was ended, as far as the bucket is there and limits it still.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from math import ceil
from typing import Any, Final, NamedTuple, cast

from hypothesis import strategies as st

from leasegate import (
    Disabled,
    InvalidRequest,
    LeaseExpired,
    LeaseNotFound,
    Limit,
    Limiter,
    RateLimitExceeded,
    schema,
)
from leasegate.lease import Lease
from leasegate.limits import DAY_MS, HOUR_MS, MINUTE_MS
from leasegate.operations import Item, Key, Operation
from leasegate.requesting import AcquireRequest
from leasegate.sweeper import Sweeper
from leasegate.windows import Window
from tests.stream import StreamedMemory

STARTS_MS: Final = tuple(
    int(datetime(*moment, tzinfo=UTC).timestamp()) * 1000 + 500
    for moment in (
        (2026, 11, 21, 22, 30, 0),
        (2026, 1, 31, 23, 59, 59),
        (2027, 2, 28, 23, 59, 59),
        (2028, 2, 29, 23, 58, 59),
        (2028, 12, 31, 23, 59, 58),
    )
)
SKEWS_MS: Final = (0, 3_700, -91_300)
WAITS_MS: Final = (
    *(0, 0, 0, 1, 1, 1, 7, 7, 30, 250, 250, 1_000, 1_900, 1_900, 20_000, 20_000),
    *(MINUTE_MS, HOUR_MS, 7 * HOUR_MS, DAY_MS, 27 * DAY_MS),
)
RESOURCES: Final = ("gpt-4", "search")
FAMILY: Final = ("key", "team", "org")
ENTITIES: Final = (*FAMILY, "lone")

RPM: Final = Limit.per_minute("rpm", 60)
TPM: Final = Limit.per_minute("tpm", 1_000, burst=5_000)
IMAGES: Final = Limit.per_hour("images", 10)
SLOTS: Final = Limit.concurrent("slots", 3, 600)

KINDS: Final = (
    *("acquire",) * 8,
    *("acquire alone", "acquire as one", "acquire durably", "acquire again", "acquire many", "acquire many"),
    *("adjust lease", "consume", "settle", "settle", "release", "release", "renew"),
    *("adjust", "sweep", "change limits", "change defaults", "fill up", "switch", "switch", "forget"),
)

FORMATS: Final[Mapping[Window, str]] = {
    "minute": "%Y-%m-%dT%H:%MZ",
    "hour": "%Y-%m-%dT%H:00Z",
    "day": "%Y-%m-%dT00:00Z",
    "month": "%Y-%m-01T00:00Z",
}


class Action(NamedTuple):
    """What somebody does: after a wait, by which process, and numbers that say on what and how much."""

    kind: str
    wait: int
    client: int
    place: int
    size: int


actions = st.builds(
    Action,
    st.sampled_from(KINDS),
    st.integers(0, len(WAITS_MS) - 1),
    st.integers(0, len(SKEWS_MS) - 1),
    st.integers(0, 11),
    st.integers(0, 40),
)


def random_action(chance: random.Random) -> Action:
    return Action(
        chance.choice(KINDS),
        chance.randrange(len(WAITS_MS)),
        chance.randrange(len(SKEWS_MS)),
        chance.randrange(12),
        chance.randrange(41),
    )


class Place(NamedTuple):
    """Where usage is counted: of whom, of what, in which window, as its sort key names it."""

    entity_id: str
    resource: str
    window: str


def places(entity_id: str, resource: str, at_ms: int) -> Iterator[Place]:
    """Name the windows of all lengths in which a time lies, by the calendar."""
    time = datetime.fromtimestamp(at_ms // 1000, UTC)
    for window, form in FORMATS.items():
        yield Place(entity_id, resource, f"{window}#{time.strftime(form)}")


@dataclass
class Totals:
    """Counts by place, and by limit name; those of zero are as good as none."""

    tokens: Counter[tuple[Place, str]] = field(default_factory=Counter)
    grants: Counter[Place] = field(default_factory=Counter)
    peaks: dict[tuple[Place, str], int] = field(default_factory=dict)

    def spend(self, entity_id: str, resource: str, tokens: Mapping[str, int], at_ms: int, grants: int = 0) -> None:
        for place in places(entity_id, resource, at_ms):
            self.grants[place] += grants
            for name, count in tokens.items():
                self.tokens[place, name] += count

    def peak(self, entity_id: str, resource: str, in_use: Mapping[str, int], at_ms: int) -> None:
        for place in places(entity_id, resource, at_ms):
            for name, count in in_use.items():
                self.peaks[place, name] = max(count, self.peaks.get((place, name), 0))

    def without_zeros(self, gone: frozenset[Place] = frozenset()) -> dict[tuple[object, ...], int]:
        """Return everything that was counted, in one mapping; what is ``gone`` is left out."""
        found: dict[tuple[object, ...], int] = {}
        for (place, name), count in self.tokens.items():
            found["tokens", place, name] = count
        for place, count in self.grants.items():
            found["grants", place] = count
        for (place, name), count in self.peaks.items():
            found["peak", place, name] = count
        return {what: count for what, count in found.items() if count and what[1] not in gone}


def in_use(item: Item) -> dict[str, int]:
    """Return how much of each limit of a bucket is in use at its own time, by rational numbers."""
    at_ms = cast("int", item[schema.WRITTEN_AT])
    used: dict[str, int] = {}
    for name, (capacity, amount, period_ms) in cast("Mapping[str, tuple[int, int, int]]", item["lim"]).items():
        if amount:
            full_at = Fraction(cast("int", item.get(f"v.{name}", 0)), amount)
            used[name] = ceil(max(Fraction(0), full_at - at_ms) * amount / period_ms)
        else:
            untils = [cast("int", value) for key, value in item.items() if key.startswith(f"h.{name}.")]
            used[name] = sum(until > at_ms for until in untils)
            assert used[name] <= capacity
    return used


@dataclass
class Held:
    """A lease that was not ended: who has it, what it spent at each level, and what these limited then."""

    client: int
    lease: Lease
    resource: str
    spent: dict[str, Counter[str]] = field(default_factory=dict)
    limits: dict[str, set[str]] = field(default_factory=dict)
    ends_at_ms: int | None = None
    releases: bool = True


class Economy:
    """Families that spend, adjust, change and forget, and what the library said of it.

    Attributes:
        table: where they do, with its stream.
        said: the tokens and grants that the library said it granted and took back.
        refused: the refusals that it gave, by entity, resource and limit.
    """

    def __init__(self, start_ms: int) -> None:
        self.table = StreamedMemory()
        self.table.on_change = self._on_change
        self.now_ms = start_ms
        self.said = Totals()
        self.refused: Counter[tuple[str, str, str]] = Counter()
        self.endings: Counter[str] = Counter()
        self.clients = [self._process(skew_ms) for skew_ms in SKEWS_MS]
        self._births: dict[Key, set[int]] = {}
        self._held: list[Held] = []
        self._keyed: list[tuple[int, AcquireRequest]] = []
        self._off: str | None = None
        self._limits: dict[str, set[str]] = {}
        self._before: dict[tuple[str, str], set[str] | None] = {}
        self._numbers = iter(range(1_000_000))
        admin = self.clients[0]
        for parent_id, entity_id in zip((None, *reversed(FAMILY)), reversed(FAMILY), strict=False):
            admin.create_entity(entity_id, parent_id)
            self._set_limits(entity_id, 0)
        for resource in RESOURCES:
            admin.set_resource_defaults(resource, [RPM, TPM])
        self._limits["lone"] = {"rpm", "tpm"}

    def act(self, action: Action) -> None:
        """Wait, then do what an action says."""
        self._wait(WAITS_MS[action.wait])
        kind, number, resource = action.kind, action.size, RESOURCES[action.place % 2]
        entity_id = ENTITIES[action.place % 4] if action.place < 6 else "key"
        match kind:
            case "acquire" | "acquire alone" | "acquire as one" | "acquire durably":
                request = self._request(kind, entity_id, resource, number)
                self._acquire(action.client, request)
            case "acquire again" if self._keyed:
                client, request = self._keyed[number % len(self._keyed)]
                with self._as_it_may("again"):
                    lease = self.clients[client].acquire(**_arguments(request))
                    assert lease.is_replayed
            case "acquire many":
                self._acquire_many(action.client, entity_id, resource, number)
            case "adjust lease" | "consume" | "settle" | "release" | "renew" if self._held:
                held = self._held[action.place % len(self._held)]
                self._use(held, kind, number)
            case "adjust":
                self._adjust(action.client, entity_id, resource, number)
            case "sweep":
                self._sweep()
            case "change limits" if entity_id != "lone":
                self._set_limits(entity_id, number)
            case "change defaults":
                self.clients[0].set_resource_defaults(resource, [RPM if number % 2 else _halved(RPM), TPM])
            case "fill up":
                self._fill_up(action.client, entity_id, resource, number)
            case "switch":
                self._switch(entity_id)
            case "forget":
                self.table.delete(schema.bucket_key(entity_id, resource))

    def observed(self) -> Totals:
        """Return what the bucket items themselves say, one after the other: the differences of their counters."""
        totals = Totals()
        for key, before, after in self.table.changes:
            if after is None:
                continue
            _, entity_id, resource = key.pk.split("#")
            at_ms = cast("int", after["at"])
            counters = {name for name in after if name[:2] == "u."}
            grown = {name[2:]: _number(after, name) - _number(before, name) for name in counters}
            totals.spend(entity_id, resource, grown, at_ms, _number(after, "g") - _number(before, "g"))
            totals.peak(entity_id, resource, in_use(after), at_ms)
        return totals

    # --- spending ------------------------------------------------------------------------------------

    def _request(self, kind: str, entity_id: str, resource: str, number: int) -> AcquireRequest:
        amounts = {"rpm": number % 8, "tpm": number * 40}
        if kind == "acquire durably":
            key = f"order-{next(self._numbers)}" if number % 2 else None
            expires_in = 5 + number if number % 3 else None
            on_expiry = None if expires_in is None else "keep" if number % 4 == 3 else "release"
            return AcquireRequest(
                entity_id,
                resource,
                amounts,
                durable=True,
                idempotency_key=key,
                expires_in=expires_in,
                on_expiry=on_expiry,  # type: ignore[arg-type]  # one of the two
            )
        if entity_id in ("key", "team") and number % 3 == 0:
            amounts = {"rpm": 1, "images": number % 4}
        if entity_id == "key" and number % 7 == 0:
            amounts["slots"] = 1
        if "tpm" not in self._limits[entity_id]:
            amounts.pop("tpm", None)
        cascade = {"acquire alone": False, "acquire as one": "transaction"}.get(kind, True)
        return AcquireRequest(entity_id, resource, amounts, cascade=cascade)  # type: ignore[arg-type]  # one of three

    def _acquire(self, client: int, request: AcquireRequest) -> None:
        with self._as_it_may(request.resource):
            lease = self.clients[client].acquire(**_arguments(request))
            if request.idempotency_key is not None:
                self._keyed.append((client, request))
            self._take(client, request, lease)

    def _acquire_many(self, client: int, entity_id: str, resource: str, number: int) -> None:
        kinds = ("acquire", "acquire", "acquire", "acquire alone")
        requests = [
            self._request(kinds[n % 4], entity_id if n % 4 else "key", resource, (number * n) % 13)
            for n in range(1, 2 + number % 9)
        ]
        for request, answer in zip(requests, self.clients[client].acquire_many(requests), strict=True):
            with self._as_it_may(resource):
                if not isinstance(answer, Lease):
                    raise answer
                self._take(client, request, answer)

    def _take(self, client: int, request: AcquireRequest, lease: Lease) -> None:
        """Note what a lease says that it was granted."""
        held = Held(client, lease, request.resource, ends_at_ms=lease.expires_at_ms)
        held.releases = request.on_expiry != "keep"
        self._held.append(held)
        self._charge(held, request.consume)
        self.endings["granted"] += 1

    def _charge(self, held: Held, consume: Mapping[str, int]) -> None:
        availability = held.lease.availability
        for level in (availability, *availability.ancestors):
            charged = {name: tokens for name, tokens in consume.items() if name in level}
            if not charged:
                continue
            tokens = {name: count for name, count in charged.items() if not level[name].limit.is_concurrent}
            held.spent.setdefault(level.entity_id, Counter()).update(tokens)
            held.limits[level.entity_id] = {name for name, state in level.items() if not state.limit.is_concurrent}
            self.said.spend(level.entity_id, held.resource, tokens, self._clock(held.client), grants=1)

    # --- leases --------------------------------------------------------------------------------------

    def _use(self, held: Held, kind: str, number: int) -> None:
        lease, at_ms = held.lease, self._clock(held.client)
        with self._as_it_may(held.resource):
            match kind:
                case "adjust lease":
                    lease.adjust({"rpm": number % 7 - 3 if number % 3 else number})
                case "consume":
                    consume = {"rpm": number % 4, "tpm": number}
                    lease.consume(consume)
                    self._charge(held, consume)
                case "renew":
                    held.ends_at_ms = lease.renew().expires_at_ms
                case "settle" | "release":
                    adjusted = Counter(lease.consumed)
                    adjusted.subtract(held.spent.get(lease.entity_id, {}))
                    if kind == "settle":
                        lease.settle()
                    else:
                        lease.release()
                    self._held.remove(held)
                    for entity_id, spent in held.spent.items():
                        amounts = (
                            adjusted if kind == "settle" else Counter({name: -n for name, n in spent.items()})
                        )
                        wanted = {name: n for name, n in amounts.items() if name in held.limits[entity_id]}
                        self._note_correction(entity_id, held.resource, wanted, at_ms, held.limits[entity_id])
            self.endings[kind] += 1

    def _note_correction(
        self, entity_id: str, resource: str, amounts: Mapping[str, int], at_ms: int, limited: set[str]
    ) -> None:
        """Note what a correction made: a bucket takes what it limits; one that was not there took debts only."""
        names = self._before[entity_id, resource]
        if names is None:
            taken = {name: n for name, n in amounts.items() if n > 0 and name in limited}
        else:
            taken = {name: n for name, n in amounts.items() if name in names}
        self.said.spend(entity_id, resource, taken, at_ms)

    def _adjust(self, client: int, entity_id: str, resource: str, number: int) -> None:
        levels = FAMILY[FAMILY.index(entity_id) :] if entity_id in FAMILY else (entity_id,)
        delta = {"rpm": number % 7 - 3, "tpm": 50 * (number % 5 - 2)}
        with self._as_it_may(resource):
            self.clients[client].adjust(entity_id, resource, delta)
            for level in levels:
                self._note_correction(level, resource, delta, self._clock(client), self._limits[level])
            self.endings["adjust"] += 1

    def _sweep(self) -> None:
        over = [held for held in self._held if held.ends_at_ms is not None and held.ends_at_ms <= self.now_ms]
        report = Sweeper(self.table, clock=lambda: self.now_ms).sweep(lambda: 60_000)
        kept = sum(not held.releases for held in over)
        assert (report.released, report.kept, report.failed) == (len(over) - kept, kept, 0)
        for held in over:
            self._held.remove(held)
            self.endings["swept"] += 1
            for entity_id, spent in held.spent.items() if held.releases else ():
                returned = {name: -n for name, n in spent.items()}
                with self._as_it_may(held.resource):  # a return creates no bucket, so they are there as before
                    self._note_correction(entity_id, held.resource, returned, self.now_ms, set())

    # --- administration ------------------------------------------------------------------------------

    def _set_limits(self, entity_id: str, number: int) -> None:
        """Give an entity other limits: some rates, now and then without its images, or the key without its tpm."""
        limits = [RPM if number % 2 == 0 else _halved(RPM)]
        if entity_id != "key" or number % 3 < 2:
            limits.append(TPM if number % 5 else _halved(TPM))
        if entity_id != "org" and number % 4 < 3:
            limits.append(IMAGES)
        if entity_id == "key":
            limits.append(SLOTS)
        if entity_id == "org":
            limits = [Limit(limit.name, 10 * limit.capacity, limit.amount, limit.period_ms) for limit in limits]
        self.clients[0].set_limits(entity_id, limits)
        self._limits[entity_id] = {limit.name for limit in limits if not limit.is_concurrent}

    def _fill_up(self, client: int, entity_id: str, resource: str, number: int) -> None:
        with self._as_it_may(resource):
            if number % 2:
                self.clients[client].reset(entity_id, resource)
            else:
                self.clients[client].top_up(entity_id, resource, {"rpm": number})

    def _switch(self, entity_id: str) -> None:
        if self._off is None:
            self.clients[0].disable_entity(entity_id)
            self._off = entity_id
        else:
            self.clients[0].enable_entity(self._off)
            self._off = None

    # --- pieces --------------------------------------------------------------------------------------

    @contextmanager
    def _as_it_may(self, resource: str) -> Iterator[None]:
        """Let a call end in one of the ways that are no mistake of the library's."""
        self._before = {(each, resource): self._names(each, resource) for each in ENTITIES}
        try:
            yield
        except RateLimitExceeded as refusal:
            self.endings["refused"] += 1
            for each in refusal.refusals:
                self.refused[each.entity_id, resource, each.state.limit.name] += 1
        except (Disabled, InvalidRequest, LeaseExpired, LeaseNotFound) as error:
            self.endings[type(error).__name__] += 1

    def _names(self, entity_id: str, resource: str) -> set[str] | None:
        """Return what a bucket limits in tokens as it stands; None where there is none."""
        item = self.table._items.get(schema.bucket_key(entity_id, resource))
        if item is None:
            return None
        return {name for name, limit in schema.parse_limits(item["lim"]).items() if not limit.is_concurrent}

    def _process(self, skew_ms: int) -> Limiter:
        return Limiter(self.table, clock=lambda: self.now_ms + skew_ms)

    def _clock(self, client: int) -> int:
        return self.now_ms + SKEWS_MS[client]

    def _wait(self, wait_ms: int) -> None:
        if wait_ms > HOUR_MS:
            # DynamoDB forgets leases a day after they ended; so they are all ended before a long time.
            self.now_ms += 2 * MINUTE_MS
            self._sweep()
            self._held = [held for held in self._held if held.lease.id is None]
            self._keyed.clear()
        self.now_ms += wait_ms
        # Born twice in the same ms, by two clocks, a bucket would have the same versions in both lives.
        births = set().union(*self._births.values())
        while any(self.now_ms + skew_ms in births for skew_ms in SKEWS_MS):
            self.now_ms += 1

    def _on_change(self, _operation: Operation, key: Key, before: Item | None, after: Item | None) -> None:
        if before is None and after is not None:
            self._births.setdefault(key, set()).add(cast("int", after["at"]))


def _arguments(request: AcquireRequest) -> dict[str, Any]:
    return {name: getattr(request, name) for name in request.__slots__}


def _halved(limit: Limit) -> Limit:
    return Limit(limit.name, limit.capacity // 2, limit.amount // 2, limit.period_ms)


def _number(item: Item | None, attribute: str) -> int:
    return 0 if item is None else cast("int", item.get(attribute, 0))
