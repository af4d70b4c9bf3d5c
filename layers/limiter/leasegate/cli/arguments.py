"""What is typed on the command line: limits, tokens, metadata, times, numbers, and the level of limits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
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
_AMOUNT: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([kmg]?)", re.ASCII | re.IGNORECASE)
_FACTORS: Final[Mapping[str, int]] = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_SHARE: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)\s*(%?)", re.ASCII)
_DOLLARS: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,12})?", re.ASCII)
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


class AmountArgument(click.ParamType[int]):
    """``10M``, ``1.5M``, ``250k``, ``2G``, ``10_000_000``."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - click's
        """Read a whole number, in thousands, millions or (G) thousands of millions."""
        if isinstance(value, int):
            return value
        found = _AMOUNT.fullmatch(str(value).strip().replace("_", ""))
        amount = Decimal(found[1]) * _FACTORS[found[2].lower()] if found else None
        if amount is None or amount != int(amount):
            self.fail(f"{value}: must be a whole number such as 250000, 250k, 1.5M or 2G", param, ctx)
        return int(amount)


class ShareArgument(click.ParamType[Decimal]):
    """``0.5``, ``50%``."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:  # noqa: ANN401 - click's
        """Read a share of all."""
        if isinstance(value, Decimal):
            return value
        found = _SHARE.fullmatch(str(value).strip())
        share = Decimal(found[1]) / (100 if found[2] else 1) if found else None
        if share is None or share > 1:
            self.fail(f"{value}: must be a share such as 0.25 or 25%, of at most all", param, ctx)
        return share


class PriceArgument(click.ParamType[tuple[str, Decimal]]):
    """``write_unit=0.7``."""

    name = "price"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[str, Decimal]:
        """Read the name of a price, and dollars."""
        if isinstance(value, tuple):
            return value
        name, _, usd = str(value).partition("=")
        if not _DOLLARS.fullmatch(usd):
            self.fail(f"{value}: must be written as write_unit=0.7, in dollars", param, ctx)
        return name, Decimal(usd)


LIMIT = LimitArgument()
TOKENS = TokensArgument()
PAIR = PairArgument()
TIME = TimeArgument()
DURATION = DurationArgument()
AMOUNT = AmountArgument()
SHARE = ShareArgument()
PRICE = PriceArgument()


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
