"""limits.yaml: what it may hold, what is refused and how, and that what is written reads back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from leasegate import Limit
from leasegate.declaration import Desired, InvalidDeclaration, parse, write, write_json
from leasegate.declaration.desired import UNMENTIONED, DesiredEntity, DesiredResource
from leasegate.declaration.shorthand import read_limit, write_limit
from leasegate.errors import InvalidRequest
from leasegate.http.limits import write_limits
from tests.declarations import concurrency_limits, declarations, limits, token_limits

RPM = Limit.per_minute("rpm", 60)
TPM = Limit.per_minute("tpm", 10_000, burst=20_000)


ID = "must be 1 to 256 characters of A-Z a-z 0-9 . _ : @ + -"
LIMITS = "must be limits by name, such as `rpm: 60 per minute`, or null where there are to be none"
NAME = "must be 1 to 32 characters of a-z 0-9 _ -"
UP_TO_A_TRILLION = "must be from 1 to 1000000000000"


def problems(text: str) -> list[str]:
    """Return what is wrong with a file, as people read it."""
    with pytest.raises(InvalidDeclaration) as refused:
        parse(text)
    return str(refused.value).splitlines()


def limits_of(text: str) -> object:
    """Return the system's limits of a file that has only those."""
    return parse(f"system: {text}").system


# --- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("60 per minute", RPM),
        ("60/minute", RPM),
        ("60 / 1 minutes", RPM),
        ("60 per 60 seconds", RPM),
        ("60 per 60000 ms", RPM),
        ("60/60000ms:60", RPM),
        ("1_000 per day burst 1_500", Limit.per_day("rpm", 1_000, burst=1_500)),
        ("1000/day:1500", Limit.per_day("rpm", 1_000, burst=1_500)),
        ("5 per 12 hours", Limit("rpm", 5, 5, 43_200_000)),
        ("20 concurrent for 60 seconds", Limit.concurrent("rpm", 20, 60)),
        (" 20  concurrent for 60seconds ", Limit.concurrent("rpm", 20, 60)),
        ("20 concurrent for 1 minute", Limit.concurrent("rpm", 20, 60)),
        ("1_000 concurrent for 1 days", Limit.concurrent("rpm", 1_000, 86_400)),
        ("1 concurrent for 86_400_000 ms", Limit.concurrent("rpm", 1, 86_400)),
    ],
)
def test_a_limit_in_words(text: str, limit: Limit) -> None:
    assert read_limit("rpm", text, "limit") == limit


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("60", "limit"),
        ("sixty per minute", "limit"),
        ("60 per fortnight", "limit"),
        ("60perminute", "limit"),
        ("60 per minute burst", "limit"),
        ("60 per minute, burst 3", "limit"),
        ("60.0 per minute", "limit"),
        ("-1 per minute", "limit"),
        ("٦ per minute", "limit"),
        ("0 per minute", "limit.amount"),
        ("1 per minute burst 0", "limit.burst"),
        (f"1{'0' * 40} per minute", "limit.amount"),
        ("1 per 0 minutes", "limit.period"),
        ("1 per 367 days", "limit.period_ms"),
        ("20 concurrent", "limit"),
        ("20 concurrent for minute", "limit"),
        ("20 concurrent for 60", "limit"),
        ("20 concurrent for 1 fortnight", "limit"),
        ("20 concurrent per minute", "limit"),
        ("20concurrent for 60 seconds", "limit"),
        ("20 concurrent for 60 seconds burst 30", "limit"),
        ("0 concurrent for 60 seconds", "limit.concurrent"),
        ("1001 concurrent for 60 seconds", "limit.concurrent"),
        pytest.param(f"1{'0' * 5_000} concurrent for 60 seconds", "limit.concurrent", id="endless number"),
        ("20 concurrent for 0 seconds", "limit.lease_seconds"),
        ("20 concurrent for 86401 seconds", "limit.lease_seconds"),
        ("20 concurrent for 2 days", "limit.lease_seconds"),
        ("20 concurrent for 1500 ms", "limit.lease_seconds"),
        pytest.param(f"20 concurrent for 1{'0' * 5_000} seconds", "limit.lease_seconds", id="endless time"),
    ],
)
def test_a_limit_that_is_no_limit_names_its_field(text: str, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_limit("rpm", text, "limit")
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (RPM, "60 per minute"),
        (TPM, "10000 per minute burst 20000"),
        (Limit("x", 5, 5, 1), "5 per ms"),
        (Limit("x", 5, 5, 1_500), "5 per 1500 ms"),
        (Limit("x", 5, 5, 43_200_000), "5 per 12 hours"),
        (Limit.concurrent("x", 20, 60), "20 concurrent for 1 minute"),
        (Limit.concurrent("x", 20, 1), "20 concurrent for 1 second"),
        (Limit.concurrent("x", 1_000, 90), "1000 concurrent for 90 seconds"),
        (Limit.concurrent("x", 1, 86_400), "1 concurrent for 1 day"),
    ],
)
def test_a_limit_is_written_in_the_longest_unit_that_fits(limit: Limit, text: str) -> None:
    assert write_limit(limit) == text


@given(token_limits("rpm") | concurrency_limits("rpm"))
def test_every_limit_reads_back_from_its_words(limit: Limit) -> None:
    assert read_limit("rpm", write_limit(limit), "limit") == limit


@pytest.mark.parametrize(
    "text",
    [
        "{rpm: 60 per minute, tpm: 10000 per minute burst 20000}",
        "{tpm: 10000/minute:20000, rpm: 60/minute}",
        "[rpm: 60 per minute, tpm: 10000/minute:20000]",
        '[{"name": "rpm", "amount": 60, "period": "minute"},'
        ' {"name": "tpm", "capacity": 20000, "amount": 10000, "period_ms": 60000}]',
        "{rpm: {amount: 60, period: minute}, tpm: {amount: 10_000, period: minute, burst: 20_000}}",
        "[rpm: {capacity: 60, amount: 60, period_ms: 60000},"
        " {name: tpm, amount: 10000, period: minute, burst: 20000}]",
    ],
)
def test_limits_may_be_given_by_name_or_as_a_list_in_words_or_in_fields(text: str) -> None:
    assert limits_of(text) == (RPM, TPM)


@pytest.mark.parametrize(
    "text",
    [
        "{streams: 20 concurrent for 60 seconds, rpm: 60 per minute}",
        "{streams: {concurrent: 20, lease_seconds: 60}, rpm: 60/minute}",
        "[streams: 20 concurrent for 1 minute, rpm: 60/minute]",
        "[streams: {concurrent: 20, lease_seconds: 60}, rpm: 60/minute]",
        '[{"name": "streams", "concurrent": 20, "lease_seconds": 60}, rpm: 60/minute]',
    ],
)
def test_concurrency_limits_may_be_given_in_all_these_ways_too(text: str) -> None:
    assert limits_of(text) == (RPM, Limit.concurrent("streams", 20, 60))


def test_null_says_that_there_are_to_be_none() -> None:
    assert limits_of("null") == ()
    assert parse("resources: {gpt-4: {limits: ~}}").resources["gpt-4"].limits == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", f"system: {LIMITS}; it is empty"),
        ("{}", "system: must hold at least one limit"),
        ("60 per minute", f"system: {LIMITS}"),
        ("{RPM: 60 per minute}", f"system.RPM: {NAME}"),
        ("[60 per minute]", "system[0]: must be a limit, such as `rpm: 60 per minute`"),
        ("[rpm: 60/minute, rpm: 60/minute]", "system: names rpm twice"),
        ("{rpm: 60/minute, rpm: 60/minute}", "system.rpm: is given twice; the first time in line 1"),
        ("[{amount: 60, period: minute}]", "system[0].name: is required"),
        ("[{name: RPM, amount: 60, period: minute}]", f"system[0].name: {NAME}"),
        ("[{name: rpm, amount: 60}]", "system[0].period: is required"),
        ("{rpm: {amount: 60, period: week}}", "system.rpm.period: must be one of second, minute, hour, day"),
        (
            "{rpm: {amount: 60, period: minute, capacity: 3}}",
            "system.rpm.capacity: is unknown; the fields are amount, period, burst",
        ),
        ("{rpm: {amount: '60', period: minute}}", "system.rpm.amount: must be a whole number"),
        ("{rpm: {amount: 60.0, period: minute}}", "system.rpm.amount: must be a whole number"),
        ("{rpm: {amount: 060, period: minute}}", "system.rpm.amount: must be a whole number"),
        ("{rpm: {amount: 0, period: minute}}", f"system.rpm.amount: {UP_TO_A_TRILLION}, not 0"),
        (
            "{rpm: {capacity: 1, amount: 1, period_ms: -1}}",
            "system.rpm.period_ms: must be from 1 to 31622400000, not -1",
        ),
        (
            "{streams: 20 concurrent for 1 week}",
            "system.streams: must be for ms, second, minute, hour, day, not for week",
        ),
        ("{streams: 20 concurrent for 1500 ms}", "system.streams.lease_seconds: must be whole seconds"),
        ("{streams: 0 concurrent for 1 minute}", "system.streams.concurrent: must be from 1 to 1000, not 0"),
        ("{streams: {concurrent: 20}}", "system.streams.lease_seconds: is required"),
        ("{streams: {lease_seconds: 60}}", "system.streams.concurrent: is required"),
        (
            "{streams: {concurrent: 20, lease_seconds: 60, burst: 30}}",
            "system.streams.burst: is unknown; the fields are concurrent, lease_seconds",
        ),
        (
            "[{name: streams, concurrent: 20, lease_seconds: 60, amount: 1}]",
            "system[0].amount: is unknown; the fields are name, concurrent, lease_seconds",
        ),
        (
            "{streams: {concurrent: 1001, lease_seconds: 60}}",
            "system.streams.concurrent: must be from 1 to 1000, not 1001",
        ),
        (
            "[{name: streams, concurrent: 20, lease_seconds: 86401}]",
            "system[0].lease_seconds: must be from 1 to 86400, not 86401",
        ),
        (
            "{streams: {concurrent: 20, lease_seconds: 0.5}}",
            "system.streams.lease_seconds: must be a whole number",
        ),
        ("!!set {rpm}", "system: has the tag tag:yaml.org,2002:set; tags mean nothing here"),
    ],
)
def test_wrong_limits_are_refused_by_path_and_line(text: str, problem: str) -> None:
    assert problems(f"\nsystem: {text}") == [f"limits.yaml:2: {problem}".replace("line 1", "line 2")]


def test_seventeen_limits_are_one_too_many() -> None:
    text = ", ".join([f"limit-{number}: 1/day" for number in range(17)])
    assert problems(f"system: {{{text}}}") == ["limits.yaml:1: system: must hold at most 16 limits, not 17"]


# --- everything else ---------------------------------------------------------------------------------


def test_a_file_may_say_everything() -> None:
    desired = parse("""
        system:
          rpm: 60 per minute
        resources:
          gpt-3.5:
            disabled: true
          gpt-4:
            limits: {tpm: 10000/minute:20000}
            disabled: false
        entities:
          project-1:
            name: Project one
            metadata: {team: a, cost: 1.10, on: no}
            parent: null
          key-1:
            parent: project-1
            name: ~
            disabled: ["*", gpt-3.5]
            limits:
              "*": {rpm: 60/minute}
              gpt-4: null
          key-2: {disabled: true}
          key-3: {disabled: false, metadata: null}
    """)

    assert desired == Desired(
        system=(RPM,),
        resources={
            "gpt-3.5": DesiredResource(disabled=True),
            "gpt-4": DesiredResource(limits=(TPM,), disabled=False),
        },
        entities={
            "project-1": DesiredEntity(
                parent_id=None, name="Project one", metadata={"team": "a", "cost": "1.10", "on": "no"}
            ),
            "key-1": DesiredEntity(
                parent_id="project-1",
                name=None,
                limits={None: (RPM,), "gpt-4": ()},
                disabled=frozenset({None, "gpt-3.5"}),
            ),
            "key-2": DesiredEntity(disabled=frozenset({None})),
            "key-3": DesiredEntity(disabled=frozenset(), metadata={}),
        },
    )


@pytest.mark.parametrize("text", ["", "# nothing", "{}", "null", "---\n"])
def test_an_empty_file_mentions_nothing(text: str) -> None:
    assert parse(text) == Desired()


@pytest.mark.parametrize("name", ["007", "on", "12:30", "1e3", "null", "0x1F", "true", "2026-11-21"])
def test_an_id_stays_as_it_was_typed(name: str) -> None:
    desired = parse(f"entities: {{{name}: {{}}, child: {{parent: '{name}'}}}}")

    assert list(desired.entities) == [name, "child"]
    assert desired.entities["child"].parent_id == name


def test_limits_may_be_shared_by_an_alias() -> None:
    desired = parse("resources: {a: {limits: &standard {rpm: 60/minute}}, b: {limits: *standard}}")

    assert desired.resources["a"] == desired.resources["b"] == DesiredResource(limits=(RPM,))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("limits: {}", "limits: is unknown; the fields are system, resources, entities"),
        ("[]", "must be a mapping with the fields system, resources, entities"),
        ("resources: [gpt-4]", "resources: must be a mapping with ids for names"),
        ("resources: {gpt 4: {}}", f"resources.gpt 4: {ID}"),
        (
            "resources: {gpt-4: {rpm: 60/minute}}",
            "resources.gpt-4.rpm: is unknown; the fields are limits, disabled",
        ),
        ("resources: {gpt-4: {disabled: yes}}", "resources.gpt-4.disabled: must be true or false"),
        ("resources: {gpt-4: {disabled: 'true'}}", "resources.gpt-4.disabled: must be true or false"),
        ("resources: {[a]: {}}", "resources: has a name that is no text"),
        ("entities: {a: {}, a: {}}", "entities.a: is given twice; the first time in line 1"),
        (
            "entities: {a: }",
            "entities.a: must be a mapping with the fields parent, name, metadata, disabled, limits; it is empty",
        ),
        ("entities: {a: {limits: {rpm: 60/minute}}}", f"entities.a.limits.rpm: {LIMITS}"),
        (
            "entities: {a: {parent: }}",
            "entities.a.parent: must be an entity's id, or null for an entity at the top; it is empty",
        ),
        ("entities: {a: {parent: b c}}", f"entities.a.parent: {ID}"),
        ("entities: {a: {parent: a}}", "entities.a.parent: makes a its own ancestor"),
        (
            "entities: {a: {name: ''}}",
            "entities.a.name: must be a string of 1 to 256 characters, and no halves of any",
        ),
        ("entities: {a: {name: [b]}}", "entities.a.name: must be a text, or null for none"),
        (
            "entities: {a: {metadata: {b: null}}}",
            "entities.a.metadata.b: must be a text; write null in quotes if that is meant",
        ),
        (
            f"entities: {{a: {{metadata: {{b: {'x' * 257}}}}}}}",
            "entities.a.metadata.b: must be a string of 0 to 256 characters, and no halves of any",
        ),
        (
            "entities: {a: {disabled: sometimes}}",
            "entities.a.disabled: must be true, false or a list of resources",
        ),
        ("entities: {a: {disabled: [b c]}}", f"entities.a.disabled[0]: {ID}"),
        ("a: b: c", "is no YAML: mapping values are not allowed in this context"),
        ("--- a\n--- b", "is no YAML: expected a single document in the stream, but found another document"),
    ],
)
def test_what_is_wrong_is_refused_by_path_and_line(text: str, problem: str) -> None:
    (found,) = problems(text)
    assert found.partition(": ")[2] == problem


@pytest.mark.parametrize(
    "text",
    [pytest.param("{" * 3_000, id="deep"), "a: &x [*x]", "\x00", "a: !!python/object:os.system {}", "? ? ?"],
)
def test_nothing_makes_the_reader_fail_otherwise(text: str) -> None:
    assert problems(text)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_lines() -> None:
    text = """
system: {rpm: often}
entities:
  a: {parent: b, limits: {gpt-4: [{name: rpm, capacity: 0, amount: 1, period_ms: 1}]}}
  b: {parent: a}
  c: {nme: C}
"""
    assert problems(text) == [
        'limits.yaml:2: system.rpm: must be written as "60 per minute" or "60/minute", with a burst'
        ' "60 per minute burst 120" or "60/minute:120", or of leases "20 concurrent for 60 seconds"',
        "limits.yaml:4: entities.a.limits.gpt-4[0].capacity: must be from 1 to 1000000000000, not 0",
        "limits.yaml:4: entities.a.parent: makes a its own ancestor",
        "limits.yaml:5: entities.b.parent: makes b its own ancestor",
        "limits.yaml:6: entities.c.nme: is unknown; the fields are parent, name, metadata, disabled, limits",
    ]


def test_a_fifth_level_is_refused_as_far_as_the_file_knows() -> None:
    text = "entities: {a: {parent: b}, b: {parent: c}, c: {parent: d}, d: {parent: e}}"

    assert problems(text) == ["limits.yaml:1: entities.a.parent: puts a on level 5 of 4: a < b < c < d < e"]


# --- writing ---------------------------------------------------------------------------------------


@given(declarations())
def test_what_is_written_reads_back(desired: Desired) -> None:
    assert parse(write(desired)) == desired


@given(limits())
def test_limits_in_the_json_of_the_http_interface_are_a_file(given_limits: tuple[Limit, ...]) -> None:
    assert parse(json.dumps({"system": write_limits(given_limits)})).system == given_limits


@given(declarations())
def test_what_is_written_as_json_reads_back_too(desired: Desired) -> None:
    text = write_json(desired)

    assert isinstance(json.loads(text), dict)
    assert parse(text) == desired


def test_what_is_not_mentioned_is_not_written() -> None:
    desired = Desired(entities={"a": DesiredEntity(), "b": DesiredEntity(name="B")})

    assert desired.system is UNMENTIONED
    assert write(desired) == "entities:\n  a: {}\n  b:\n    name: B\n"
