"""``leasegate entity reset`` and ``leasegate entity top-up``: buckets, corrected by hand."""

from __future__ import annotations

import click

from ..http.documents import show_replenishment
from .arguments import TOKENS
from .output import plain
from .session import Command, Session, named

_operation = click.option(
    "--operation-id",
    metavar="ID",
    help="Makes it safe to repeat for 90 days: what was done under this id is not done again.",
)
_ALREADY = "Nothing was done: an operation of this id was done before."


@click.command("reset", cls=Command)
@click.argument("entity_id", metavar="ENTITY")
@click.argument("resource")
@click.argument("names", nargs=-1, metavar="[LIMIT]...")
@_operation
@click.pass_obj
def reset(
    session: Session, entity_id: str, resource: str, names: tuple[str, ...], operation_id: str | None
) -> None:
    """Fill a bucket up, debts forgiven: the limits that are named, or all."""
    is_done = session.limiter.reset(entity_id, resource, names or None, operation_id=operation_id)
    what = ", ".join(names) or "all limits"
    text = f"Reset {what} of {entity_id} for {resource}." if is_done else _ALREADY
    session.output.answer(show_replenishment(is_done), plain(text))


@click.command("top-up", cls=Command)
@click.argument("entity_id", metavar="ENTITY")
@click.argument("resource")
@click.argument("tokens", type=TOKENS, nargs=-1, required=True, metavar="NAME=TOKENS...")
@_operation
@click.pass_obj
def top_up(
    session: Session,
    entity_id: str,
    resource: str,
    tokens: tuple[tuple[str, int], ...],
    operation_id: str | None,
) -> None:
    """Add tokens to a bucket, never to more than full.

    leasegate entity top-up key-1 gpt-4 tpm=500
    """
    amounts = named("tokens", tokens)
    is_done = session.limiter.top_up(entity_id, resource, amounts, operation_id=operation_id)
    what = ", ".join([f"{count} {name}" for name, count in amounts.items()])
    text = f"Added {what} to {entity_id} for {resource}." if is_done else _ALREADY
    session.output.answer(show_replenishment(is_done), plain(text))
