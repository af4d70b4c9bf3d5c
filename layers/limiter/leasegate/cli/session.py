"""What every command has in common: which table, who acts, how to answer; and errors that end it in one line."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import click

from ..declaration import InvalidDeclaration
from ..errors import InvalidRequest, LeasegateError
from ..limiter import Limiter
from ..session import wall_clock_ms
from .exits import Exit, exit_code
from .output import Output, plain
from .services import Services

_GIVEN: Final = "leasegate.given"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the options common to all commands say."""

    table: str | None
    endpoint_url: str | None
    region: str | None
    profile: str | None
    actor: str
    json: bool


@dataclass(frozen=True, slots=True)
class Connections:
    """Reaches what a command speaks to; tests bring one of their own as click's ``obj``.

    Attributes:
        table: reaches the table. services: reaches the other services of a stack.
        clock: returns the time since 1970 in ms.
    """

    table: Callable[[Settings], AbstractContextManager[Limiter]]
    services: Callable[[Settings], AbstractContextManager[Services]]
    clock: Callable[[], int] = wall_clock_ms


class Session:
    """One run of one command."""

    def __init__(self, context: click.Context, connections: Connections) -> None:
        """Take the options as they were given, before the command's name or after it."""
        given: dict[str, Any] = context.meta.get(_GIVEN, {})
        self.settings = Settings(
            table=given.get("table"),
            endpoint_url=given.get("endpoint_url"),
            region=given.get("region"),
            profile=given.get("profile"),
            actor=given.get("actor") or os_user(),
            json=given.get("json", False),
        )
        self.output = Output(as_json=self.settings.json)
        self._context = context
        self._connections = connections

    @cached_property
    def limiter(self) -> Limiter:
        """The table's limiter; the connection is closed when the command ends."""
        return self._context.with_resource(self._connections.table(self.settings))

    def services(self) -> AbstractContextManager[Services]:
        """Reach the services beside the table, as long as the context lasts; what they do not answer raises."""
        return self._connections.services(self.settings)

    def now_ms(self) -> int:
        """Return the time."""
        return self._connections.clock()

    def end(self, code: Exit) -> None:
        """End the command with an exit code."""
        self._context.exit(code)


class Command(click.Command):
    """A command that also takes the common options, and ends with one line for each expected error."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - click's own arguments
        """Add the common options to the command's own."""
        super().__init__(*args, **kwargs)
        self.params += common_options(reads_environment=False)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - what the command returns is ignored
        """Run the command in a session."""
        session = Session(ctx, ctx.obj)
        ctx.obj = session
        try:
            return super().invoke(ctx)
        except InvalidDeclaration as error:
            for problem in error.problems:
                session.output.note(plain(error.locate(problem)))
            ctx.exit(Exit.BAD_INPUT)
        except LeasegateError as error:
            session.output.note(plain(f"leasegate: {error}"))
            ctx.exit(exit_code(error))
        except KeyboardInterrupt:
            session.output.note(plain("leasegate: interrupted"))
            ctx.exit(Exit.INTERRUPTED)


class Group(click.Group):
    """A group of such commands."""

    command_class = Command
    group_class = type


def common_options(*, reads_environment: bool) -> list[click.Parameter]:
    """Return the options that may stand before a command or after it; only the former read the environment."""

    def option(name: str, explanation: str, variable: str | None = None, **attributes: Any) -> click.Option:  # noqa: ANN401 - click's own
        return click.Option(
            [name],
            help=explanation,
            envvar=variable if reads_environment else None,
            show_envvar=True,
            expose_value=False,
            callback=_keep,
            hidden=not reads_environment and name != "--json",
            **attributes,
        )

    return [
        option("--table", "The DynamoDB table.", "LEASEGATE_TABLE"),
        option("--endpoint-url", "Where AWS is, for an emulator.", "LEASEGATE_ENDPOINT_URL"),
        option("--region", "The AWS region; by default that of the profile.", "AWS_REGION"),
        option("--profile", "The AWS profile."),
        option("--actor", "Who acts, for the audit; by default the user of this machine.", "LEASEGATE_ACTOR"),
        option("--json", "Answer with one JSON document.", is_flag=True, default=None),
    ]


def os_user() -> str:
    """Return who the operating system says is at work."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def named[T](field: str, pairs: tuple[tuple[str, T], ...]) -> dict[str, T]:
    """Return values by name; raise :class:`InvalidRequest` where a name is given twice."""
    values: dict[str, T] = {}
    for name, value in pairs:
        if name in values:
            raise InvalidRequest(f"{field}.{name}", "is given twice")
        values[name] = value
    return values


def _keep(context: click.Context, parameter: click.Parameter, value: object) -> None:
    if value is not None:
        context.meta.setdefault(_GIVEN, {})[parameter.name] = value
