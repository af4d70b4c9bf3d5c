"""The command `leasegate` in this process, on a table in memory and with a clock in the test's hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from click.testing import CliRunner, Result

from leasegate import Limiter
from leasegate.cli.application import leasegate
from leasegate.cli.services import Client, Services
from leasegate.cli.session import Connections, Settings
from leasegate.repository import Repository
from leasegate.repository.memory import MemoryRepository

NOON_MS = 1_767_268_800_000


class Command:
    """Runs commands, one after the other, on one table; what they were told of it is in ``settings``.

    ``clients`` are those of other services by their name, for commands that speak to them.
    """

    def __init__(self, repository: Repository | None = None) -> None:
        self.now_ms = NOON_MS
        self.settings: Settings | None = None
        self.clients: dict[str, Client] = {}
        self._repository = MemoryRepository() if repository is None else repository
        self.limiter = Limiter(self._repository, clock=lambda: self.now_ms)

    def __call__(
        self, *arguments: str, exit_code: int = 0, stdin: str | None = None, env: dict[str, str] | None = None
    ) -> Result:
        """Run a command and hold it to its exit code."""
        result = self.run(*arguments, stdin=stdin, env=env)
        assert result.exit_code == exit_code, result.output
        return result

    def run(self, *arguments: str, stdin: str | None = None, env: dict[str, str] | None = None) -> Result:
        """Run a command, however it ends; errors that nobody expects are raised."""
        return CliRunner().invoke(
            leasegate,
            arguments,
            input=stdin,
            env=env,
            obj=Connections(self._connect, self._services, lambda: self.now_ms),
            prog_name="leasegate",
            catch_exceptions=False,
        )

    def json(self, *arguments: str, exit_code: int = 0, stdin: str | None = None) -> Any:  # noqa: ANN401 - a JSON document
        """Run a command with --json and return its one document."""
        return json.loads(self(*arguments, "--json", exit_code=exit_code, stdin=stdin).stdout)

    def lines(self, *arguments: str, exit_code: int = 0) -> list[str]:
        """Run a command and return what it printed, without the blanks at the ends of lines."""
        return [line.rstrip() for line in self(*arguments, exit_code=exit_code).stdout.splitlines()]

    def refused(self, *arguments: str, exit_code: int = 2) -> str:
        """Run a command that is refused without an answer; return the last line on stderr."""
        result = self(*arguments, exit_code=exit_code)
        assert result.stdout == ""
        return result.stderr.splitlines()[-1]

    @contextmanager
    def _connect(self, settings: Settings) -> Iterator[Limiter]:
        self.settings = settings
        yield Limiter(self._repository, clock=lambda: self.now_ms, actor=settings.actor, timeout_ms=0)

    @contextmanager
    def _services(self, settings: Settings) -> Iterator[Services]:
        self.settings = settings
        yield Services(lambda name: self.clients[name])
