"""`leasegate` acquire, available, resources, audit and backfill."""

from __future__ import annotations

import pytest

from leasegate import Limit, schema
from leasegate.operations import Discard, Update
from leasegate.repository.memory import MemoryRepository
from tests.command import NOON_MS, Command

ASK = ("acquire", "key-1", "gpt-4", "rpm=1", "tpm=500")


@pytest.fixture
def leasegate() -> Command:
    command = Command()
    command.limiter.create_entity("project-1")
    command.limiter.create_entity("key-1", "project-1")
    command.limiter.set_limits("project-1", [Limit.per_minute("tpm", 5_000)])
    command.limiter.set_resource_defaults("gpt-4", [Limit.per_minute("rpm", 2), Limit.per_minute("tpm", 10_000)])
    command.limiter.set_limits("key-1", [Limit.per_minute("rpm", 2), Limit.per_minute("tpm", 10_000)], "gpt-4")
    return command


# --- acquire and available -------------------------------------------------------------------------


def test_a_grant_shows_what_is_left(leasegate: Command) -> None:
    assert leasegate.lines(*ASK) == [
        "Granted.",
        "entity      limit   left      of   allows",
        "───────────────────────────────────────────────────",
        "key-1       rpm        1       2   2 per minute",
        "key-1       tpm     9500   10000   10000 per minute",
        "project-1   tpm     4500    5000   5000 per minute",
    ]


def test_a_grant_in_json(leasegate: Command) -> None:
    answer = leasegate.json(*ASK)

    assert (answer["granted"], answer["consumed"]) == (True, {"rpm": 1, "tpm": 500})
    assert answer["limits"]["tpm"] == {
        "available": 9_500,
        "capacity": 10_000,
        "retry_after_ms": 0,
    }
    (above,) = answer["ancestors"]
    assert (above["entity_id"], above["limits"]["tpm"]["available"]) == ("project-1", 4_500)


def test_a_refusal_ends_with_1_and_says_when_to_come_back(leasegate: Command) -> None:
    leasegate(*ASK)
    leasegate(*ASK)

    assert leasegate.lines(*ASK, exit_code=1)[0] == "Refused by rpm of key-1. Retry after 30000 ms."
    answer = leasegate.json(*ASK, exit_code=1)
    assert answer["granted"] is False
    assert answer["retry_after_ms"] == 30_000
    assert answer["refusals"] == [{"entity_id": "key-1", "limit": "rpm"}]
    assert answer["limits"]["rpm"]["available"] == 0


def test_what_is_disabled_is_a_refusal(leasegate: Command) -> None:
    leasegate("resources", "disable", "gpt-4")

    assert leasegate.lines(*ASK, exit_code=1) == ["Refused: resource gpt-4 is disabled."]
    assert leasegate.json(*ASK, exit_code=1) == {"granted": False, "reason": "resource gpt-4 is disabled"}


def test_ancestors_may_be_left_out_and_limits_be_given(leasegate: Command) -> None:
    leasegate(*ASK, "--no-cascade", "--parent", "project-1")
    assert leasegate.limiter.available("project-1", "gpt-4")["tpm"].available == 5_000

    answer = leasegate.json("acquire", "key-9", "gpt-9", "rpm=1", "--limits", "rpm=3/minute:7")
    assert answer["limits"]["rpm"]["available"] == 6


def test_places_of_a_concurrency_limit_are_taken_and_shown_like_tokens(leasegate: Command) -> None:
    leasegate("limits", "set", "--entity", "key-9", "streams=2 concurrent for 60 seconds")
    ask = ("acquire", "key-9", "gpt-9", "streams=1")

    assert leasegate.lines(*ask) == [
        "Granted.",
        "entity   limit     left   of   allows",
        "────────────────────────────────────────────────────────",
        "key-9    streams      1    2   2 concurrent for 1 minute",
    ]
    assert leasegate.json(*ask)["limits"]["streams"]["available"] == 0
    assert leasegate.lines(*ask, exit_code=1)[0] == "Refused by streams of key-9. Retry after 1000 ms."
    assert leasegate.lines("entity", "buckets", "key-9")[2:] == ["gpt-9      entity        streams      0    2"]
    leasegate.now_ms += 60_000
    assert leasegate.lines("available", "key-9", "gpt-9")[2:] == [
        "key-9    streams      2    2   2 concurrent for 1 minute"
    ]


def test_what_is_left_is_shown_and_not_spent(leasegate: Command) -> None:
    assert leasegate.lines("available", "key-1", "gpt-4")[2:] == [
        "key-1       rpm         2       2   2 per minute",
        "key-1       tpm     10000   10000   10000 per minute",
        "project-1   tpm      5000    5000   5000 per minute",
    ]
    answer = leasegate.json("available", "key-9", "gpt-9", "--limits", "rpm=3/minute")
    assert answer["limits"]["rpm"]["available"] == 3


@pytest.mark.parametrize(
    ("arguments", "exit_code", "complaint"),
    [
        (("acquire", "key-1", "gpt-4"), 2, "Missing argument 'NAME=TOKENS...'."),
        (("acquire", "key-1", "gpt-4", "rpm=one"), 2, "rpm=one: must be written as name=500"),
        (("acquire", "key-1", "gpt-4", "dpm=1"), 2, "leasegate: consume.dpm: "),
        (("acquire", "key-1", "gpt-4", "rpm=3"), 2, "leasegate: consume.rpm: 3 is above the capacity of key-1, 2"),
        (("acquire", "key-1", "gpt-4", "rpm=1", "rpm=1"), 2, "leasegate: consume.rpm: is given twice"),
        (("acquire", "key-9", "gpt-9", "rpm=1"), 4, "leasegate: no limits are configured for entity key-9"),
        (("acquire", "key-9", "gpt-9", "rpm=1", "--limits", "rpm"), 2, "rpm: must be written as name=60/minute"),
        (("available", "key-9", "gpt-9"), 4, "leasegate: no limits are configured for entity key-9"),
        (("available", "key 9", "gpt-9"), 2, "leasegate: entity_id: must be 1 to 256 characters"),
        (("resources", "get", "a b"), 2, "leasegate: resource: must be 1 to 256 characters"),
        (("resources", "disable", "a b"), 2, "leasegate: resource: must be 1 to 256 characters"),
        (("resources", "enable", "a b"), 2, "leasegate: resource: must be 1 to 256 characters"),
        (("resources", "list", "all"), 2, "unexpected extra argument"),
        (("audit", "key-1"), 2, 'leasegate: scope: must be "system", "resource:{id}" or "entity:{id}"'),
        (("audit", "system", "--limit", "0"), 2, "0 is not in the range x>=1."),
        (("backfill", "--segments", "33"), 2, "33 is not in the range 1<=x<=32."),
    ],
)
def test_bad_input_is_named(
    leasegate: Command, arguments: tuple[str, ...], exit_code: int, complaint: str
) -> None:
    assert complaint in leasegate.refused(*arguments, exit_code=exit_code)


# --- resources ---------------------------------------------------------------------------------------


def test_resources_are_listed_shown_disabled_and_enabled(leasegate: Command) -> None:
    assert leasegate.json("resources", "list") == {"items": ["gpt-4"]}
    assert leasegate.lines("resources", "list")[2:] == ["gpt-4"]
    assert leasegate("resources", "disable", "gpt-3").stdout == "Disabled gpt-3 for everybody.\n"
    assert leasegate("resources", "disable", "gpt-3").stdout == "gpt-3 was disabled already.\n"
    assert leasegate.json("resources", "get", "gpt-3") == {
        "resource": "gpt-3",
        "limits": [],
        "disabled_at_ms": NOON_MS,
    }
    assert leasegate.json("resources", "enable", "gpt-3") == {"disabled": False, "changed": True}
    assert leasegate("resources", "enable", "gpt-3").stdout == "gpt-3 was not disabled.\n"
    assert leasegate.lines("resources", "get", "gpt-4")[2:] == [
        "defaults   rpm 2 per minute, tpm 10000 per minute",
        "disabled   no",
    ]


def test_no_resource_has_defaults_in_an_empty_table() -> None:
    assert Command()("resources", "list").stdout == "No resource has defaults.\n"


# --- audit -------------------------------------------------------------------------------------------


def test_the_audit_shows_who_did_what_the_latest_first(leasegate: Command) -> None:
    leasegate.now_ms += 1_234
    leasegate("limits", "set", "--entity", "key-1", "rpm=5/day", "--actor", "ann")
    leasegate("entity", "disable", "key-1", "--resource", "gpt-3", "--actor", "bob")

    shown = leasegate.lines("audit", "entity:key-1")
    assert shown[0].split() == ["when", "who", "what", "resource", "before", "after"]
    changes = sorted(line.split()[2:6] for line in shown[2:4])
    assert changes == [["ann", "set_limits", "rpm", "5"], ["bob", "disable", "gpt-3", "disabled"]]
    assert all(line.startswith("2026-01-01 12:00:01.234Z") for line in shown[2:4])
    records = leasegate.json("audit", "entity:key-1", "--limit", "2")
    assert {(one["actor"], one["action"], one["resource"]) for one in records["items"]} == {
        ("ann", "set_limits", None),
        ("bob", "disable", "gpt-3"),
    }
    assert records["complete"] is False
    assert "rpm 5 per day" in leasegate("audit", "entity:key-1").stdout
    assert "Only the first 1 are shown" in leasegate("audit", "entity:key-1", "--limit", "1").stderr
    assert leasegate("audit", "entity:key-9").stdout == "No changes.\n"


def test_the_audit_shows_limits_of_both_kinds_as_they_are_typed(leasegate: Command) -> None:
    leasegate.now_ms += 1
    leasegate("limits", "set", "--entity", "key-1", "rpm=5/day", "streams=20 concurrent for 90 seconds")
    leasegate.now_ms += 1
    leasegate("limits", "delete", "--entity", "key-1")

    latest = leasegate.lines("audit", "entity:key-1")[2:4]
    assert all("rpm 5 per day, streams 20 concurrent for 90 seconds" in line for line in latest)


# --- backfill ----------------------------------------------------------------------------------------


def test_the_backfill_lists_what_the_registry_lacks() -> None:
    repository = MemoryRepository()
    leasegate = Command(repository)
    leasegate.limiter.set_resource_defaults("gpt-4", [Limit.per_minute("rpm", 2)])
    forget = Update(schema.registry_key(), (Discard(schema.REGISTRY_RESOURCES, frozenset({"gpt-4"})),))
    repository.execute((forget,), timeout_ms=0)
    assert leasegate.json("resources", "list") == {"items": []}

    dry = leasegate.lines("backfill", "--dry-run")
    assert dry[0].split("   ") == ["scanned", "with defaults", "would be added", "would be removed"]
    assert leasegate.json("resources", "list") == {"items": []}
    report = leasegate.json("backfill", "--prune", "--segments", "2")
    assert (report["status"], report["found"], report["added"], report["removed"]) == ("complete", 1, 1, 0)
    assert leasegate.json("resources", "list") == {"items": ["gpt-4"]}
