"""``leasegate backfill``: list the resources whose defaults are older than the registry."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Final

import click

from .output import table
from .session import Command, Session

_SLICE_S: Final = 2.0
_LONG_MS: Final = 60_000


@click.command(cls=Command)
@click.option("--dry-run", is_flag=True, help="Only count what would change.")
@click.option("--prune", is_flag=True, help="Also take out names whose defaults are gone.")
@click.option("--segments", type=click.IntRange(1, 32), default=4, show_default=True, help="Scanned side by side.")
@click.pass_obj
def backfill(session: Session, dry_run: bool, prune: bool, segments: int) -> None:
    """List the resources whose defaults are older than the registry, by a scan of the table.

    Safe to interrupt and to repeat: with the same options it goes on where it was.
    """
    limiter = session.limiter
    with session.output.counting("Scanning, segments") as count:
        while True:
            report = limiter.backfill_registry(
                dry_run=dry_run, prune=prune, segments=segments, time_left_ms=_a_slice()
            )
            if report.status == "complete":
                break
            if report.checkpoint is not None:
                count(report.checkpoint.get("segments_done", 0), report.checkpoint["segments"])
    would = "would be " if dry_run else ""
    made = table("scanned#", "with defaults#", f"{would}added#", f"{would}removed#")
    made.add_row(*[str(number) for number in (report.scanned, report.found, report.added, report.removed)])
    session.output.answer(asdict(report), made)


def _a_slice() -> Callable[[], int]:
    """Return what says that there is enough time for any step, until the slice is over."""
    until = time.monotonic() + _SLICE_S
    return lambda: _LONG_MS if time.monotonic() < until else 0
