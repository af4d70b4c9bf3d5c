"""``leasegate limits plan``, ``apply`` and ``export``: all limits in a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from ..declaration import (
    Desired,
    InvalidDeclaration,
    Plan,
    Problem,
    Report,
    apply_plan,
    export_table,
    parse,
    plan_changes,
    read_present,
    write,
    write_json,
)
from ..errors import InvalidRequest
from .differences import plan_json, plan_text, report_json
from .exits import Exit
from .output import plain
from .questions import confirm
from .session import Command, Session

_MAX_THREADS: Final = 32
_MAX_BYTES: Final = 50_000_000

_file = click.argument("file", type=click.Path(allow_dash=True))
_prune = click.option(
    "--prune",
    is_flag=True,
    help="Also delete what the file does not mention: the system's limits, defaults of resources, and limits of "
    "the entities in the file. Entities are never deleted.",
)
_threads = click.option(
    "--threads", type=click.IntRange(1, _MAX_THREADS), default=8, show_default=True, help="At work side by side."
)


@click.command(cls=Command)
@_file
@_prune
@click.option("--exit-code", is_flag=True, help="End with 1 where anything differs, as git diff does.")
@_threads
@click.pass_obj
def plan(session: Session, file: str, prune: bool, exit_code: bool, threads: int) -> None:
    """Show what differs between FILE (- is stdin) and the table; nothing is written."""
    found = _plan(session, file, _read(file), prune=prune, threads=threads)
    session.output.answer(plan_json(found), plan_text(found, file))
    if found and exit_code:
        session.end(Exit.NO)


@click.command(cls=Command)
@_file
@_prune
@click.option("--yes", is_flag=True, help="Do not ask.")
@_threads
@click.pass_obj
def apply(session: Session, file: str, prune: bool, yes: bool, threads: int) -> None:
    """Make the table what FILE (- is stdin) says; only what differs is written.

    Safe to interrupt and to repeat: the next run does what is left. What the file does not mention stays, unless
    --prune is given. A wrong file is refused whole, with all its mistakes.
    """
    output = session.output
    found = _plan(session, file, _read(file), prune=prune, threads=threads)
    if not output.as_json:
        output.answer(None, plan_text(found, file))
    elif not yes:
        output.note(plan_text(found, file))
    if found:
        confirm(session, "Make these changes?", yes)
    report = _apply(session, found, threads)
    for failed in report.failed:
        output.note(plain(f"{failed.change.path}: {failed.error}", "red"))
    if not found and not output.as_json:
        return
    output.answer(report_json(report), plain(_outcome(report), "" if report.is_complete else "red"))
    if not report.is_complete:
        session.end(Exit.INCOMPLETE)


@click.command(cls=Command)
@click.option("--output", "-o", "target", type=click.Path(dir_okay=False), help="Write to a file; else to stdout.")
@_threads
@click.pass_obj
def export(session: Session, target: str | None, threads: int) -> None:
    """Write the table as a file that `plan` and `apply` read.

    With --json the same as JSON, which is YAML too.
    """
    output = session.output
    with output.counting("Reading entities") as count:
        desired = export_table(session.limiter, threads=threads, progress=count)
    text = write_json(desired) if output.as_json else write(desired)
    if target is None:
        output.write(text)
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidRequest("--output", str(error)) from error
    output.note(
        plain(f"Wrote {len(desired.resources)} resources and {len(desired.entities)} entities to {target}.")
    )


def _read(file: str) -> Desired:
    source = "stdin" if file == "-" else file
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise InvalidDeclaration((Problem("", error.strerror or str(error)),), source) from error
    if len(data) > _MAX_BYTES:
        raise InvalidDeclaration((Problem("", f"must be at most {_MAX_BYTES:,} bytes"),), source)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidDeclaration((Problem("", "must be UTF-8", line),), source) from error
    return parse(text, source)


def _plan(session: Session, file: str, desired: Desired, *, prune: bool, threads: int) -> Plan:
    with session.output.counting("Reading the table") as count:
        present = read_present(session.limiter, desired, prune=prune, threads=threads, progress=count)
    try:
        return plan_changes(desired, present, prune=prune)
    except InvalidDeclaration as error:
        raise InvalidDeclaration(error.problems, "stdin" if file == "-" else file) from error


def _apply(session: Session, plan: Plan, threads: int) -> Report:
    made = 0

    with session.output.counting("Making changes") as count:

        def remember(done: int, total: int) -> None:
            nonlocal made
            made = done
            count(done, total)

        try:
            return apply_plan(session.limiter, plan, threads=threads, progress=remember)
        except KeyboardInterrupt:
            total = len(plan.changes)
            session.output.note(plain(f"{made} of {total} changes were made; apply again for the others."))
            raise


def _outcome(report: Report) -> str:
    done, failed, left = len(report.done), len(report.failed), len(report.left)
    made = f"Made {done} change{'' if done == 1 else 's'}"
    if report.is_complete:
        return f"{made}."
    return f"{made}; {failed} failed, {left} not tried. Apply again for what is left."
