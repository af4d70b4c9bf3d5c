"""What a table is held to when everything came to its end: no lease open, all usage counted, all places free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .. import schema
from ..changes import read_change
from ..errors import Disabled, InvalidRequest, RateLimitExceeded
from ..flows import reading
from ..flows.acquire import acquire
from ..flows.counting import count_usage
from ..flows.grants import Ask, Grant
from ..flows.spending import Request
from ..knowledge import Knowledge, Recent
from ..limits import HOUR_MS, Limit
from ..operations import Key
from ..schema import REQUEST_SLOTS
from .buckets import Buckets
from .calls import Call, Violation
from .history import Stream
from .leases import Leases
from .obedience import Obedience
from .traffic import PLAN, sweep
from .world import World

_LAST_TO_LAPSE_MS = 120_000


def end_all(world: World) -> None:
    """Let every call, every place and every lease come to its end."""
    world.skip(_LAST_TO_LAPSE_MS)
    process = world.processes[0]
    request = process.request(world.now_ms)
    world.make(world.threads[0], Call("sweep", None, sweep(request, Knowledge()), process, request, 0, 0))
    world.calm_down()


def check_leases(world: World, leases: Leases, skew_ms: int) -> None:
    """Hold leases to having ended, if they were to."""
    for name, entry in leases.entries.items():
        ends_at_ms = entry.stored.ends_at_ms
        if entry.stored.end is None and ends_at_ms is not None and ends_at_ms < world.now_ms - 2 * skew_ms:
            raise Violation("a lease is open, and its time long over", schema.lease_key(name))


def check_usage(world: World, stream: Stream, buckets: Buckets) -> int:
    """Count what nobody counted; then usage is what the buckets were seen to spend. Return how many totals."""
    left = [place for place in range(len(stream.changes)) if place not in stream.counted]
    changes = [read_change(*stream.changes[place]) for place in left]  # type: ignore[arg-type]  # none is deleted
    for start in range(0, len(changes), 500):
        counted = world.settle(count_usage(changes[start : start + 500], PLAN, world.now_ms, Recent(300)))
        if counted.failures:
            raise Violation(f"usage was not counted: {counted.failures}")
    found: Counter[tuple[Key, str, int]] = Counter()
    for key, item in world.table.items.items():
        if key.pk.startswith("USAGE#"):
            entity_id, resource, window, start_ms = schema.usage_of(key)
            if window == "hour":
                bucket, usage = schema.bucket_key(entity_id, resource), schema.parse_usage(item)
                found[bucket, "", start_ms // HOUR_MS] += usage.grants
                for name, tokens in usage.tokens.items():
                    found[bucket, name, start_ms // HOUR_MS] += tokens
    for what in found.keys() | buckets.usage.keys():
        key, name, _ = what
        if found[what] != buckets.usage[what] and key not in buckets.reborn:
            raise Violation(f"usage says {found[what]} {name}, and {buckets.usage[what]} were spent", key)
    return len(found)


def check_places(world: World, obedience: Obedience, entities: Sequence[str], resources: Sequence[str]) -> int:
    """Take every place of everybody who is enabled, and find that there is none besides; return how many.

    Where a change of somebody broke off, nobody can say which limits hold, but that they hold.
    """
    taken = 0
    for resource in resources:
        items = world.table.items
        if reading.parse_defaults_reading(items, resource).is_disabled:
            continue
        for entity_id in entities:
            truth = reading.parse_entity_reading(items, entity_id, resource)
            resolved = truth.resolve()
            if resolved is None or truth.entity.is_disabled(resource):
                continue
            is_torn = obedience.standings[entity_id].torn_step is not None
            for limit in resolved.limits.values():
                if limit.is_concurrent:
                    taken += _take_all(world, entity_id, resource, limit, is_torn=is_torn)
    return taken


def _take_all(world: World, entity_id: str, resource: str, limit: Limit, *, is_torn: bool) -> int:
    knowledge, name = Knowledge(), limit.name
    key = schema.bucket_key(entity_id, resource)

    def take(number: int) -> Grant:
        request = Request(f"{entity_id}-{resource}-{name}-{number}", number % REQUEST_SLOTS, world.now_ms)
        ask = Ask(entity_id, resource, {name: 1}, cascade=False)
        return world.settle(acquire(ask, request, knowledge))

    try:
        places = take(0).availability[name].capacity
    except (InvalidRequest, Disabled):
        if is_torn:
            return 0
        raise
    if places != limit.capacity and not is_torn:
        raise Violation(f"there are {limit.capacity} {name}, and {places} are said to be", key)
    for number in range(1, places):
        try:
            take(number)
        except RateLimitExceeded as error:
            raise Violation(f"nobody holds {name}, and only {number} of {places} are free", key) from error
    try:
        take(places)
    except RateLimitExceeded:
        return places
    raise Violation(f"more than {places} {name} were there to be taken", key)
