"""`leasegate entity`: create, show, change, list, switch off, fill up, delete."""

from __future__ import annotations

import pytest

from leasegate import Limit
from leasegate.errors import EntityNotFound
from tests.command import NOON_MS, Command


@pytest.fixture
def leasegate() -> Command:
    """Provide a table with a project, its key, and a bucket of the key that is nearly spent."""
    command = Command()
    command.limiter.create_entity("project-1")
    command.limiter.create_entity("key-1", "project-1", name="One", metadata={"team": "a"})
    command.limiter.set_limits("key-1", [Limit.per_day("rpm", 10), Limit.per_day("tpm", 100)])
    command.limiter.acquire("key-1", "gpt-4", {"rpm": 9, "tpm": 99})
    return command


def test_an_entity_is_created_under_a_parent(leasegate: Command) -> None:
    arguments = ("--parent", "project-1", "--name", "Two", "--metadata", "team=b", "--metadata", "note=x=y")

    assert leasegate("entity", "create", "key-2", *arguments).stdout == "Created key-2, a child of project-1.\n"
    record = leasegate.limiter.get_entity("key-2")
    assert (record.parent_id, record.name, record.metadata) == ("project-1", "Two", {"team": "b", "note": "x=y"})
    assert leasegate.json("entity", "create", "key-3") == {"entity_id": "key-3", "parent_id": None}


def test_an_entity_is_shown(leasegate: Command) -> None:
    leasegate.limiter.disable_entity("key-1", "gpt-3")

    assert leasegate.lines("entity", "get", "key-1") == [
        "field                value",
        "─────────────────────────────────────────────",
        "id                   key-1",
        "parent               project-1",
        "name                 One",
        "metadata.team        a",
        "created              2026-01-01 12:00:00.000Z",
        "disabled for gpt-3   2026-01-01 12:00:00.000Z",
        "children             0",
        "buckets              1",
    ]
    assert leasegate.json("entity", "get", "key-1") == {
        "entity_id": "key-1",
        "parent_id": "project-1",
        "name": "One",
        "metadata": {"team": "a"},
        "created_at_ms": NOON_MS,
        "disabled_at_ms": None,
        "disabled_resources": {"gpt-3": NOON_MS},
        "children": 0,
        "buckets": 1,
        "is_being_deleted": False,
        "has_pending_changes": False,
    }


def test_what_steers_a_terminal_is_shown_and_not_obeyed(leasegate: Command) -> None:
    leasegate.limiter.update_entity("key-1", name="\x1b[31m[bold]red\n:smile:")

    assert r"\x1b[31m[bold]red\n:smile:" in leasegate("entity", "get", "key-1").stdout


def test_an_entity_is_changed_as_far_as_is_said(leasegate: Command) -> None:
    leasegate("entity", "update", "key-1", "--metadata", "a=b")
    assert leasegate.limiter.get_entity("key-1").metadata == {"team": "a", "a": "b"}
    leasegate("entity", "update", "key-1", "--no-name", "--remove-metadata", "team")
    record = leasegate.limiter.get_entity("key-1")
    assert (record.name, record.metadata) == (None, {"a": "b"})
    assert leasegate.json("entity", "update", "key-1", "--name", "Uno") == {"entity_id": "key-1"}
    assert leasegate.limiter.get_entity("key-1").name == "Uno"


def test_an_entity_is_moved(leasegate: Command) -> None:
    assert leasegate("entity", "move", "key-1", "--to-top").stdout == "Moved key-1 to the top.\n"
    assert leasegate.limiter.get_entity("key-1").parent_id is None
    assert leasegate.json("entity", "move", "key-1", "--to", "project-1")["parent_id"] == "project-1"
    assert leasegate.limiter.get_entity("key-1").parent_id == "project-1"


def test_entities_and_children_are_listed_whole_or_cut_with_a_note(leasegate: Command) -> None:
    for number in range(1_050):
        leasegate.limiter.create_entity(f"e-{number:04}")

    answer = leasegate.json("entity", "list")
    assert len(answer["items"]) == 1_051
    assert answer["complete"]
    cut = leasegate("entity", "list", "--limit", "2")
    assert [line.rstrip() for line in cut.stdout.splitlines()[2:]] == ["e-0000", "e-0001"]
    assert cut.stderr == "Only the first 2 are shown; leave out --limit for all.\n"
    assert not leasegate.json("entity", "list", "--limit", "2")["complete"]
    assert leasegate.json("entity", "children", "project-1") == {"items": ["key-1"], "complete": True}
    assert leasegate("entity", "children", "key-1").stdout == "No entities.\n"


def test_buckets_are_shown(leasegate: Command) -> None:
    assert leasegate.lines("entity", "buckets", "key-1")[2:] == [
        "gpt-4      entity        rpm        1    10",
        "gpt-4      entity        tpm        1   100",
    ]
    (bucket,) = leasegate.json("entity", "buckets", "key-1")["items"]
    assert (bucket["resource"], bucket["source"], bucket["limits"]["rpm"]["available"]) == ("gpt-4", "entity", 1)
    assert leasegate("entity", "buckets", "project-1").stdout == "No buckets.\n"


def test_an_entity_is_disabled_and_enabled(leasegate: Command) -> None:
    assert leasegate("entity", "disable", "key-1").stdout == "Disabled key-1 for all resources.\n"
    assert leasegate.json("entity", "disable", "key-1") == {"disabled": True, "changed": False}
    assert leasegate("entity", "disable", "key-1").stdout == "key-1 for all resources: was disabled already.\n"
    assert leasegate.json("entity", "disable", "key-1", "--resource", "gpt-4")["changed"]
    assert leasegate("entity", "enable", "key-1").stdout == "Enabled key-1 for all resources.\n"
    assert leasegate("entity", "enable", "key-1").stdout == "key-1 for all resources: was not disabled.\n"
    assert leasegate.json("entity", "enable", "key-1", "--resource", "gpt-4") == {
        "disabled": False,
        "changed": True,
    }


def test_a_bucket_is_topped_up_once_for_each_operation(leasegate: Command) -> None:
    arguments = ("entity", "top-up", "key-1", "gpt-4", "rpm=2", "tpm=5", "--operation-id", "monday")

    assert leasegate(*arguments).stdout == "Added 2 rpm, 5 tpm to key-1 for gpt-4.\n"
    assert leasegate(*arguments).stdout == "Nothing was done: an operation of this id was done before.\n"
    assert leasegate.json(*arguments) == {"done": False}
    assert leasegate.limiter.available("key-1", "gpt-4")["rpm"].available == 3
    other = leasegate.refused("entity", "reset", "key-1", "gpt-4", "--operation-id", "monday", exit_code=4)
    assert other == "leasegate: something else was done under monday before"


def test_a_bucket_is_reset_whole_or_in_part(leasegate: Command) -> None:
    assert leasegate("entity", "reset", "key-1", "gpt-4", "rpm").stdout == "Reset rpm of key-1 for gpt-4.\n"
    assert [state.available for state in leasegate.limiter.available("key-1", "gpt-4").values()] == [10, 1]
    assert leasegate.json("entity", "reset", "key-1", "gpt-4") == {"done": True}
    assert [state.available for state in leasegate.limiter.available("key-1", "gpt-4").values()] == [10, 100]


def test_an_entity_is_deleted_with_what_is_its_own(leasegate: Command) -> None:
    assert leasegate.refused("entity", "delete", "project-1", "--yes", exit_code=4) == (
        "leasegate: entity project-1 has children: 1"
    )
    moved = leasegate("entity", "delete", "project-1", "--yes", "--reparent").stdout
    assert moved == "Deleted project-1: limits of 0 levels, 0 buckets; 1 children moved.\n"
    assert leasegate.json("entity", "delete", "key-1", "--yes") == {
        "limits": 1,
        "buckets": 1,
        "children_moved": 0,
    }
    with pytest.raises(EntityNotFound):
        leasegate.limiter.get_entity("key-1")


def test_nothing_is_deleted_unasked(leasegate: Command) -> None:
    assert leasegate.refused("entity", "delete", "key-1") == "Error: there is no terminal to ask on; give --yes"
    assert leasegate.limiter.get_entity("key-1").entity_id == "key-1"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "complaint"),
    [
        (("create", "a b"), 2, "leasegate: entity_id: must be 1 to 256 characters of A-Z a-z 0-9 . _ : @ + -"),
        (("create", "a", "--metadata", "b"), 2, "b: must be written as name=text"),
        (("create", "a", "--metadata", "b=1", "--metadata", "b=2"), 2, "leasegate: metadata.b: is given twice"),
        (("create", "a", "--name", ""), 2, "leasegate: name: must be a string of 1 to 256 characters"),
        (("create", "a", "--parent", "a"), 2, "leasegate: parent_id: a would be its own ancestor"),
        (("create", "a", "--parent", "nobody"), 4, "leasegate: entity nobody does not exist"),
        (("create", "key-1"), 4, "leasegate: entity key-1 exists already"),
        (("get", "nobody"), 4, "leasegate: entity nobody does not exist"),
        (("update", "nobody", "--name", "N"), 4, "leasegate: entity nobody does not exist"),
        (("update", "key-1"), 2, "nothing to change: give --name, --no-name, --metadata or --remove-metadata"),
        (("update", "key-1", "--name", "N", "--no-name"), 2, "--name and --no-name contradict each other"),
        (("move", "key-1"), 2, "where to? Give --to ID or --to-top"),
        (("move", "key-1", "--to", "a", "--to-top"), 2, "where to? Give --to ID or --to-top"),
        (("move", "project-1", "--to", "key-1"), 2, "leasegate: parent_id: project-1 would be its own ancestor"),
        (("delete", "nobody", "--yes"), 4, "leasegate: entity nobody does not exist"),
        (("list", "--limit", "some"), 2, "'some' is not a valid integer range."),
        (("children", "a b"), 2, "leasegate: entity_id: must be 1 to 256 characters"),
        (("buckets", "a b"), 2, "leasegate: entity_id: must be 1 to 256 characters"),
        (("disable", "key-1", "--resource", "a b"), 2, "leasegate: resource: must be 1 to 256 characters"),
        (("enable", "a b"), 2, "leasegate: entity_id: must be 1 to 256 characters"),
        (("reset", "key-1", "gpt-4", "dpm"), 2, "leasegate: limits: dpm is no limit of key-1; it has rpm, tpm"),
        (
            ("reset", "nobody", "gpt-4"),
            4,
            "leasegate: no limits are configured for entity nobody and resource gpt-4",
        ),
        (("top-up", "key-1", "gpt-4"), 2, "Missing argument 'NAME=TOKENS...'."),
        (("top-up", "key-1", "gpt-4", "rpm"), 2, "rpm: must be written as name=500"),
        (("top-up", "key-1", "gpt-4", "rpm=-1"), 2, "rpm=-1: must be written as name=500"),
        (("top-up", "key-1", "gpt-4", f"rpm={'9' * 30}"), 2, "rpm: must be from 0 to 1000000000000, not "),
        (("top-up", "key-1", "gpt-4", "rpm=1", "rpm=2"), 2, "leasegate: tokens.rpm: is given twice"),
    ],
)
def test_bad_input_is_named(
    leasegate: Command, arguments: tuple[str, ...], exit_code: int, complaint: str
) -> None:
    assert complaint in leasegate.refused("entity", *arguments, exit_code=exit_code)
