"""The command as people start it: a process of its own, on a table in DynamoDB Local."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from scripts.processes import heed_interrupts
from tests.fixtures.dynamodb import Table

LEASEGATE = str(Path(sys.executable).with_name("leasegate"))
FILE = """\
system: {rpm: 60 per minute}
resources:
  gpt-4: {limits: {tpm: 10000 per minute burst 20000}}
entities:
  project-1: {name: Project one}
  key-1: {parent: project-1, limits: {gpt-4: {rpm: 2 per day}}}
"""


class Process:
    """Starts the command with the table in its environment."""

    def __init__(self, endpoint: str, table: str) -> None:
        self.environment = {**os.environ, "LEASEGATE_TABLE": table, "LEASEGATE_ENDPOINT_URL": endpoint}

    def __call__(self, *arguments: str, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
        run = subprocess.run(
            [LEASEGATE, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert run.returncode == exit_code, run.stderr
        return run

    def json(self, *arguments: str, exit_code: int = 0) -> Any:  # noqa: ANN401 - a JSON document
        return json.loads(self(*arguments, "--json", exit_code=exit_code).stdout)


@pytest.fixture
def leasegate(dynamodb_local: str, table: Table) -> Process:
    return Process(dynamodb_local, table.name)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "limits.yaml"
    path.write_text(FILE)
    return str(path)


def test_a_file_is_planned_applied_spent_from_and_exported(leasegate: Process, file: str, tmp_path: Path) -> None:
    assert "Plan: 5 to add, 0 to change, 0 to delete." in leasegate("limits", "plan", file).stdout
    assert leasegate.json("limits", "apply", file, "--yes")["complete"]
    leasegate("limits", "plan", file, "--exit-code")

    assert leasegate.json("acquire", "key-1", "gpt-4", "rpm=2")["granted"]
    assert leasegate.json("acquire", "key-1", "gpt-4", "rpm=1", exit_code=1)["granted"] is False
    assert leasegate.json("entity", "list")["items"] == ["project-1"]
    assert leasegate.json("backfill", "--segments", "2")["added"] == 0

    export = tmp_path / "export.yaml"
    leasegate("limits", "export", "-o", str(export))
    leasegate("limits", "plan", str(export), "--prune", "--exit-code")


def test_scores_of_entities_are_applied_side_by_side(leasegate: Process, tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    keys = [
        f"  key-{number}: {{parent: project-{number % 10}, limits: {{'*': {{rpm: 1/day}}}}}}"
        for number in range(60)
    ]
    path.write_text("\n".join(["entities:", *[f"  project-{number}: {{}}" for number in range(10)], *keys]))

    assert leasegate("limits", "apply", str(path), "--yes", "--threads", "16").stdout.endswith(
        "Made 130 changes.\n"
    )
    leasegate("limits", "plan", str(path), "--exit-code", "--threads", "16")


@pytest.mark.parametrize(("answer", "exit_code", "entities"), [("y", 0, ["project-1"]), ("n", 1, []), ("", 1, [])])
def test_on_a_terminal_the_changes_are_shown_and_asked_for(
    leasegate: Process, file: str, answer: str, exit_code: int, entities: list[str]
) -> None:
    code, shown = on_a_terminal(leasegate, "limits", "apply", file, answer=answer)

    assert code == exit_code
    assert "Plan: 5 to add" in shown
    assert "Make these changes? [y/N]: " in shown
    assert ("Nothing was changed." in shown) is (exit_code == 1)
    assert "\x1b[32m+ system" in shown
    assert leasegate.json("entity", "list")["items"] == entities


def on_a_terminal(leasegate: Process, *arguments: str, answer: str) -> tuple[int, str]:
    """Run a command on a terminal of its own, answer its question, and return its exit code and what it showed."""
    ours, theirs = pty.openpty()
    environment = {**leasegate.environment, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        [LEASEGATE, *arguments], env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as run:
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        shown = b""
        while True:
            try:
                part = os.read(ours, 65_536)
            except OSError:  # the terminal's other end is closed
                break
            if not part:
                break
            shown += part
        os.close(ours)
    return run.returncode, shown.decode()


def test_an_interrupted_apply_ends_soon_and_the_next_one_finishes_it(
    leasegate: Process, table: Table, tmp_path: Path
) -> None:
    path = tmp_path / "many.yaml"
    path.write_text("\n".join(["entities:", *[f"  key-{number}: {{name: K}}" for number in range(600)]]))
    command = [LEASEGATE, "limits", "apply", str(path), "--yes", "--threads", "1"]
    with subprocess.Popen(
        command,
        env=leasegate.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=heed_interrupts,
    ) as run:
        first = {"PK": {"S": "ENTITY#key-0"}, "SK": {"S": "#META"}}
        while "Item" not in table.client.get_item(TableName=table.name, Key=first):
            assert run.poll() is None
            time.sleep(0.02)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=20)

    assert run.returncode == 130, said
    assert b"changes were made; apply again for the others.\nleasegate: interrupted\n" in said
    assert b"Traceback" not in said
    assert 0 < len(leasegate.json("entity", "list")["items"]) < 600
    leasegate("limits", "apply", str(path), "--yes", "--threads", "16")
    assert len(leasegate.json("entity", "list")["items"]) == 600


def test_a_table_that_does_not_exist_ends_with_3(leasegate: Process) -> None:
    run = leasegate("resources", "list", "--table", "nowhere", exit_code=3)

    assert run.stderr.startswith("leasegate: ")
    assert "ResourceNotFoundException" in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_without_a_table_or_credentials_the_command_says_so(leasegate: Process) -> None:
    del leasegate.environment["LEASEGATE_TABLE"]
    assert leasegate("resources", "list", exit_code=2).stderr.startswith("leasegate: --table: is required")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del leasegate.environment[name]
    assert "credentials" in leasegate("resources", "list", "--table", "t", exit_code=3).stderr
