"""`leasegate limits` plan, apply and export."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from leasegate import Limit
from leasegate.declaration import parse
from tests.command import Command

FILE = """\
system:
  rpm: 60 per minute
resources:
  gpt-4:
    limits:
      tpm: 10000 per minute burst 20000
entities:
  project-1:
    name: Project one
    metadata:
      team: a
  key-1:
    parent: project-1
    disabled:
    - gpt-3
    limits:
      '*':
        rpm: 10 per second
"""


@pytest.fixture
def leasegate() -> Command:
    return Command()


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "limits.yaml"
    path.write_text(FILE)
    return str(path)


# --- plan ------------------------------------------------------------------------------------------


def test_a_plan_is_a_diff_with_a_sum_and_writes_nothing(leasegate: Command, file: str) -> None:
    leasegate.limiter.set_resource_defaults("gpt-4", [Limit.per_day("rpd", 5), Limit.per_minute("tpm", 10_000)])
    leasegate.limiter.create_entity("key-1", name="Key")

    for _ in range(2):
        assert leasegate.lines("limits", "plan", file) == [
            "+ system",
            "    + rpm: 60 per minute",
            "~ resources.gpt-4.limits",
            "    - rpd: 5 per day",
            "    ~ tpm: 10000 per minute -> 10000 per minute burst 20000",
            "+ entities.project-1",
            "    + metadata.team: a",
            "    + name: Project one",
            "~ entities.key-1",
            "    + parent: project-1",
            "~ entities.key-1.disabled.gpt-3: disable",
            "+ entities.key-1.limits.*",
            "    + rpm: 10 per second",
            "",
            "Plan: 3 to add, 3 to change, 0 to delete.",
        ]


def test_a_plan_in_json(leasegate: Command, file: str) -> None:
    leasegate.limiter.set_limits("key-1", [Limit.per_day("rpd", 5)], "gpt-4")

    plan = leasegate.json("limits", "plan", file, "--prune")

    assert plan["summary"] == {"add": 5, "change": 1, "delete": 1}
    assert [(change["path"], change["action"]) for change in plan["changes"]] == [
        ("system", "set_limits"),
        ("resources.gpt-4.limits", "set_limits"),
        ("entities.project-1", "create_entity"),
        ("entities.key-1", "create_entity"),
        ("entities.key-1.disabled.gpt-3", "disable"),
        ("entities.key-1.limits.*", "set_limits"),
        ("entities.key-1.limits.gpt-4", "delete_limits"),
    ]
    assert plan["changes"][-1] == {
        "path": "entities.key-1.limits.gpt-4",
        "kind": "delete",
        "action": "delete_limits",
        "before": [{"name": "rpd", "capacity": 5, "amount": 5, "period_ms": 86_400_000}],
        "after": [],
    }
    assert plan["changes"][3]["after"] == {"parent_id": "project-1", "name": None, "metadata": {}}


def test_a_plan_can_tell_by_its_exit_code_whether_anything_differs(leasegate: Command, file: str) -> None:
    leasegate("limits", "plan", file)
    leasegate("limits", "plan", file, "--exit-code", exit_code=1)
    leasegate("limits", "apply", file, "--yes")
    same = leasegate("limits", "plan", file, "--exit-code")
    assert same.stdout == f"Nothing differs: the table is as {file} says.\n"
    assert leasegate.json("limits", "plan", file)["changes"] == []


def test_a_plan_reads_stdin(leasegate: Command) -> None:
    plan = leasegate.json("limits", "plan", "-", stdin="system: {rpm: 1/day}")

    assert [change["path"] for change in plan["changes"]] == ["system"]
    assert leasegate("limits", "plan", "-", stdin="a: b", exit_code=2).stderr.startswith("stdin:1: a: is unknown")


# --- wrong files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_a_wrong_file_is_refused_with_all_its_mistakes(leasegate: Command, tmp_path: Path, command: str) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text("system: {rpm: 60 per minute}\nentities:\n  a: {nme: A}\n  b: {limits: {c: {rpm: 0/day}}}\n")

    result = leasegate("limits", command, str(path), exit_code=2)

    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"{path}:3: entities.a.nme: is unknown; the fields are parent, name, metadata, disabled, limits",
        f"{path}:4: entities.b.limits.c.rpm.amount: must be from 1 to 1000000000000, not 0",
    ]
    assert leasegate.limiter.get_system_defaults() == ()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"system: \xff", "limits.yaml:1: must be UTF-8"),
        (b"a: b: c", "limits.yaml:1: is no YAML: mapping values are not allowed in this context"),
        (
            b"entities: {a: {parent: nobody}}",
            "limits.yaml: entities.a.parent: nobody stands not in the file, and was not created in the table",
        ),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(
    leasegate: Command, tmp_path: Path, content: bytes, complaint: str
) -> None:
    path = tmp_path / "limits.yaml"
    path.write_bytes(content)

    assert leasegate.refused("limits", "plan", str(path)) == f"{tmp_path}/{complaint}"


def test_a_file_that_is_not_there_is_named(leasegate: Command, tmp_path: Path) -> None:
    assert (
        leasegate.refused("limits", "plan", f"{tmp_path}/no.yaml")
        == f"{tmp_path}/no.yaml: No such file or directory"
    )
    assert leasegate.refused("limits", "apply", str(tmp_path), "--yes") == f"{tmp_path}: Is a directory"


# --- apply -----------------------------------------------------------------------------------------


def test_what_differs_is_applied_once(leasegate: Command, file: str) -> None:
    first = leasegate.lines("limits", "apply", file, "--yes")
    again = leasegate.lines("limits", "apply", file, "--yes")

    assert first[-2:] == ["Plan: 5 to add, 1 to change, 0 to delete.", "Made 6 changes."]
    assert again == [f"Nothing differs: the table is as {file} says."]
    assert leasegate.limiter.get_entity("key-1").parent_id == "project-1"
    assert leasegate.limiter.resolve_limits("key-1", "gpt-4").limits == (Limit.per_second("rpm", 10),)


def test_an_apply_in_json_says_what_was_done(leasegate: Command, file: str) -> None:
    report = leasegate.json("limits", "apply", file, "--yes")

    assert report["complete"] is True
    assert len(report["done"]) == 6
    assert report["failed"] == report["left"] == []
    assert leasegate.json("limits", "apply", file, "--yes")["done"] == []


def test_changes_carry_who_applied_them(leasegate: Command, file: str) -> None:
    leasegate("limits", "apply", file, "--yes", "--actor", "ci")

    assert {record.actor for record in leasegate.limiter.list_audit("entity:key-1").items} == {"ci"}


def test_without_a_terminal_nothing_is_applied_unasked(leasegate: Command, file: str) -> None:
    refused = leasegate("limits", "apply", file, exit_code=2)

    assert refused.stderr.endswith("Error: there is no terminal to ask on; give --yes\n")
    assert leasegate.limiter.get_system_defaults() == ()


def test_what_is_not_mentioned_is_deleted_only_with_prune(leasegate: Command, tmp_path: Path) -> None:
    leasegate.limiter.set_system_defaults([Limit.per_day("rpm", 1)])
    leasegate.limiter.set_resource_defaults("gpt-4", [Limit.per_day("rpm", 1)])
    leasegate.limiter.create_entity("key-1")
    path = tmp_path / "limits.yaml"
    path.write_text("resources: {}\n")

    leasegate("limits", "apply", str(path), "--yes")
    assert leasegate.limiter.list_resources_with_defaults() == ["gpt-4"]
    leasegate("limits", "apply", str(path), "--yes", "--prune")
    assert leasegate.limiter.list_resources_with_defaults() == []
    assert leasegate.limiter.get_system_defaults() == ()
    assert leasegate.limiter.get_entity("key-1").entity_id == "key-1"


def test_what_failed_is_told_and_ends_with_5(leasegate: Command, tmp_path: Path) -> None:
    times = iter([10_000, 0])
    leasegate.limiter.create_entity("gone")
    leasegate.limiter.delete_entity("gone", time_left_ms=lambda: next(times))
    path = tmp_path / "limits.yaml"
    path.write_text("entities: {gone: {limits: {a: {rpm: 1/day}}}, here: {}}")

    result = leasegate("limits", "apply", str(path), "--yes", exit_code=5)

    assert result.stderr == "entities.gone: entity gone is being deleted; delete it again to end that\n"
    assert result.stdout.endswith("Made 1 change; 1 failed, 1 not tried. Apply again for what is left.\n")
    report = leasegate.json("limits", "apply", str(path), "--yes", exit_code=5)
    assert report["complete"] is False
    assert [(one["path"], one["error"]) for one in report["failed"]] == [
        ("entities.gone", "entity gone is being deleted; delete it again to end that")
    ]
    assert [one["path"] for one in report["left"]] == ["entities.gone.limits.a"]


# --- export ----------------------------------------------------------------------------------------


def test_an_export_is_the_file_that_was_applied(leasegate: Command, file: str) -> None:
    leasegate("limits", "apply", file, "--yes")

    assert leasegate("limits", "export").stdout == FILE


def test_an_export_goes_to_a_file_and_differs_in_nothing(leasegate: Command, file: str, tmp_path: Path) -> None:
    leasegate("limits", "apply", file, "--yes")
    target = tmp_path / "export.yaml"

    said = leasegate("limits", "export", "--output", str(target))

    assert (said.stdout, said.stderr) == ("", f"Wrote 1 resources and 2 entities to {target}.\n")
    assert target.read_text() == FILE
    leasegate("limits", "plan", str(target), "--prune", "--exit-code")


def test_an_export_in_json_is_a_file_too(leasegate: Command, file: str) -> None:
    leasegate("limits", "apply", file, "--yes")

    exported = leasegate("limits", "export", "--json").stdout

    assert json.loads(exported)["system"] == {"rpm": "60 per minute"}
    assert parse(exported) == parse(FILE)


def test_an_export_of_an_empty_table_is_an_empty_file(leasegate: Command) -> None:
    assert leasegate("limits", "export").stdout == ""
    assert leasegate.json("limits", "export") == {}


def test_a_file_that_cannot_be_written_is_named(leasegate: Command, tmp_path: Path) -> None:
    assert "--output: " in leasegate.refused("limits", "export", "-o", f"{tmp_path}/no/folder.yaml")
    assert "33 is not in the range" in leasegate.refused("limits", "export", "--threads", "33")
