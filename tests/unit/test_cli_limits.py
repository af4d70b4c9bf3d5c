"""`leasegate limits` get, set, delete, list, resolve."""

from __future__ import annotations

import pytest

from leasegate import Limit
from tests.command import Command

RPM = Limit.per_minute("rpm", 60)
TPM = Limit.per_minute("tpm", 10_000, burst=20_000)
RPM_JSON = {"name": "rpm", "capacity": 60, "amount": 60, "period_ms": 60_000}
TPM_JSON = {"name": "tpm", "capacity": 20_000, "amount": 10_000, "period_ms": 60_000}

LEVELS = [
    ("--system",),
    ("--resource", "gpt-4"),
    ("--entity", "key-1"),
    ("--entity", "key-1", "--resource", "gpt-4"),
]


@pytest.fixture
def leasegate() -> Command:
    return Command()


@pytest.mark.parametrize("level", LEVELS)
def test_limits_are_set_shown_and_deleted_on_every_level(leasegate: Command, level: tuple[str, ...]) -> None:
    assert leasegate.json("limits", "set", *level, "rpm=60/minute", "tpm=10000/minute:20000") == {
        "limits": [RPM_JSON, TPM_JSON]
    }
    assert leasegate.json("limits", "get", *level) == {"limits": [RPM_JSON, TPM_JSON]}
    for other in LEVELS:
        leasegate("limits", "get", *other, exit_code=0 if other == level else 4)
    assert leasegate.json("limits", "delete", *level) == {"deleted": True}
    assert "has no limits" in leasegate.refused("limits", "delete", *level, exit_code=4)
    assert "has no limits" in leasegate.refused("limits", "get", *level, exit_code=4)


def test_limits_are_shown_as_they_are_typed_in_files(leasegate: Command) -> None:
    leasegate.limiter.set_system_defaults([RPM, TPM])

    assert leasegate.lines("limits", "get", "--system") == [
        "limit   allows",
        "────────────────────────────────────",
        "rpm     60 per minute",
        "tpm     10000 per minute burst 20000",
    ]


def test_a_concurrency_limit_is_set_in_words_and_shown_so(leasegate: Command) -> None:
    words = "streams=20 concurrent for 90 seconds"
    answer = leasegate("limits", "set", "--system", words, "rpm=60/minute").stdout
    assert answer == "Set on the system: streams 20 concurrent for 90 seconds, rpm 60 per minute.\n"
    assert leasegate.json("limits", "get", "--system") == {
        "limits": [RPM_JSON, {"name": "streams", "concurrent": 20, "lease_seconds": 90}]
    }
    assert leasegate.lines("limits", "get", "--system")[2:] == [
        "rpm       60 per minute",
        "streams   20 concurrent for 90 seconds",
    ]


@pytest.mark.parametrize(
    ("level", "answer"),
    [
        (LEVELS[0], "Set on the system: rpm 60 per minute.\n"),
        (LEVELS[1], "Set on resource gpt-4: rpm 60 per minute.\n"),
        (LEVELS[2], "Set on entity key-1 for all resources: rpm 60 per minute.\n"),
        (LEVELS[3], "Set on entity key-1 for gpt-4: rpm 60 per minute.\n"),
    ],
)
def test_setting_says_where(leasegate: Command, level: tuple[str, ...], answer: str) -> None:
    assert leasegate("limits", "set", *level, "rpm=60/minute").stdout == answer


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("set", "rpm=60/minute"), "whose limits? Give --entity, --resource, both, or --system"),
        (("get",), "whose limits? Give --entity, --resource, both, or --system"),
        (("delete", "--system", "--entity", "a"), "--system stands alone, without --entity or --resource"),
        (("set", "--system"), "Missing argument 'NAME=LIMIT...'."),
        (("set", "--system", "rpm"), "rpm: must be written as name=60/minute, with a burst name=60/minute:120"),
        (("set", "--system", "rpm=60"), "rpm: must be written as "),
        (("set", "--system", "rpm=0/day"), "rpm.amount: must be from 1 to 1000000000000, not 0"),
        (("set", "--system", "rpm=60"), 'or of leases "20 concurrent for 60 seconds"'),
        (("set", "--system", "rpm"), 'or of leases "name=20 concurrent for 60 seconds"'),
        (("set", "--system", "s=0 concurrent for 1 day"), "s.concurrent: must be from 1 to 1000, not 0"),
        (("set", "--system", "s=1 concurrent for 2 days"), "s.lease_seconds: must be from 1 to 86400, not 172800"),
        (("set", "--system", "RPM=1/day"), "RPM: must be 1 to 32 characters of a-z 0-9 _ -"),
        (("set", "--system", "rpm=1/day", "rpm=2/day"), "limits: names rpm twice"),
        (("set", "--entity", "a b", "rpm=1/day"), "entity_id: must be 1 to 256 characters of"),
        (("set", "--resource", "a/b", "rpm=1/day"), "resource: must be 1 to 256 characters of"),
        (("get", "--entity", ""), "entity_id: must be 1 to 256 characters of"),
        (("list", "--limit", "0"), "0 is not in the range x>=1."),
        (("resolve", "key-1", "a b"), "resource: must be 1 to 256 characters of"),
    ],
)
def test_bad_input_is_named(leasegate: Command, arguments: tuple[str, ...], complaint: str) -> None:
    assert complaint in leasegate.refused("limits", *arguments)


def test_the_defaults_of_the_system_and_all_resources_are_listed(leasegate: Command) -> None:
    assert leasegate("limits", "list").stdout == "No limits.\n"
    leasegate.limiter.set_system_defaults([RPM])
    leasegate.limiter.set_resource_defaults("gpt-4", [TPM])
    leasegate.limiter.set_resource_defaults("gpt-3", [RPM, TPM])

    assert leasegate.lines("limits", "list")[2:] == [
        "the system       rpm 60 per minute",
        "resource gpt-3   rpm 60 per minute, tpm 10000 per minute burst 20000",
        "resource gpt-4   tpm 10000 per minute burst 20000",
    ]
    assert leasegate.json("limits", "list", "--limit", "1") == {
        "items": [
            {"entity_id": None, "resource": None, "limits": [RPM_JSON]},
            {"entity_id": None, "resource": "gpt-3", "limits": [RPM_JSON, TPM_JSON]},
        ],
        "complete": False,
    }


def test_an_entitys_limits_are_listed_and_a_listing_that_is_cut_says_so(leasegate: Command) -> None:
    leasegate.limiter.set_limits("key-1", [RPM])
    leasegate.limiter.set_limits("key-1", [TPM], "gpt-4")

    assert leasegate.lines("limits", "list", "--entity", "key-1")[2:] == [
        "entity key-1 for all resources   rpm 60 per minute",
        "entity key-1 for gpt-4           tpm 10000 per minute burst 20000",
    ]
    cut = leasegate("limits", "list", "--entity", "key-1", "--limit", "1")
    assert "gpt-4" not in cut.stdout
    assert cut.stderr == "Only the first 1 are shown; leave out --limit for all.\n"


def test_the_level_that_wins_is_told_with_its_reason(leasegate: Command) -> None:
    leasegate.limiter.set_system_defaults([RPM])
    leasegate.limiter.set_limits("key-1", [TPM])

    assert leasegate.lines("limits", "resolve", "key-1", "gpt-4") == [
        "Limits are set on entity key-1 for all resources; none are set on entity key-1 for gpt-4.",
        "limit   allows",
        "────────────────────────────────────",
        "tpm     10000 per minute burst 20000",
    ]
    answer = leasegate.json("limits", "resolve", "key-1", "gpt-4")
    assert (answer["level"], answer["limits"], answer["disabled"]) == ("entity", [TPM_JSON], False)
    assert answer["levels"] == {"entity": [TPM_JSON], "system": [RPM_JSON]}


def test_what_is_disabled_or_without_limits_is_told(leasegate: Command) -> None:
    leasegate.limiter.disable_entity("key-1")

    assert leasegate.lines("limits", "resolve", "key-1", "gpt-4") == [
        "No level has limits: those given with a call hold.",
        "Disabled: nothing may be spent, whatever the limits say.",
    ]
