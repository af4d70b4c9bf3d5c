"""docs/cli.md: its commands run in order on an empty table and answer as shown, its files are what they read."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import click
import pytest

from leasegate.cli.application import leasegate as group
from leasegate.cli.exits import Exit
from leasegate.cli.session import common_options
from leasegate.limits import HOUR_MS
from leasegate.repository.memory import MemoryRepository
from tests.command import NOON_MS, Command
from tests.docs.blocks import Blocks, read_blocks
from tests.docs.commands import check_session
from tests.docs.sessions import session
from tests.metered import count_all, spent
from tests.traces.stored.serving import ACQUIRE, StoredXRay

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "cli.md"

USAGE = (
    spent("key-1", NOON_MS - 2 * HOUR_MS, {"rpm": 40, "tpm": 16_000}, grants=40, peaks={"rpm": 21, "tpm": 9_120}),
    spent("key-1", NOON_MS - HOUR_MS, {"rpm": 10, "tpm": 4_000}, grants=10, peaks={"rpm": 6, "tpm": 2_810}),
    spent("key-2", NOON_MS - HOUR_MS, {"rpm": 5, "tpm": 50_000}, grants=5, refused={"tpm": 12}),
)


class DeadLetters:
    """SQS's client, for an empty queue."""

    def get_queue_attributes(self, **_request: object) -> dict[str, Any]:
        return {"Attributes": {"ApproximateNumberOfMessages": "0"}}

    def receive_message(self, **_request: object) -> dict[str, Any]:
        return {}


class Outputs:
    """CloudFormation's client, for a stack that says where its queue and its functions are."""

    exceptions = boto3.client("cloudformation", region_name="us-east-1").exceptions

    def describe_stacks(self, **_request: object) -> dict[str, Any]:
        outputs = {"AggregatorFunctionName": "aggregator", "UsageDeadLettersUrl": "https://queue"}
        outputs["AcquireFunctionName"] = ACQUIRE
        return {"Stacks": [{"Outputs": [{"OutputKey": k, "OutputValue": v} for k, v in outputs.items()]}]}


class Shell:
    """Runs the lines of a session as a person would type them; knows no more than the page needs."""

    def __init__(self) -> None:
        memory = MemoryRepository()
        # What the page says of usage; no stream runs here that would count what its commands spend.
        count_all(memory, *USAGE)
        self.command = Command(memory)
        self.command.clients = {"sqs": DeadLetters(), "cloudformation": Outputs(), "lambda": None}
        self.command.clients["dynamodbstreams"] = None
        self.command.clients["xray"] = StoredXRay("cold_cascade", "granted", "refused", "repeated").client()
        self._status = 0
        self._environment: dict[str, str] = {}

    def __call__(self, line: str) -> str:
        """Run a line and return what a terminal would show."""
        match shlex.split(line):
            case ["export", assignment]:
                name, _, value = assignment.partition("=")
                self._environment[name] = value
                return ""
            case ["echo", "$?"]:
                return f"{self._status}\n"
            case ["leasegate", *arguments]:
                self.command.now_ms += 1  # so that the audit has an order
                result = self.command.run(*arguments, env=self._environment)
                self._status = result.exit_code
                return result.output
            case _:
                raise AssertionError(f"the page has a line that no test runs: {line}")


@pytest.mark.runs("docs/cli.md", "console")
@pytest.mark.runs("docs/cli.md", "yaml")
@pytest.mark.runs("docs/cli.md", "python")
def test_the_commands_answer_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: Blocks) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOGNAME", "ann")
    shell = Shell()
    for block in blocks.take_blocks():
        if block.file is not None:
            Path(block.file).write_text(block.content)
        elif block.language == "console":
            assert session(block.content, shell) == block.content
        else:
            check(block.content, shell)
    assert shell.command.settings is not None
    assert shell.command.settings.table == "leasegate"


def check(code: str, shell: Shell) -> None:
    """Run the page's Python on the session's table; ``expression  # value`` must be so."""
    names: dict[str, object] = {"limiter": shell.command.limiter}
    claims = re.findall(r"^(.+?)  # (.+)$", code, re.MULTILINE)
    exec(re.sub(r"^.+?  # .+$", "", code, flags=re.MULTILINE), names)  # noqa: S102 - the page's own code
    assert [eval(claim, names) for claim, _ in claims] == [eval(value) for _, value in claims]  # noqa: S307 - as above
    assert claims


def commands(of: click.Group = group, path: str = "leasegate") -> Iterator[str]:
    for name, command in of.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}"


def test_every_command_is_shown() -> None:
    shown = "".join(block.content for block in read_blocks("docs/cli.md") if block.language == "console")
    assert [command for command in commands() if f"$ {command}" not in shown] == []


def test_every_common_option_and_its_variable_is_named() -> None:
    for option in common_options(reads_environment=True):
        assert f"`{option.opts[0]}`" in PAGE.read_text()
        assert isinstance(option, click.Option)
        assert option.envvar is None or f"`{option.envvar}`" in PAGE.read_text()


def test_the_exit_codes_are_those_that_there_are() -> None:
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE)] == list(Exit)


@pytest.mark.runs("docs/cli.md", "bash")
def test_it_is_installed_as_the_page_says(blocks: Blocks) -> None:
    assert [check_session(block) for block in blocks.take()] == [1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(re.findall(r"\.\[(\w+)\]", PAGE.read_text())) == set(project["optional-dependencies"])
    assert project["scripts"] == {"leasegate": "leasegate.cli:main"}
