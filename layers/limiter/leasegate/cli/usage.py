"""``leasegate usage``: what was spent, by window of time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from ..flows.usage import METRICS, Metric
from ..http.documents import show_usage
from ..windows import WINDOWS, Window
from .arguments import DURATION, TIME, page_limit
from .charts import ranking_table, usage_csv, windows_table
from .listing import Items, collect
from .output import plain
from .redriving import redrive
from .session import Group, Session

if TYPE_CHECKING:
    from rich.table import Table

    from ..records import UsageRecord

_FIRST: Final = 20

_csv = click.option("--csv", "as_csv", is_flag=True, help="Answer with CSV, a limit a row.")


def _window[F: Callable[..., Any]](default: Window) -> Callable[[F], F]:
    return click.option(
        "--window", type=click.Choice(WINDOWS), default=default, show_default=True, help="How long a window is."
    )


@click.group(cls=Group)
def usage() -> None:
    """Usage: what was spent, by window of time, in UTC. It is counted a few seconds after it was spent."""


@usage.command("show")
@click.argument("entity_id", metavar="ENTITY")
@click.argument("resource")
@_window("hour")
@click.option("--from", "start_ms", type=TIME, help="From the window in which this is; by default from the first.")
@click.option("--to", "end_ms", type=TIME, help="Windows that begin before this; by default up to now.")
@click.option("--last", "last_ms", type=DURATION, help="In place of both: the windows since so long ago.")
@page_limit
@_csv
@click.pass_obj
def show(
    session: Session,
    entity_id: str,
    resource: str,
    window: Window,
    start_ms: int | None,
    end_ms: int | None,
    last_ms: int | None,
    most: int | None,
    as_csv: bool,
) -> None:
    """Show what an entity spent of a resource, window by window; those without usage are left out.

    leasegate usage show key-1 gpt-4 --last 24h

    Times are such as 2026-11-21T22:00Z, 2026-11-21 (which begins in UTC), or ms since 1970. The bars compare what
    was spent of one limit.
    """
    if last_ms is not None:
        if start_ms is not None or end_ms is not None:
            raise click.UsageError("--last stands in place of --from and --to")
        start_ms = max(0, session.now_ms() - last_ms)
    if start_ms is not None and end_ms is not None and end_ms <= start_ms:
        raise click.BadParameter("must be later than --from", param_hint="--to")
    read = partial(session.limiter.usage, entity_id, resource, window, start_ms, end_ms)
    records = collect(lambda after, size: read(cursor=after, page_size=size), most)
    _answer(session, records, windows_table(records.items), usage_csv(records.items), as_csv=as_csv)
    records.note(session.output)


@usage.command("top")
@click.argument("resource")
@_window("day")
@click.option("--at", "at_ms", type=TIME, help="A time in the window; by default now.")
@click.option("--by", type=click.Choice(METRICS), default="tokens", show_default=True, help="What counts.")
@click.option("--limit-name", metavar="NAME", help="Only the tokens or refusals of this limit; by default of all.")
@click.option(
    "--limit",
    "most",
    type=click.IntRange(1),
    default=_FIRST,
    show_default=True,
    metavar="N",
    help="Show at most so many.",
)
@_csv
@click.pass_obj
def top(
    session: Session,
    resource: str,
    window: Window,
    at_ms: int | None,
    by: Metric,
    limit_name: str | None,
    most: int,
    as_csv: bool,
) -> None:
    """Show who spent the most of a resource in one window.

    leasegate usage top gpt-4 --at 2026-11-21 --by refused --limit-name tpm
    """
    read = partial(session.limiter.resource_usage, resource, window, at_ms, by=by, limit_name=limit_name)
    records = collect(lambda after, size: read(cursor=after, page_size=size), most)
    chart = ranking_table(records.items, by, limit_name)
    _answer(session, records, chart, usage_csv(records.items, limit_name), as_csv=as_csv)
    records.note(session.output, "--limit shows more")


def _answer(session: Session, records: Items[UsageRecord], chart: Table, rows: str, *, as_csv: bool) -> None:
    output = session.output
    if not as_csv:
        output.answer(records.document(show_usage), chart if records.items else plain("No usage."))
    elif output.as_json:
        raise click.UsageError("--csv and --json exclude each other")
    else:
        output.write(rows)


usage.add_command(redrive)
