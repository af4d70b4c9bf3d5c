"""What one record of the stream means: the counters of two images, and every kind of damage."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from leasegate import Disabled, Limit, Limiter, schema
from leasegate.aggregator import Aggregator
from leasegate.changes import BucketChange, UnreadableChange, read_change
from leasegate.operations import Item
from leasegate.repository.memory import MemoryRepository
from leasegate.stream import read_record, sequence_number
from leasegate.windows import LAST_MS, WINDOWS, UsagePlan
from tests.stream import StreamedMemory, counting, stream_record

NOW_MS = 1_790_000_000_000
KEY = schema.bucket_key("key-1", "gpt-4")
LIMITS = {"rpm": (60, 60, 60_000), "tpm": (1_000, 1_000, 60_000)}


def bucket(version: int, at_ms: int = NOW_MS, **attributes: object) -> dict[str, Any]:
    """Return a bucket's item; limit names stand after two underscores for a dot."""
    item: dict[str, Any] = {"cfg": "e:1", "lim": LIMITS, "n": version, "at": at_ms, "ttl": at_ms // 1000}
    return item | {name.replace("__", "."): value for name, value in attributes.items()}


# --- what is read ------------------------------------------------------------------------------------


def test_a_change_is_the_difference_of_its_two_images() -> None:
    before = bucket(7, u__rpm=5, u__tpm=900, g=3, x__rpm=2)
    after = bucket(8, NOW_MS + 5, u__rpm=6, u__tpm=700, g=4, x__rpm=9)
    assert read_change(KEY, before, after) == BucketChange(
        *("key-1", "gpt-4", 7, 8, NOW_MS + 5),
        tokens={"rpm": 1, "tpm": -200},
        grants=1,
        refused={"rpm": 7},
        peaks={"rpm": 0, "tpm": 0},
    )


def test_the_first_acquire_of_a_bucket_counts() -> None:
    change = read_change(KEY, None, bucket(NOW_MS * 1000, u__rpm=1, u__tpm=40, g=1))
    assert (change.after, change.version) == (NOW_MS * 1000 - 1, NOW_MS * 1000)
    assert (change.tokens, change.grants) == ({"rpm": 1, "tpm": 40}, 1)


def test_a_limit_that_is_gone_spent_nothing_and_one_that_came_back_begins_anew() -> None:
    before = bucket(7, u__rpm=5, u__tpm=900, x__tpm=3)
    without = bucket(8, u__rpm=6)
    assert read_change(KEY, before, without).tokens == {"rpm": 1}
    assert read_change(KEY, before, without).refused == {}
    assert read_change(KEY, without, bucket(9, u__rpm=6, u__tpm=30)).tokens == {"tpm": 30}


def test_a_bucket_of_an_older_release_has_no_grants_and_no_refusals() -> None:
    change = read_change(KEY, bucket(7, u__rpm=5), bucket(8, u__rpm=6))
    assert (change.grants, change.refused) == (0, {})


def test_the_first_grant_that_is_counted_on_a_bucket_of_an_older_release_is_one() -> None:
    change = read_change(KEY, bucket(7, u__rpm=5), bucket(8, u__rpm=6, g=1, x__rpm=4))
    assert (change.grants, change.refused) == (1, {"rpm": 4})


def test_limits_may_be_named_as_prefixes_of_others() -> None:
    names = ("u", "v", "x", "r", "k", "h", "g", "n", "at", "lim", "u-u", "v_")
    limits = dict.fromkeys(names, (100, 100, 60_000))
    before = (
        bucket(1) | {"lim": limits} | {f"u.{name}": 1 for name in names} | {"r.3": "id", "h.h.abc": 5, "k.h": 1}
    )
    after = {**before, "n": 2, **{f"u.{name}": place + 2 for place, name in enumerate(names)}, "x.u": 3}
    change = read_change(KEY, before, after)
    assert change.tokens == {name: place + 1 for place, name in enumerate(names)}
    assert change.refused == {"u": 3}


def test_sixteen_limits_are_sixteen_counts() -> None:
    names = [f"limit-{number}" for number in range(16)]
    limits = dict.fromkeys(names, (100, 100, 60_000))
    after = bucket(1) | {"lim": limits} | {f"u.{name}": place for place, name in enumerate(names)}
    change = read_change(KEY, None, after)
    assert change.tokens == {name: place for place, name in enumerate(names) if place}
    assert change.peaks.keys() == set(names)


def test_a_mark_counts_nothing_of_a_full_bucket() -> None:
    before = bucket(7, u__rpm=5)
    assert not read_change(KEY, before, {**before, "cfg": "stale:9", "n": 8}).counts


def test_what_is_in_use_says_something_though_nothing_was_spent() -> None:
    before = bucket(7, u__rpm=5, v__rpm=NOW_MS * 60 + 60_000)
    assert read_change(KEY, before, {**before, "n": 8}).counts


# --- how full a bucket was ---------------------------------------------------------------------------


def in_use(item: Item) -> dict[str, int]:
    return dict(read_change(KEY, None, item).peaks)


def test_tokens_are_in_use_until_they_are_refilled() -> None:
    spent = {"v__rpm": NOW_MS * 60 + 30 * 60_000}
    assert in_use(bucket(1, **spent))["rpm"] == 30
    assert in_use(bucket(1, NOW_MS + 29_999, **spent))["rpm"] == 1
    assert in_use(bucket(1, NOW_MS + 30_000, **spent))["rpm"] == 0


def test_debt_is_more_than_the_capacity_in_use() -> None:
    assert in_use(bucket(1, v__rpm=NOW_MS * 60 + 75 * 60_000))["rpm"] == 75


def test_places_are_in_use_until_they_lapse() -> None:
    holders: dict[str, Any] = {
        "lim": {"slots": (5, 0, 60_000)},
        "h.slots.a": NOW_MS + 1,
        "h.slots.b": NOW_MS,
        "h.slots.c": NOW_MS + 2,
    }
    assert in_use({**bucket(1), **holders}) == {"slots": 2}


# --- records -----------------------------------------------------------------------------------------


def test_a_deletion_spends_nothing() -> None:
    assert read_record(stream_record(KEY, bucket(7, u__rpm=5), None)) is None


def test_a_record_is_read_as_its_images_are() -> None:
    before, after = bucket(7, u__rpm=5), bucket(8, u__rpm=6, g=1)
    assert read_record(stream_record(KEY, before, after)) == read_change(KEY, before, after)
    assert read_record(stream_record(KEY, None, after)) == read_change(KEY, None, after)


def test_a_record_is_named_by_its_sequence_number() -> None:
    assert sequence_number(stream_record(KEY, None, bucket(1), 5)) == "100000000000000000005"


def test_every_write_of_the_library_is_one_version_that_can_be_read() -> None:
    table, now_ms = StreamedMemory(), NOW_MS
    limiter = Limiter(table, clock=lambda: now_ms)
    limits = [Limit.per_minute("rpm", 60), Limit.concurrent("slots", 3, 60)]
    for entity_id in ("org", "other", "key-1"):
        limiter.create_entity(entity_id)
        limiter.set_limits(entity_id, limits)
    limiter.move_entity("key-1", "org")
    acquire: Callable[[], object] = lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 10})  # noqa: E731

    def refused() -> None:
        with pytest.raises(Disabled):
            acquire()

    lease = limiter.acquire("key-1", "gpt-4", {"rpm": 5, "slots": 2}, durable=True, expires_in=60)
    for step in (
        lease.renew,
        lambda: limiter.set_limits("key-1", [*limits, Limit.per_day("images", 5)]),
        acquire,
        lambda: limiter.disable_entity("key-1"),
        refused,
        lambda: limiter.enable_entity("key-1"),
        lambda: limiter.move_entity("key-1", "other"),
        acquire,
        lambda: limiter.top_up("key-1", "gpt-4", {"rpm": 5}),
        lambda: limiter.reset("key-1", "gpt-4"),
        lambda: limiter.adjust("key-1", "gpt-4", {"rpm": 7}),
        lambda: limiter.delete_limits("org"),
        lease.release,
        lambda: limiter.update_entity("key-1", name="the key"),
        lambda: limiter.delete_entity("key-1"),
    ):
        now_ms += 1_000
        step()
    changes = [change for record in table.records if (change := read_record(record)) is not None]
    assert len(changes) == len(table.records) - 1
    assert all(change.version == change.after + 1 for change in changes)
    spent = {
        entity_id: [x for x in changes if x.entity_id == entity_id] for entity_id in ("org", "other", "key-1")
    }
    tokens = {who: sum(x.tokens.get("rpm", 0) for x in theirs) for who, theirs in spent.items()}
    assert tokens == {"org": 10, "other": 17, "key-1": 27}
    assert {who: sum(x.grants for x in theirs) for who, theirs in spent.items()} == {
        "org": 2,
        "other": 1,
        "key-1": 3,
    }


type Damage = Callable[[dict[str, Any]], object]

DAMAGES: dict[str, Damage] = {
    "no event name": lambda record: record.pop("eventName"),
    "another event": lambda record: record.update(eventName="TOUCH"),
    "no content": lambda record: record.pop("dynamodb"),
    "content of another kind": lambda record: record.update(dynamodb=[]),
    "no keys": lambda record: record["dynamodb"].pop("Keys"),
    "key without its range": lambda record: record["dynamodb"]["Keys"].pop("SK"),
    "key of another kind": lambda record: record["dynamodb"]["Keys"].update(PK={"N": "1"}),
    "key of an entity": lambda record: record["dynamodb"]["Keys"].update(PK={"S": "ENTITY#key-1"}),
    "key of usage": lambda record: record["dynamodb"]["Keys"].update(PK={"S": "USAGE#key-1#gpt-4"}),
    "key with a part too many": lambda record: record["dynamodb"]["Keys"].update(PK={"S": "BUCKET#a#b#c"}),
    "key with an empty part": lambda record: record["dynamodb"]["Keys"].update(PK={"S": "BUCKET##gpt-4"}),
    "another range key": lambda record: record["dynamodb"]["Keys"].update(SK={"S": "#META"}),
    "no new image": lambda record: record["dynamodb"].pop("NewImage"),
    "no old image": lambda record: record["dynamodb"].pop("OldImage"),
    "new image of another kind": lambda record: record["dynamodb"].update(NewImage=7),
    **{
        f"no {name}": lambda record, name=name: record["dynamodb"]["NewImage"].pop(name)  # type: ignore[misc]
        for name in ("n", "at", "lim", "cfg", "ttl")
    },
    "no version before": lambda record: record["dynamodb"]["OldImage"].pop("n"),
    **{
        f"{name} is {what}": lambda record, name=name, value=value: record["dynamodb"]["NewImage"].update(  # type: ignore[misc]
            {name: value}
        )
        for what, value in {
            "text": {"S": "8"},
            "a fraction": {"N": "8.5"},
            "no number": {"N": "many"},
            "true": {"BOOL": True},
            "null": {"NULL": True},
            "bytes": {"B": b"8"},
            "a list": {"L": []},
            "untyped": {},
        }.items()
        for name in ("n", "at", "u.rpm", "x.rpm", "g")
    },
    "state is text": lambda record: record["dynamodb"]["NewImage"].update({"v.rpm": {"S": "5"}}),
    "version before is text": lambda record: record["dynamodb"]["OldImage"].update(n={"S": "7"}),
    "counter before is text": lambda record: record["dynamodb"]["OldImage"].update({"u.rpm": {"S": "5"}}),
    "version goes backward": lambda record: record["dynamodb"]["OldImage"].update(n={"N": "9"}),
    "version stands still": lambda record: record["dynamodb"]["OldImage"].update(n={"N": "8"}),
    "version is negative": lambda record: record["dynamodb"]["OldImage"].update(n={"N": "-1"}),
    "time before 1970": lambda record: record["dynamodb"]["NewImage"].update(at={"N": "-1"}),
    "time beyond 9999": lambda record: record["dynamodb"]["NewImage"].update(at={"N": str(LAST_MS + 1)}),
    "limits are text": lambda record: record["dynamodb"]["NewImage"].update(lim={"S": "60 a minute"}),
    "a limit of two numbers": lambda record: record["dynamodb"]["NewImage"].update(
        lim={"M": {"rpm": {"L": [{"N": "1"}, {"N": "1"}]}}}
    ),
    "a limit of nothing": lambda record: record["dynamodb"]["NewImage"].update(
        lim={"M": {"rpm": {"L": [{"N": "0"}, {"N": "1"}, {"N": "0"}]}}}
    ),
    "a holder without a limit": lambda record: record["dynamodb"]["NewImage"].update({"h.slots": {"N": "5"}}),
    "a holder until text": lambda record: record["dynamodb"]["NewImage"].update(
        {"lim": {"M": {"slots": {"L": [{"N": "5"}, {"N": "0"}, {"N": "60000"}]}}}, "h.slots.a": {"S": "5"}}
    ),
    "bytes beside it": lambda record: record["dynamodb"]["NewImage"].update(note={"B": b"x"}),
}


def damaged(name: str) -> dict[str, Any]:
    before, after = bucket(7, u__rpm=5, v__rpm=NOW_MS * 60), bucket(8, u__rpm=6, g=1, v__rpm=NOW_MS * 60 + 60_000)
    record = copy.deepcopy(dict(stream_record(KEY, before, after)))
    DAMAGES[name](record)
    return record


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_record_is_no_change(name: str) -> None:
    with pytest.raises(UnreadableChange) as error:
        read_record(damaged(name))
    assert str(error.value)


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_record_is_reported_by_its_place_and_its_neighbours_are_counted(name: str) -> None:
    table, totals = StreamedMemory(), MemoryRepository()
    limiter = Limiter(table, clock=lambda: NOW_MS)
    limiter.set_limits("key-1", [Limit.per_minute("rpm", 60)])
    for _ in range(2):
        limiter.acquire("key-1", "gpt-4", {"rpm": 3})
    report = counting(totals, NOW_MS).count([table.records[0], damaged(name), table.records[1]])
    assert list(report.unreadable) == [1]
    assert (report.records, report.failures, report.duplicates, report.expired) == (3, {}, 0, 0)
    (record,) = reader(totals).usage("key-1", "gpt-4", "day").items
    assert (record.limits["rpm"].tokens, record.grants) == (6, 2)


def test_a_record_that_was_damaged_counts_when_it_comes_whole() -> None:
    table, totals = StreamedMemory(), MemoryRepository()
    limiter = Limiter(table, clock=lambda: NOW_MS)
    limiter.set_limits("key-1", [Limit.per_minute("rpm", 60)])
    for _ in range(3):
        limiter.acquire("key-1", "gpt-4", {"rpm": 3})
    first, second, third = table.records
    counter = counting(totals, NOW_MS)
    assert list(counter.count([first, {**second, "eventName": "TOUCH"}, third]).unreadable) == [1]
    assert reader(totals).usage("key-1", "gpt-4", "day").items[0].limits["rpm"].tokens == 6
    assert counter.count([second]).writes == 2
    assert reader(totals).usage("key-1", "gpt-4", "day").items[0].limits["rpm"].tokens == 9


@pytest.mark.parametrize("record", [{}, {"eventName": "MODIFY"}, {"eventName": "REMOVE", "dynamodb": {}}])
def test_what_is_no_record_is_reported(record: dict[str, object]) -> None:
    report = Aggregator(MemoryRepository(), clock=lambda: NOW_MS).count([record])
    assert (list(report.unreadable), report.groups, report.lag_ms) == ([0], 0, None)


def reader(table: MemoryRepository) -> Limiter:
    return Limiter(table, clock=lambda: NOW_MS + 1)


def test_the_last_moment_that_has_a_year_is_counted_in_every_window() -> None:
    totals = MemoryRepository()
    record = stream_record(KEY, None, bucket(8, LAST_MS, u__rpm=6))
    assert counting(totals, LAST_MS, UsagePlan(dict.fromkeys(WINDOWS, 1))).count([record]).writes == 4
    assert sorted(key.sk for key in totals.items) == [
        "day#9999-12-31T00:00Z",
        "hour#9999-12-31T23:00Z",
        "minute#9999-12-31T23:59Z",
        "month#9999-12-01T00:00Z",
    ]
