"""Asking before something is done that cannot be undone."""

from __future__ import annotations

import sys

import click

from .exits import Exit
from .output import plain
from .session import Session


def confirm(session: Session, question: str, yes: bool) -> None:
    """Ask on the terminal, unless --yes was given; end the command where the answer is no, or nobody is there."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on; give --yes")
    if not click.confirm(question, err=True):
        session.output.note(plain("Nothing was changed."))
        session.end(Exit.NO)
