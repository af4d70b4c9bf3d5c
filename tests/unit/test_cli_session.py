"""What all commands have in common: options, exit codes, errors in one line, and what is imported when."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from leasegate import Limiter, errors
from leasegate.cli.application import leasegate as group
from leasegate.cli.connection import connect
from leasegate.cli.exits import Exit, exit_code
from leasegate.cli.output import Output
from leasegate.cli.session import Settings, os_user
from leasegate.errors import InvalidRequest, LeasegateError, StoreDenied, StoreUnavailable
from leasegate.operations import Failed, Operation, Outcome
from tests.command import Command

SETTINGS = Settings(table="t", endpoint_url=None, region="eu-west-1", profile=None, actor="me", json=False)


class Silent:
    """A table that does not answer, for the reason that it is given."""

    def __init__(self, error: errors.StoreError) -> None:
        self._error = error

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        return tuple([Failed(self._error) for _ in operations])


class Interrupted:
    """A table that somebody gave up waiting for."""

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        raise KeyboardInterrupt


def commands(of: click.Group = group, *path: str) -> list[tuple[str, ...]]:
    """Return the path of every command."""
    found: list[tuple[str, ...]] = []
    for name, command in of.commands.items():
        found += commands(command, *path, name) if isinstance(command, click.Group) else [(*path, name)]
    return found


# --- options -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        (
            "--table",
            "t",
            "--region",
            "r",
            "--profile",
            "p",
            "--endpoint-url",
            "u",
            "--actor",
            "a",
            "resources",
            "list",
        ),
        (
            "resources",
            "list",
            "--table",
            "t",
            "--region",
            "r",
            "--profile",
            "p",
            "--endpoint-url",
            "u",
            "--actor",
            "a",
        ),
        (
            "--table",
            "other",
            "--actor",
            "other",
            "resources",
            "list",
            "--table",
            "t",
            "--region",
            "r",
            "--profile",
            "p",
            "--endpoint-url",
            "u",
            "--actor",
            "a",
        ),
    ],
)
def test_common_options_stand_before_a_command_or_after_it(arguments: tuple[str, ...]) -> None:
    leasegate = Command()
    leasegate(*arguments)
    assert leasegate.settings == Settings("t", "u", "r", "p", "a", json=False)


def test_the_environment_says_what_options_do_not() -> None:
    leasegate = Command()
    env = {"LEASEGATE_TABLE": "t", "LEASEGATE_ENDPOINT_URL": "u", "LEASEGATE_ACTOR": "a", "AWS_REGION": "r"}

    leasegate("resources", "list", env=env)
    assert leasegate.settings == Settings("t", "u", "r", None, "a", json=False)
    for arguments in (("resources", "list", "--table", "other"), ("--table", "other", "resources", "list")):
        leasegate(*arguments, env=env)
        assert leasegate.settings == Settings("other", "u", "r", None, "a", json=False)


def test_the_user_of_the_machine_acts_unless_another_is_named() -> None:
    leasegate = Command()
    leasegate("limits", "set", "--system", "rpm=1/day")
    assert leasegate.limiter.list_audit("system").items[0].actor == os_user()
    leasegate.now_ms += 1
    leasegate("limits", "set", "--system", "rpm=2/day", "--actor", "ann")
    assert leasegate.limiter.list_audit("system").items[0].actor == "ann"
    assert "leasegate: actor: must be a string of 1" in leasegate.refused(
        "resources", "list", "--actor", "a" * 3_000
    )


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_command_explains_itself_and_takes_json(path: tuple[str, ...]) -> None:
    shown = Command()(*path, "--help").stdout

    assert shown.startswith(f"Usage: leasegate {' '.join(path)} ")
    assert "--json" in shown
    assert "\\" not in shown, "click's marks for paragraphs do not survive a raw docstring"
    command: click.Command = group
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    assert command.help
    assert [p.name for p in command.params if isinstance(p, click.Option) and not (p.help or p.hidden)] == []


def test_the_commands_are_these() -> None:
    assert [" ".join(path) for path in sorted(commands())] == [
        "acquire",
        "audit",
        "available",
        "backfill",
        "cost",
        *[f"entity {name}" for name in ("buckets", "children", "create", "delete", "disable", "enable", "get")],
        *[f"entity {name}" for name in ("list", "move", "reset", "top-up", "update")],
        *[f"limits {name}" for name in ("apply", "delete", "export", "get", "list", "plan", "resolve", "set")],
        *[f"resources {name}" for name in ("disable", "enable", "get", "list")],
        "simulate",
        "trace",
        *[f"usage {name}" for name in ("redrive", "show", "top")],
    ]


# --- errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreUnavailable("the table does not answer"), 3),
        (StoreDenied("AccessDeniedException"), 3),
    ],
)
def test_a_table_that_does_not_answer_is_an_error_in_one_line(error: errors.StoreError, code: int) -> None:
    leasegate = Command(Silent(error))

    for arguments in (("resources", "list"), ("acquire", "key-1", "gpt-4", "rpm=1"), ("limits", "export")):
        assert leasegate.refused(*arguments, exit_code=code) == f"leasegate: {error}"


def test_an_interruption_ends_with_130() -> None:
    assert Command(Interrupted()).refused("resources", "list", exit_code=130) == "leasegate: interrupted"


def test_an_interrupted_apply_says_how_far_it_came() -> None:
    result = Command(Interrupted())("limits", "apply", "-", "--yes", stdin="entities: {a: {}}", exit_code=130)

    assert result.stderr == "leasegate: interrupted\n"


def all_errors(of: type[LeasegateError] = LeasegateError) -> list[type[LeasegateError]]:
    """Return the package's errors below this one; other tests may have made some of their own."""
    own = [child for child in of.__subclasses__() if child.__module__.startswith("leasegate.")]
    return [kind for child in own for kind in (child, *all_errors(child))]


def test_every_error_has_an_exit_code_of_its_kind() -> None:
    codes = {kind.__name__: exit_code(kind.__new__(kind)) for kind in all_errors()}

    assert codes["RateLimitExceeded"] is codes["Disabled"] is Exit.NO
    assert codes["InvalidRequest"] is codes["InvalidDeclaration"] is Exit.BAD_INPUT
    assert {name for name, code in codes.items() if code is Exit.STORE_ERROR} == {
        name for name in codes if name.startswith("Store")
    }


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (Settings(None, None, "eu-west-1", None, "me", json=False), "--table"),
        (Settings("t", None, "eu-west-1", "no-such-profile", "me", json=False), "connection"),
        (Settings("t", "nowhere", "eu-west-1", None, "me", json=False), "connection"),
        (Settings("t", None, "eu west", None, "me", json=False), "connection"),
    ],
)
def test_settings_that_lead_nowhere_are_refused(settings: Settings, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused, connect(settings):
        pass
    assert refused.value.field == field


def test_a_connection_is_a_limiter() -> None:
    with connect(SETTINGS) as limiter:
        assert isinstance(limiter, Limiter)


# --- progress ----------------------------------------------------------------------------------------


def test_without_a_terminal_progress_is_a_line_every_few_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    now_s = 0.0
    with Output(as_json=True, monotonic=lambda: now_s).counting("Reading") as count:
        for done in range(1, 14):
            now_s += 1
            count(done, 13)

    assert capsys.readouterr() == ("", "Reading: 5 of 13\nReading: 10 of 13\n")


# --- imports -----------------------------------------------------------------------------------------


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)


def test_the_library_imports_nothing_that_the_extra_brings() -> None:
    loaded = python(
        "import sys, leasegate; print([m for m in ('click', 'rich', 'yaml', 'boto3') if m in sys.modules])"
    )

    assert loaded.stdout == "[]\n", loaded.stderr


@pytest.mark.parametrize("missing", ["click", "rich", "yaml"])
def test_without_the_extra_the_command_says_what_to_install(missing: str) -> None:
    run = python(f"import sys; sys.modules['{missing}'] = None; from leasegate.cli import main; main()")

    assert run.returncode == 2
    assert run.stderr == f"leasegate: the command needs {missing}; run: pip install 'leasegate[cli]'\n"


def test_help_and_mistakes_do_not_wait_for_the_sdk() -> None:
    program = (
        "import sys\nfrom leasegate.cli import main\nsys.argv = ['leasegate', 'acquire', 'a']\n"
        "try: main()\nexcept SystemExit as end: print(end.code, 'boto3' in sys.modules)"
    )
    assert python(program).stdout == "2 False\n"
