"""Durable leases: granted once under a key, ended once by whoever has the id, and what each of that costs."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from leasegate import (
    Disabled,
    DurableLease,
    IdempotencyConflict,
    InvalidRequest,
    Lease,
    LeaseEnd,
    LeaseExpired,
    LeaseNotFound,
    Limit,
    Limiter,
    NoLimitsConfigured,
    RateLimitExceeded,
    StoreUnavailable,
    schema,
)
from tests.fixtures.tables import MemoryTable

RPM, TPM = Limit.per_minute("rpm", 60), Limit.per_minute("tpm", 1_000)
SLOTS = Limit.concurrent("slots", 3, lease_seconds=30)
DAY_MS = 86_400_000
USES: list[Callable[[DurableLease], object]] = [lambda x: x.settle(), lambda x: x.release(), lambda x: x.renew()]


@pytest.fixture
def process(table: MemoryTable, admin: Limiter) -> Limiter:
    """Return a process that has spent from the bucket of key-1 before; nothing else was."""
    admin.set_limits("key-1", [RPM, TPM, SLOTS])
    process = table.process()
    process.acquire("key-1", "gpt-4", {"rpm": 0})
    return process


@pytest.fixture
def family(table: MemoryTable, admin: Limiter) -> Limiter:
    """Return a process that has spent from the buckets of child and project before."""
    admin.create_entity("project")
    admin.set_limits("project", [Limit.per_minute("tpm", 5_000), Limit.concurrent("slots", 5, lease_seconds=20)])
    admin.create_entity("child", "project")
    admin.set_limits("child", [RPM, TPM, SLOTS])
    process = table.process()
    process.acquire("child", "gpt-4", {"rpm": 0, "tpm": 0})
    return process


def keyed(process: Limiter, consume: dict[str, int] | None = None, key: str = "a", **options: Any) -> Lease:  # noqa: ANN401 - as given
    return process.acquire("key-1", "gpt-4", consume or {"rpm": 1, "tpm": 500}, idempotency_key=key, **options)


def durable(process: Limiter, consume: dict[str, int] | None = None, **options: Any) -> Lease:  # noqa: ANN401 - as given
    return process.acquire("key-1", "gpt-4", consume or {"rpm": 1, "tpm": 500}, durable=True, **options)


def id_of(lease: Lease) -> str:
    assert lease.id is not None
    return lease.id


def used(table: MemoryTable, entity_id: str = "key-1") -> dict[str, object]:
    """Return what a bucket has counted, and how many places are held."""
    item = table.memory.items.get(schema.bucket_key(entity_id, "gpt-4"), {})
    return {name[2:]: value for name, value in item.items() if name.startswith(("u.", "k.")) and value}


def stored(table: MemoryTable) -> list[str]:
    return [schema.lease_of(key) for key in table.memory.items if key.pk.startswith("LEASE#")]


# --- granted under a key -----------------------------------------------------------------------------


def test_a_keyed_grant_is_one_round_trip(table: MemoryTable, process: Limiter) -> None:
    assert table.cost(lambda: keyed(process)) == ["Transact"]
    assert used(table) == {"rpm": 1, "tpm": 500}
    assert len(stored(table)) == 1


def test_a_keyed_grant_of_a_cascade_is_one_round_trip(table: MemoryTable, family: Limiter) -> None:
    def acquire() -> Lease:
        return family.acquire("child", "gpt-4", {"rpm": 1, "tpm": 5}, idempotency_key="a")

    assert table.cost(acquire) == ["Transact"]
    assert (used(table, "child"), used(table, "project")) == ({"rpm": 1, "tpm": 5}, {"tpm": 5})


def test_a_cold_process_reads_before_it_grants(table: MemoryTable, process: Limiter) -> None:
    assert table.cost(lambda: keyed(table.process())) == ["BatchGet", "Transact"]


@pytest.mark.parametrize(("is_warm", "trips"), [(True, ["Transact"]), (False, ["BatchGet"])])
def test_the_same_key_again_returns_what_was_granted_first(
    table: MemoryTable, process: Limiter, is_warm: bool, trips: list[str]
) -> None:
    other = table.process()
    if is_warm:
        other.acquire("key-1", "gpt-4", {"rpm": 0})
    first = keyed(process, {"rpm": 1, "slots": 2}, expires_in=60)
    table.now_ms += 7_000
    again: list[Lease] = []
    assert table.cost(lambda: again.append(keyed(other, {"rpm": 1, "slots": 2}, expires_in=60))) == trips
    (replay,) = again
    assert (first.is_replayed, replay.is_replayed) == (False, True)
    for attribute in ("id", "consumed", "expires_at_ms", "kept_until_ms", "held_until_ms"):
        assert getattr(replay, attribute) == getattr(first, attribute), attribute
    assert {x: y.available for x, y in replay.availability.items()} == {"rpm": 59, "slots": 1, "tpm": 1_000}
    assert used(table) == {"rpm": 1, "slots": 2}


def test_a_refusal_under_a_key_is_one_round_trip_and_is_not_remembered(
    table: MemoryTable, process: Limiter
) -> None:
    table.process().acquire("key-1", "gpt-4", {"tpm": 501})
    assert table.cost(lambda: keyed(process), RateLimitExceeded) == ["Transact"]
    assert stored(table) == []
    table.now_ms += 60_000
    assert not keyed(process).is_replayed


def test_a_refusal_from_memory_looks_for_the_key_first(table: MemoryTable, process: Limiter) -> None:
    keyed(table.process())
    process.acquire("key-1", "gpt-4", {"tpm": 500})
    assert table.cost(lambda: keyed(process, key="new"), RateLimitExceeded) == ["Transact"]
    assert table.cost(lambda: keyed(process, key="newer"), RateLimitExceeded) == ["BatchGet"]
    assert table.cost(lambda: keyed(process)) == ["BatchGet"]
    assert keyed(process).is_replayed


CHANGES: dict[str, Callable[[Limiter], object]] = {
    "the limits change": lambda x: x.set_limits("key-1", [Limit.per_hour("rpm", 7), TPM]),
    "the cost is above the capacity": lambda x: x.set_limits("key-1", [RPM, Limit.per_minute("tpm", 499)]),
    "a limit is gone": lambda x: x.set_limits("key-1", [RPM]),
    "there are no limits": lambda x: x.delete_limits("key-1"),
    "the entity is disabled": lambda x: x.disable_entity("key-1"),
    "the resource is disabled": lambda x: x.disable_resource("gpt-4"),
    "the entity is moved": lambda x: (x.put_entity("p", None), x.put_entity("key-1", "p")),
    "everything is spent": lambda x: x.acquire("key-1", "gpt-4", {"rpm": 59, "tpm": 500}),
}


@pytest.mark.parametrize("is_warm", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_what_was_granted_under_a_key_stays_granted_whatever_changes(
    table: MemoryTable, process: Limiter, change: str, is_warm: bool
) -> None:
    first = keyed(process)
    CHANGES[change](table.process())
    before = used(table)
    replay = keyed(process if is_warm else table.process())
    assert (replay.id, replay.consumed, replay.is_replayed) == (first.id, {"rpm": 1, "tpm": 500}, True)
    assert used(table) == before


@pytest.mark.parametrize(
    ("change", "error"),
    [("there are no limits", NoLimitsConfigured), ("the entity is disabled", Disabled)],
)
def test_a_new_key_meets_what_has_changed(
    table: MemoryTable, process: Limiter, change: str, error: type[Exception]
) -> None:
    CHANGES[change](table.process())
    table.cost(lambda: keyed(process), error)
    assert stored(table) == []


@pytest.mark.parametrize(
    "other",
    [
        lambda x: keyed(x, {"rpm": 1, "tpm": 501}),
        lambda x: keyed(x, {"rpm": 1}),
        lambda x: keyed(x, expires_in=60),
        lambda x: keyed(x, limits=[RPM]),
        lambda x: keyed(x, cascade=False),
        lambda x: x.acquire("key-2", "gpt-4", {"rpm": 1}, limits=[RPM], idempotency_key="a"),
        lambda x: x.acquire("key-1", "gpt-5", {"rpm": 1, "tpm": 500}, idempotency_key="a"),
        lambda x: x.adjust("key-1", "gpt-4", {"rpm": 1}, idempotency_key="a"),
    ],
)
def test_a_key_stands_for_one_thing_only(
    table: MemoryTable, process: Limiter, other: Callable[[Limiter], object]
) -> None:
    keyed(process)
    before = used(table)
    for asker in (process, table.process()):
        with pytest.raises(IdempotencyConflict):
            other(asker)
    assert used(table) == before


def test_keys_of_different_actors_have_nothing_to_do_with_each_other(table: MemoryTable, process: Limiter) -> None:
    mine, theirs = keyed(process), keyed(process, actor="somebody else")
    assert not theirs.is_replayed
    assert id_of(mine).partition(".")[0] != id_of(theirs).partition(".")[0]
    assert used(table) == {"rpm": 2, "tpm": 1_000}


@pytest.mark.parametrize("key", ["", "x" * 256, "ä", "a\n"])
def test_a_key_is_short_and_printable(process: Limiter, key: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        keyed(process, key=key)
    assert caught.value.field == "idempotency_key"


@pytest.mark.parametrize("is_first", [True, False])
def test_a_grant_whose_reply_was_lost_is_there_when_it_is_asked_for_again(
    table: MemoryTable, admin: Limiter, is_first: bool
) -> None:
    admin.set_limits("key-1", [RPM, TPM])
    process = table.process()
    if not is_first:
        process.acquire("key-1", "gpt-4", {"rpm": 0})
    table.lose_reply(2 if is_first else 1)
    with pytest.raises(StoreUnavailable):
        keyed(process)
    assert used(table) == {"rpm": 1, "tpm": 500}
    assert keyed(table.process()).is_replayed
    assert keyed(process).is_replayed
    assert used(table) == {"rpm": 1, "tpm": 500}


def test_of_two_processes_that_ask_at_once_one_spends(table: MemoryTable, process: Limiter) -> None:
    other = table.process()
    table.before_trip(2, lambda: keyed(process))
    assert keyed(other).is_replayed
    assert used(table) == {"rpm": 1, "tpm": 500}


def test_a_key_is_forgotten_when_its_time_is_over(table: MemoryTable, process: Limiter) -> None:
    kept_until_ms = keyed(process).kept_until_ms
    assert kept_until_ms is not None
    assert kept_until_ms >= table.now_ms + DAY_MS
    table.now_ms = kept_until_ms
    assert keyed(process).is_replayed
    table.now_ms += 1_000
    for _ in ("gone", "deleted"):
        assert not keyed(process, key="a").is_replayed
        table.memory.delete(schema.lease_key(*stored(table)))


# --- durable without a key ---------------------------------------------------------------------------


def test_a_durable_lease_is_one_round_trip_and_has_a_name_of_its_own(table: MemoryTable, process: Limiter) -> None:
    assert table.cost(lambda: durable(process)) == ["Transact"]
    durable(process)
    assert len(stored(table)) == 2


def test_a_lease_that_is_not_durable_is_no_item(table: MemoryTable, process: Limiter) -> None:
    lease = process.acquire("key-1", "gpt-4", {"rpm": 1, "slots": 1})
    assert (lease.id, lease.is_replayed, lease.expires_at_ms, lease.kept_until_ms) == (None, False, None, None)
    assert stored(table) == []


def test_a_lease_that_is_durable_if_it_holds_something_is_stored_only_then(
    table: MemoryTable, process: Limiter
) -> None:
    def acquire(consume: dict[str, int]) -> Lease:
        return process.acquire("key-1", "gpt-4", consume, durable="if_held")

    assert table.cost(lambda: acquire({"rpm": 1})) == ["Update"]
    assert table.cost(lambda: acquire({"rpm": 1, "slots": 0})) == ["Update"]
    assert stored(table) == []
    assert table.cost(lambda: acquire({"rpm": 1, "slots": 1})) == ["Transact"]
    assert len(stored(table)) == 1


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"expires_in": 5}, "expires_in"),
        ({"durable": True, "expires_in": 0}, "expires_in"),
        ({"durable": True, "expires_in": 7 * 86_400 + 1}, "expires_in"),
        ({"durable": True, "on_expiry": "keep"}, "on_expiry"),
        ({"durable": True, "expires_in": 5, "on_expiry": "drop"}, "on_expiry"),
        ({"durable": "yes"}, "durable"),
    ],
)
def test_terms_that_make_no_sense_name_their_field(process: Limiter, options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        process.acquire("key-1", "gpt-4", {"rpm": 1}, **options)
    assert caught.value.field == field


def test_a_durable_lease_spends_once(process: Limiter) -> None:
    with pytest.raises(InvalidRequest) as caught:
        durable(process).consume({"rpm": 1})
    assert caught.value.field == "consume"


# --- ended, once -------------------------------------------------------------------------------------

ENDS: dict[str, tuple[Callable[[DurableLease], LeaseEnd], list[str], dict[str, object]]] = {
    "settled as acquired": (lambda x: x.settle(), ["Update"], {"rpm": 1, "tpm": 500}),
    "settled below": (lambda x: x.settle({"tpm": 100}), ["Transact"], {"rpm": 1, "tpm": 100}),
    "settled above": (lambda x: x.settle({"tpm": 900}), ["Transact"], {"rpm": 1, "tpm": 900}),
    "settled at nothing": (lambda x: x.settle({"tpm": 0, "rpm": 0}), ["Transact"], {}),
    "released": (lambda x: x.release(), ["Transact"], {}),
}


@pytest.mark.parametrize("how", ENDS)
def test_whoever_knows_the_id_ends_the_lease_in_one_round_trip(
    table: MemoryTable, process: Limiter, how: str
) -> None:
    end, trips, left = ENDS[how]
    lease_id = id_of(durable(process))
    ends: list[LeaseEnd] = []
    assert table.cost(lambda: ends.append(end(table.process().lease(lease_id)))) == trips
    assert used(table) == left
    assert ends[0].outcome == how.partition(" ")[0]
    assert {name: tokens for name, tokens in ends[0].consumed.items() if tokens} == left
    assert (ends[0].at_ms, ends[0].is_repeated) == (table.now_ms, False)


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("again", ENDS)
def test_a_lease_ends_once_and_says_how_ever_after(
    table: MemoryTable, process: Limiter, how: str, again: str
) -> None:
    lease_id = id_of(durable(process, {"rpm": 1, "tpm": 500, "slots": 1}))
    first = ENDS[how][0](process.lease(lease_id))
    before = used(table)
    table.now_ms += 1_000
    for other in (process, table.process()):
        second = ENDS[again][0](other.lease(lease_id))
        assert (second.outcome, second.consumed, second.at_ms) == (first.outcome, first.consumed, first.at_ms)
        assert second.is_repeated
    assert used(table) == before


def test_an_end_whose_reply_was_lost_is_found_when_it_is_repeated(table: MemoryTable, process: Limiter) -> None:
    lease_id = id_of(durable(process))
    table.lose_reply(1)
    with pytest.raises(StoreUnavailable):
        process.lease(lease_id).settle({"tpm": 100})
    assert table.cost(lambda: table.process().lease(lease_id).settle({"tpm": 100})) == ["Transact"]
    assert used(table) == {"rpm": 1, "tpm": 100}


@pytest.mark.parametrize("trip", [1, 2])
def test_a_settlement_and_a_release_at_once_are_one_of_the_two(
    table: MemoryTable, process: Limiter, trip: int
) -> None:
    lease_id = id_of(durable(process))
    process.set_limits("key-1", [RPM, TPM])  # so that the settlement needs a second round trip
    table.before_trip(trip, lambda: table.process().lease(lease_id).release())
    end = table.process().lease(lease_id).settle({"tpm": 900})
    assert (end.outcome, end.is_repeated) == ("released", True)
    assert used(table) == {}


def test_an_id_without_its_ticket_is_enough_and_takes_one_round_trip_more(
    table: MemoryTable, process: Limiter
) -> None:
    name = id_of(durable(process)).partition(".")[0]
    assert table.cost(lambda: table.process().lease(name).settle({"tpm": 100})) == ["BatchGet", "Transact"]
    assert table.cost(lambda: table.process().lease(name).release()) == ["BatchGet"]
    assert used(table) == {"rpm": 1, "tpm": 100}


def test_an_id_stays_short_however_long_those_of_the_entities_are(table: MemoryTable, admin: Limiter) -> None:
    ids = [f"{number}{''.join(chr(97 + (number * i * i) % 26) for i in range(255))}" for number in range(4)]
    for parent_id, entity_id in zip((None, *ids), ids, strict=False):
        admin.create_entity(entity_id, parent_id)
        admin.set_limits(entity_id, [Limit.per_day(f"{x:x>32}", 10**12 - x) for x in range(16)])
    amounts = {f"{x:x>32}": 10**11 + x for x in range(16)}
    lease_id = id_of(admin.acquire(ids[-1], "gpt-4", amounts, durable=True))
    assert len(lease_id) < 1_600
    table.process().lease(lease_id).release()
    assert all(used(table, entity_id) == {} for entity_id in ids)


@pytest.mark.parametrize("use", USES)
def test_a_lease_of_somebody_else_does_not_exist(
    table: MemoryTable, process: Limiter, use: Callable[[DurableLease], object]
) -> None:
    lease_id = id_of(durable(process, {"tpm": 1, "slots": 1}))
    for name in (lease_id, lease_id.partition(".")[0]):
        with pytest.raises(LeaseNotFound):
            use(table.process().lease(name, actor="somebody else"))
    assert used(table) == {"tpm": 1, "slots": 1}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", ["A" * 22, "A" * 22 + ".", "A" * 22 + ".x", "A" * 22 + ".!"])
def test_a_lease_that_nobody_acquired_does_not_exist(
    process: Limiter, use: Callable[[DurableLease], object], name: str
) -> None:
    with pytest.raises(LeaseNotFound):
        use(process.lease(name))


@pytest.mark.parametrize("name", ["", "x", "A" * 23, "#" * 22, "A" * 22 + "x", "A" * 22 + "." + "x" * 5_000])
def test_what_can_be_no_id_is_not_asked_for(table: MemoryTable, process: Limiter, name: str) -> None:
    assert table.cost(lambda: process.lease(name), LeaseNotFound) == []


def test_what_remembers_an_adjustment_is_no_lease(table: MemoryTable, process: Limiter) -> None:
    process.adjust("key-1", "gpt-4", {"tpm": 5}, idempotency_key="x")
    (name,) = stored(table)
    for use in USES:
        with pytest.raises(LeaseNotFound):
            use(process.lease(name))


@pytest.mark.parametrize("has_ticket", [True, False])
def test_a_lease_is_forgotten_when_its_time_is_over(
    table: MemoryTable, process: Limiter, has_ticket: bool
) -> None:
    lease = durable(process)
    lease_id = id_of(lease) if has_ticket else id_of(lease).partition(".")[0]
    assert lease.kept_until_ms is not None
    table.now_ms = lease.kept_until_ms + 1_000
    for use in USES:
        with pytest.raises(LeaseNotFound):
            use(table.process().lease(lease_id))
    assert used(table) == {"rpm": 1, "tpm": 500}


# --- ids that somebody made up -----------------------------------------------------------------------

type Document = list[Any]
"""What a ticket says, as JSON."""


def opened(lease_id: str) -> tuple[str, Document]:
    name, _, ticket = lease_id.partition(".")
    packed = base64.urlsafe_b64decode(ticket + "=" * (-len(ticket) % 4))
    return name, json.loads(zlib.decompressobj(wbits=-15).decompress(packed))


def sealed(name: str, text: str) -> str:
    packer = zlib.compressobj(9, wbits=-15)
    packed = packer.compress(text.encode()) + packer.flush()
    return f"{name}.{base64.urlsafe_b64encode(packed).decode().rstrip('=')}"


def limits_of(document: Document, level: int = 0) -> dict[str, Document]:
    return document[4][level][3]  # type: ignore[no-any-return]  # JSON


TAMPERINGS: dict[str, Callable[[Document], object]] = {
    "more was spent": lambda x: limits_of(x)["tpm"].__setitem__(4, 900),
    "less was spent": lambda x: limits_of(x)["tpm"].__setitem__(4, 0),
    "nothing was spent": lambda x: limits_of(x)["tpm"].pop(),
    "another limit was spent": lambda x: limits_of(x)["rpm"].__setitem__(4, 60),
    "a limit that does not exist": lambda x: limits_of(x).__setitem__("xpm", [5, 1, 1, None, 5]),
    "a wider limit": lambda x: limits_of(x)["tpm"].__setitem__(0, 10**12),
    "a bucket that is full much later": lambda x: limits_of(x)["tpm"].__setitem__(3, 10**27),
    "a number that no item can hold": lambda x: limits_of(x)["tpm"].__setitem__(3, 10**38),
    "another entity": lambda x: x[4][0].__setitem__(0, "key-2"),
    "an entity that does not exist": lambda x: x[4][0].__setitem__(0, "nobody"),
    "an ancestor besides": lambda x: x[4].append(["key-2", *x[4][0][1:]]),
    "an ancestor that was not seen": lambda x: x[4].append(["key-2", None]),
    "an ancestor of its own": lambda x: x[4].append(x[4][0]),
    "another resource": lambda x: x.__setitem__(3, "gpt-5"),
    "another time": lambda x: x.__setitem__(1, 0),
    "a time that is far": lambda x: x.__setitem__(1, 10**23),
    "an end": lambda x: x.__setitem__(2, x[1] + 5_000),
    "a stamp of other limits": lambda x: x[4][0].__setitem__(1, "e:1"),
    "a time to live that is far": lambda x: x[4][0].__setitem__(2, 10**23),
    "the place of somebody else": lambda x: limits_of(x)["slots"].__setitem__(4, ["another-"]),
    "places besides": lambda x: limits_of(x)["slots"][4].extend(["another-", "another1"]),
    "no place": lambda x: limits_of(x)["slots"].pop(),
    "another version": lambda x: x.__setitem__(0, 2),
    "nothing": lambda x: x.clear(),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
@pytest.mark.parametrize("how", ENDS)
def test_a_ticket_that_was_tampered_with_takes_nothing_and_gives_nothing(
    table: MemoryTable, process: Limiter, tampering: str, how: str
) -> None:
    process.set_limits("key-2", [RPM, TPM, SLOTS])
    for entity_id in ("key-1", "key-2"):
        process.acquire(entity_id, "gpt-4", {"rpm": 7, "tpm": 70, "slots": 1})
    others = used(table), used(table, "key-2")
    name, document = opened(id_of(durable(process, {"rpm": 1, "tpm": 500, "slots": 1})))
    TAMPERINGS[tampering](document)
    end = ENDS[how][0](table.process().lease(sealed(name, json.dumps(document))))
    left = dict(ENDS[how][2])
    assert {name: tokens for name, tokens in end.consumed.items() if tokens} == left
    assert used(table, "key-2") == others[1]
    assert used(table) == {
        "rpm": 7 + int(str(left.get("rpm", 0))),
        "tpm": 70 + int(str(left.get("tpm", 0))),
        "slots": 1,
    }


def holders(table: MemoryTable, entity_id: str = "key-1") -> dict[str, Any]:
    item = table.memory.items.get(schema.bucket_key(entity_id, "gpt-4"), {})
    return {name: until_ms for name, until_ms in item.items() if name.startswith("h.")}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_ticket_that_was_tampered_with_keeps_nobody_in(
    table: MemoryTable, process: Limiter, tampering: str
) -> None:
    process.acquire("key-1", "gpt-4", {"slots": 1})
    name, document = opened(id_of(durable(process, {"rpm": 1, "tpm": 500, "slots": 1})))
    TAMPERINGS[tampering](document)
    times = holders(table)
    table.now_ms += 5_000
    try:
        renewal = table.process().lease(sealed(name, json.dumps(document))).renew()
    except LeaseExpired:
        assert holders(table) == times
        return
    assert renewal.held_until_ms == table.now_ms + 30_000
    assert sorted(holders(table).values()) == [table.now_ms + 25_000, table.now_ms + 30_000]


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{}", '"text"', "[1,2,3,4,5]", "[" * 50_000, "9" * 5_000, "[" + "0," * 10_000_000 + "0]"],
)
def test_a_ticket_that_says_nothing_is_looked_up(table: MemoryTable, process: Limiter, text: str) -> None:
    lease_id = sealed(id_of(durable(process)).partition(".")[0], text)[:1_500]
    assert table.cost(lambda: table.process().lease(lease_id).release()) == ["BatchGet", "Transact"]
    assert used(table) == {}


# --- expired, and renewed ----------------------------------------------------------------------------


@pytest.mark.parametrize("has_ticket", [True, False])
@pytest.mark.parametrize("use", USES)
def test_a_lease_whose_time_is_over_can_neither_end_nor_go_on(
    table: MemoryTable, process: Limiter, use: Callable[[DurableLease], object], has_ticket: bool
) -> None:
    lease_id = id_of(durable(process, {"tpm": 500, "slots": 1}, expires_in=5))
    table.now_ms += 5_000
    for other in (process, table.process()):
        with pytest.raises(LeaseExpired):
            use(other.lease(lease_id if has_ticket else lease_id.partition(".")[0]))
    assert used(table) == {"tpm": 500, "slots": 1}


@pytest.mark.parametrize("use", USES)
def test_until_the_last_ms_a_lease_is_its_holders(
    table: MemoryTable, process: Limiter, use: Callable[[DurableLease], object]
) -> None:
    lease_id = id_of(durable(process, expires_in=5))
    table.now_ms += 4_999
    use(table.process().lease(lease_id))


def test_a_renewal_is_one_round_trip_and_lasts_as_long_as_the_lease_was_acquired_for(
    table: MemoryTable, process: Limiter
) -> None:
    lease = durable(process, {"tpm": 500, "slots": 1}, expires_in=50)
    assert (lease.expires_at_ms, lease.held_until_ms) == (table.now_ms + 50_000, table.now_ms + 30_000)
    table.now_ms += 20_000
    assert table.cost(lambda: table.process().lease(id_of(lease)).renew()) == ["Transact"]
    renewal = table.process().lease(id_of(lease)).renew()
    assert (renewal.expires_at_ms, renewal.held_until_ms) == (table.now_ms + 50_000, table.now_ms + 30_000)
    table.now_ms += 40_000
    assert process.lease(id_of(lease)).settle({"tpm": 1}).outcome == "settled"
    assert used(table) == {"tpm": 1}


def test_a_renewal_may_be_shorter_and_then_holds_no_place_longer(table: MemoryTable, process: Limiter) -> None:
    lease = durable(process, {"slots": 1}, expires_in=50)
    renewal = process.lease(id_of(lease)).renew(expires_in=7)
    assert (renewal.expires_at_ms, renewal.held_until_ms) == (table.now_ms + 7_000, table.now_ms + 7_000)
    table.now_ms += 7_000
    with pytest.raises(LeaseExpired):
        process.lease(id_of(lease)).settle()


def test_a_renewal_of_a_lease_that_holds_nothing_is_one_update(table: MemoryTable, process: Limiter) -> None:
    lease = durable(process, expires_in=50)
    assert table.cost(lambda: table.process().lease(id_of(lease)).renew()) == ["Update"]
    name = id_of(lease).partition(".")[0]
    assert table.cost(lambda: table.process().lease(name).renew()) == ["BatchGet", "Update"]


def test_a_lease_that_does_not_expire_is_remembered_for_a_day_after_each_renewal(
    table: MemoryTable, process: Limiter
) -> None:
    lease_id = id_of(durable(process))
    for _ in range(5):
        table.now_ms += DAY_MS // 2 + 5_000
        assert process.lease(lease_id).renew().expires_at_ms is None
    assert process.lease(lease_id).settle({"tpm": 1}).outcome == "settled"


@pytest.mark.parametrize("expires_in", [0, -1, 7 * 86_400 + 1])
def test_a_renewal_lasts_from_a_second_to_a_week(process: Limiter, expires_in: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        process.lease(id_of(durable(process, expires_in=5))).renew(expires_in=expires_in)
    assert caught.value.field == "expires_in"


def test_a_lease_that_does_not_expire_cannot_begin_to(process: Limiter) -> None:
    with pytest.raises(InvalidRequest) as caught:
        process.lease(id_of(durable(process))).renew(expires_in=5)
    assert caught.value.field == "expires_in"


@pytest.mark.parametrize("end", ENDS)
def test_a_lease_that_has_ended_does_not_go_on(table: MemoryTable, process: Limiter, end: str) -> None:
    lease_id = id_of(durable(process, expires_in=5))
    ENDS[end][0](process.lease(lease_id))
    with pytest.raises(LeaseExpired):
        table.process().lease(lease_id).renew()


def test_a_renewal_whose_reply_was_lost_may_be_repeated(table: MemoryTable, process: Limiter) -> None:
    lease_id = id_of(durable(process, {"tpm": 5, "slots": 1}, expires_in=50))
    table.lose_reply(1)
    with pytest.raises(StoreUnavailable):
        process.lease(lease_id).renew()
    assert process.lease(lease_id).renew().expires_at_ms == table.now_ms + 50_000


# --- buckets that have changed since -----------------------------------------------------------------


def test_a_bucket_that_was_deleted_gets_nothing_back(table: MemoryTable, process: Limiter) -> None:
    lease_id = id_of(durable(process))
    table.memory.delete(schema.bucket_key("key-1", "gpt-4"))
    assert table.cost(lambda: table.process().lease(lease_id).release()) == ["Transact", "Update"]
    assert process.available("key-1", "gpt-4")["tpm"].available == 1_000


def test_a_debt_makes_its_bucket_anew_and_the_next_acquire_pays_it(table: MemoryTable, process: Limiter) -> None:
    lease_id = id_of(durable(process))
    table.memory.delete(schema.bucket_key("key-1", "gpt-4"))
    assert table.cost(lambda: table.process().lease(lease_id).settle({"tpm": 1_200})) == ["Transact", "Transact"]
    assert used(table) == {"tpm": 700}
    with pytest.raises(RateLimitExceeded):
        table.process().acquire("key-1", "gpt-4", {"tpm": 301})
    table.process().acquire("key-1", "gpt-4", {"tpm": 300})


def test_a_debt_is_unbounded_and_outlives_its_buckets_time_to_live(table: MemoryTable, process: Limiter) -> None:
    lease_id = id_of(durable(process))
    table.process().lease(lease_id).settle({"tpm": 10_000_000})
    assert process.available("key-1", "gpt-4")["tpm"].available == 1_000 - 10_000_000
    expires_at_s = table.item(schema.bucket_key("key-1", "gpt-4"))[schema.EXPIRES_AT]
    assert expires_at_s > table.now_ms // 1000 + 9_999_000 * 60 // 1_000  # type: ignore[operator]  # a number


@pytest.mark.parametrize(("actual", "left"), [({"tpm": 900}, 900), ({"tpm": 100}, 100), (None, 0)])
def test_other_limits_of_the_same_names_take_what_comes(
    table: MemoryTable, process: Limiter, actual: dict[str, int] | None, left: int
) -> None:
    lease_id = id_of(durable(process))
    process.set_limits("key-1", [Limit.per_day("rpm", 100), Limit.per_day("tpm", 10_000)])
    lease = table.process().lease(lease_id)
    use = partial(lease.settle, actual) if actual else lease.release
    assert table.cost(use) == ["Transact", "Transact"]
    table.process().acquire("key-1", "gpt-4", {"rpm": 0})
    assert used(table).get("tpm", 0) == left
    assert table.process().available("key-1", "gpt-4")["tpm"].available == 10_000 - left


def test_a_limit_that_is_gone_takes_nothing_and_one_that_came_is_not_touched(
    table: MemoryTable, process: Limiter
) -> None:
    lease_id = id_of(durable(process))
    process.set_limits("key-1", [RPM, Limit.per_minute("images", 5)])
    process.acquire("key-1", "gpt-4", {"rpm": 1, "images": 1})
    end = table.process().lease(lease_id).settle({"tpm": 900, "rpm": 5})
    assert end.consumed == {"rpm": 5, "tpm": 900}
    assert used(table) == {"rpm": 6, "images": 1}


@pytest.mark.parametrize("before", [RPM, Limit.concurrent("tpm", 3, lease_seconds=30)])
def test_what_a_process_remembers_from_before_the_grant_loses_no_tokens(
    table: MemoryTable, admin: Limiter, before: Limit
) -> None:
    admin.set_limits("key-1", [before])
    late = table.process()
    late.acquire("key-1", "gpt-4", {before.name: 1})
    admin.set_limits("key-1", [TPM])
    lease_id = id_of(durable(admin, {"tpm": 500}))
    late.lease(lease_id).settle({"tpm": 100})
    assert admin.available("key-1", "gpt-4")["tpm"].available == 900


def test_a_lease_is_settled_where_it_was_spent_though_the_entity_has_moved(
    table: MemoryTable, family: Limiter
) -> None:
    lease = family.acquire("child", "gpt-4", {"tpm": 500, "slots": 1}, durable=True)
    family.create_entity("other")
    family.set_limits("other", [Limit.per_minute("tpm", 5_000)])
    family.move_entity("child", "other")
    family.acquire("child", "gpt-4", {"tpm": 1})
    table.process().lease(id_of(lease)).settle({"tpm": 100})
    assert [used(table, entity_id) for entity_id in ("child", "project", "other")] == [
        {"tpm": 101},
        {"tpm": 100},
        {"tpm": 1},
    ]


@pytest.mark.parametrize("is_told", [True, False])
def test_a_lease_of_a_disabled_entity_is_settled_all_the_same(
    table: MemoryTable, process: Limiter, is_told: bool
) -> None:
    lease_id = id_of(durable(process, {"tpm": 500, "slots": 1}))
    process.disable_entity("key-1")
    if is_told:
        table.cost(lambda: table.process().acquire("key-1", "gpt-4", {"tpm": 1}), Disabled)
    table.process().lease(lease_id).settle({"tpm": 100})
    assert used(table) == {"tpm": 100}


@pytest.mark.parametrize("actual", [{"tpm": 900}, {"tpm": 100}])
def test_a_lease_of_a_deleted_entity_brings_nothing_back(
    table: MemoryTable, process: Limiter, actual: dict[str, int]
) -> None:
    process.create_entity("key-2")
    process.set_limits("key-2", [RPM, TPM])
    lease = process.acquire("key-2", "gpt-4", {"tpm": 500}, durable=True)
    process.delete_entity("key-2")
    assert table.process().lease(id_of(lease)).settle(actual).outcome == "settled"
    assert used(table, "key-2") == {}
    assert schema.entity_key("key-2") not in table.memory.items


# --- what was used -----------------------------------------------------------------------------------


def test_what_was_used_beside_what_was_acquired_counts_at_every_level_that_limits_it(
    table: MemoryTable, family: Limiter
) -> None:
    lease = family.acquire("child", "gpt-4", {"rpm": 1}, durable=True)
    assert table.cost(lambda: table.process().lease(id_of(lease)).settle({"tpm": 800})) == ["Transact"]
    assert (used(table, "child"), used(table, "project")) == ({"rpm": 1, "tpm": 800}, {"tpm": 800})


@pytest.mark.parametrize("has_bucket", [True, False])
def test_an_ancestor_that_limits_nothing_that_was_acquired_is_read_before_it_is_charged(
    table: MemoryTable, admin: Limiter, has_bucket: bool
) -> None:
    admin.create_entity("project")
    admin.set_limits("project", [Limit.per_minute("tpm", 5_000)])
    admin.create_entity("child", "project")
    admin.set_limits("child", [RPM, TPM])
    lease = table.process().acquire("child", "gpt-4", {"rpm": 1}, durable=True)
    if has_bucket:
        admin.acquire("project", "gpt-4", {"tpm": 7})
    late = table.process()
    assert table.cost(lambda: late.lease(id_of(lease)).settle({"tpm": 800})) == ["BatchGet", "Transact"]
    assert used(table, "child") == {"rpm": 1, "tpm": 800}
    assert used(table, "project") == {"tpm": 807 if has_bucket else 800}
    other = table.process().acquire("child", "gpt-4", {"rpm": 1}, durable=True)
    table.process().lease(id_of(other)).release()


@pytest.mark.parametrize("name", ["images", "slots"])
def test_only_limits_of_tokens_can_be_settled(table: MemoryTable, process: Limiter, name: str) -> None:
    lease_id = id_of(durable(process, {"tpm": 1, "slots": 1}))
    for names in (lease_id, lease_id.partition(".")[0]):
        with pytest.raises(InvalidRequest) as caught:
            table.process().lease(names).settle({name: 1})
        assert caught.value.field == f"actual.{name}"
    assert used(table) == {"tpm": 1, "slots": 1}


@pytest.mark.parametrize("tokens", [-1, 10**12 + 1, 1.5, True])
def test_what_was_used_is_a_number_of_tokens(process: Limiter, tokens: Any) -> None:  # noqa: ANN401 - wrong types
    with pytest.raises(InvalidRequest) as caught:
        process.lease(id_of(durable(process))).settle({"tpm": tokens})
    assert caught.value.field == "actual.tpm"


# --- as a context manager ----------------------------------------------------------------------------


def test_a_durable_lease_is_settled_on_exit_in_one_round_trip(table: MemoryTable, process: Limiter) -> None:
    with durable(process) as lease:
        lease.adjust({"tpm": -400})
        before = len(table.trips)
    assert table.trips[before:] == ["Transact"]
    assert used(table) == {"rpm": 1, "tpm": 100}
    assert process.lease(id_of(lease)).release().is_repeated


def test_a_durable_lease_is_released_when_the_block_raises(table: MemoryTable, process: Limiter) -> None:
    with pytest.raises(ValueError, match="mine"), durable(process, {"tpm": 500, "slots": 1}):
        raise ValueError("mine")
    assert used(table) == {}


def test_a_lease_that_expired_meanwhile_does_not_hide_the_blocks_own_error(
    table: MemoryTable, process: Limiter
) -> None:
    with pytest.raises(ValueError, match="mine") as caught, durable(process, expires_in=1):
        table.now_ms += 1_000
        raise ValueError("mine")
    assert "could not be given back" in caught.value.__notes__[0]


def test_a_lease_that_expired_in_its_block_says_so_on_exit(table: MemoryTable, process: Limiter) -> None:
    with pytest.raises(LeaseExpired), durable(process, expires_in=1):
        table.now_ms += 1_000


def test_a_durable_lease_that_is_renewed_in_its_block_goes_on(table: MemoryTable, process: Limiter) -> None:
    with durable(process, {"tpm": 5, "slots": 1}, expires_in=40) as lease:
        for _ in range(4):
            table.now_ms += 25_000
            lease.renew()
    assert used(table) == {"tpm": 5}
