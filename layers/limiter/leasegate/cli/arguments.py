"""What is typed on the command line: limits, tokens, metadata, times, and the level that limits stand on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from ..declaration.changes import Target
from ..declaration.shorthand import read_limit
from ..errors import InvalidRequest
from ..http.times import read_time
from ..identifiers import MAX_TOKENS, check_integer, check_limit_name
from ..limits import DAY_MS, HOUR_MS, MINUTE_MS, Limit

_FORM: Final = 'name=60/minute, with a burst name=60/minute:120, or of leases "name=20 concurrent for 60 seconds"'


_DURATION: Final = re.compile(r"([0-9]{1,9})\s*(m|minutes?|h|hours?|d|days?)", re.ASCII)
_UNITS_MS: Final[Mapping[str, int]] = {"m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}


class LimitArgument(click.ParamType[Limit]):
    """``rpm=60/minute``, ``tpm=10000/minute:20000``, ``streams=20 concurrent for 60 seconds``."""

    name = "limit"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Limit:  # noqa: ANN401 - click's
        """Read a limit."""
        if isinstance(value, Limit):
            return value
        name, equals, text = str(value).partition("=")
        if not equals:
            self.fail(f"{value}: must be written as {_FORM}", param, ctx)
        try:
            return read_limit(name, text, name)
        except InvalidRequest as error:
            self.fail(str(error), param, ctx)


class TokensArgument(click.ParamType[tuple[str, int]]):
    """``tpm=500``."""

    name = "tokens"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[str, int]:
        """Read tokens of a limit."""
        if isinstance(value, tuple):
            return value
        name, _, digits = str(value).partition("=")
        if not (digits.isascii() and digits.isdecimal()):
            self.fail(f"{value}: must be written as name=500", param, ctx)
        try:
            return check_limit_name(name, name), check_integer(name, int(digits[:20]), 0, MAX_TOKENS)
        except InvalidRequest as error:
            self.fail(str(error), param, ctx)


class PairArgument(click.ParamType[tuple[str, str]]):
    """``team=a``."""

    name = "name=text"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[str, str]:
        """Read a name and its text."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not equals:
            self.fail(f"{value}: must be written as name=text", param, ctx)
        return name, text


class TimeArgument(click.ParamType[int]):
    """``2026-11-21T22:00Z``, ``2026-11-21``, or ms since 1970."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - click's
        """Read a time, in ms."""
        if isinstance(value, int):
            return value
        try:
            return read_time("time", str(value))
        except InvalidRequest as error:
            self.fail(f"{value}: {error.reason}", param, ctx)


class DurationArgument(click.ParamType[int]):
    """``90 minutes``, ``24h``, ``7 days``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - click's
        """Read how long something is, in ms."""
        if isinstance(value, int):
            return value
        found = _DURATION.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value}: must be written as 90 minutes, 24h or 7 days", param, ctx)
        return int(found[1]) * _UNITS_MS[found[2][0]]


LIMIT = LimitArgument()
TOKENS = TokensArgument()
PAIR = PairArgument()
TIME = TimeArgument()
DURATION = DurationArgument()


def level_options[F: Callable[..., Any]](command: F) -> F:
    """Add the options that say on which of the four levels limits stand."""
    for option in (
        click.option("--system", is_flag=True, help="The system's defaults."),
        click.option("--resource", metavar="ID", help="A resource's defaults; with --entity, its limits for it."),
        click.option("--entity", metavar="ID", help="An entity's limits; for all resources, or for --resource."),
    ):
        command = option(command)
    return command


def level(entity: str | None, resource: str | None, system: bool) -> Target:
    """Return the level that the options name."""
    if system and (entity is not None or resource is not None):
        raise click.UsageError("--system stands alone, without --entity or --resource")
    if not system and entity is None and resource is None:
        raise click.UsageError("whose limits? Give --entity, --resource, both, or --system")
    return Target(entity, resource)


page_limit = click.option(
    "--limit", "most", type=click.IntRange(1), metavar="N", help="Show at most so many; by default all."
)
