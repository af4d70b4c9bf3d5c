"""The options that say what a month is like; each is named for a field of :class:`~leasegate.pricing.Traffic`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from ..errors import InvalidRequest
from ..limits import MAX_LIMITS
from ..pricing import Shape, Traffic
from ..pricing.traffic import MAX_BATCH, VIAS
from ..schema import MAX_LEVELS
from ..windows import DEFAULT_RETENTION_DAYS, DEFAULT_WINDOWS, WINDOWS, UsagePlan
from .arguments import AMOUNT, SHARE

_SHORTEST_NAME: Final = 2
"""Limits are told apart by two digits."""


def _amount(name: str, explanation: str, default: str | None = None) -> Callable[[Any], Any]:
    return click.option(
        name, type=AMOUNT, default=default, show_default=default is not None, metavar="N", help=explanation
    )


def _share(name: str, explanation: str, default: str = "0") -> Callable[[Any], Any]:
    return click.option(name, type=SHARE, default=default, show_default=True, metavar="SHARE", help=explanation)


def _number(name: str, low: int, high: int, default: int, explanation: str) -> Callable[[Any], Any]:
    numbers = click.IntRange(low, high)
    return click.option(name, type=numbers, default=default, show_default=True, help=explanation)


_OPTIONS: Final = (
    _amount("--acquires", "Acquires a month, such as 10M, 1.5M or 250k."),
    # What is asked for.
    _number("--limits", 1, MAX_LIMITS, 2, "Limits of a bucket: they decide its size."),
    _share("--cascade", "Share of acquires that spend from ancestors too, such as 0.5 or 50%."),
    _number("--levels", 2, MAX_LEVELS, 2, "Levels of a cascade, the acquiring entity's among them."),
    _share("--refused", "Share of acquires that the table refuses."),
    _share("--remembered", "Share that a process refuses from memory, which the table does not see."),
    _share("--missed", "Share whose first write guesses wrongly, and is repeated; the metric GuessesMissed."),
    _share("--durable", "Share of grants that are stored, or under an idempotency key; each ends once."),
    _share("--expiring", "Share of durable leases that expire."),
    _share("--adjusted", "Share of the other grants that is settled to what was really used."),
    # Who asks.
    click.option(
        "--via",
        type=click.Choice(VIAS),
        default="http",
        show_default=True,
        help="Over HTTP, or by the library in a service of yours.",
    ),
    _number("--per-request", 1, MAX_BATCH, 1, "Acquires in one HTTP request."),
    _amount("--processes", "Processes, or instances of the function, at a time.", "1"),
    _amount("--resources", "Resources that each process is asked for.", "1"),
    _amount("--cold-starts", "Processes that start; by default 1 in 100 HTTP requests, none by the library."),
    # Who spends.
    _amount("--buckets", "Entities that acquire, each of one resource.", "1k"),
    _amount("--new-buckets", "Buckets that are created in the month; by default all."),
    _amount("--parents", "Ancestors at each level of a cascade; by default a tenth of the buckets."),
    _number("--id-length", 1, 256, 36, "Characters of an id."),
    _number("--name-length", _SHORTEST_NAME, 32, 5, "Characters of a limit's name."),
    _amount("--tokens", "Capacities, and what buckets count, are below this.", "1M"),
    # The stack's parameters.
    _number("--memory-mb", 128, 10_240, 1_024, "Memory of a function, MemorySize."),
    _number("--billed-ms", 1, 900_000, 15, "Time that an acquire is billed for: one round trip, and code."),
    _number("--init-ms", 0, 900_000, 800, "Time that a cold start is billed for besides."),
    click.option("--usage/--no-usage", default=True, show_default=True, help="Count usage, UsageCounting."),
    click.option(
        "--window",
        "windows",
        type=click.Choice(WINDOWS),
        multiple=True,
        default=DEFAULT_WINDOWS,
        show_default=True,
        help="Count it by this window, UsageWindows. May be given several times.",
    ),
    _number("--usage-window-s", 1, 300, 5, "Seconds for which changes are gathered, UsageBatchWindowSeconds."),
    _number("--usage-batch", 1, 10_000, 1_000, "Changes that are counted together at most, UsageBatchSize."),
    _number("--usage-ms", 1, 900_000, 50, "Time that a batch of changes is billed for."),
    _amount("--shards", "Shards of the stream; a new table on demand has 4 partitions.", "4"),
    click.option("--sweeps/--no-sweeps", default=True, show_default=True, help="Sweep leases, SweepSchedule."),
    _amount("--traced-a-second", "Invocations of each second that X-Ray records; its default rule.", "1"),
    _share("--traced", "Share of the other invocations that it records; its default rule.", "0.05"),
)


def month_options[F: Callable[..., Any]](command: F) -> F:
    """Add the options that say what a month is like, in their order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read_month(given: Mapping[str, Any]) -> Traffic:
    """Return the month that the options say; the error for one that cannot be names the option."""
    fields = dict(given)
    shape = Shape(fields.pop("id_length"), fields.pop("name_length"), max(1, fields.pop("tokens") - 1))
    windows = fields.pop("windows")
    plan = UsagePlan({window: DEFAULT_RETENTION_DAYS[window] for window in windows})
    usage = plan if fields.pop("usage") else None
    try:
        return Traffic(shape=shape, usage=usage, **fields)
    except InvalidRequest as error:
        raise click.BadParameter(error.reason, param_hint=f"--{error.field.replace('_', '-')}") from error
