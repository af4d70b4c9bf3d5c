"""``leasegate acquire`` and ``leasegate available``: spend tokens, or see what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..errors import Disabled, RateLimitExceeded
from .arguments import LIMIT, TOKENS
from .exits import Exit
from .output import plain
from .rendering import availability_json, availability_table
from .session import Command, Session, named

if TYPE_CHECKING:
    from ..limits import Limit

_inline_limits = click.option(
    "--limits",
    type=LIMIT,
    multiple=True,
    metavar="NAME=LIMIT",
    help="Holds where no level has limits, such as rpm=60/minute. May be given several times.",
)
_parent = click.option("--parent", metavar="ID", help="The entity's parent, as a hint for the first read.")


@click.command(cls=Command)
@click.argument("entity_id", metavar="ENTITY")
@click.argument("resource")
@click.argument("tokens", type=TOKENS, nargs=-1, required=True, metavar="NAME=TOKENS...")
@_inline_limits
@_parent
@click.option("--no-cascade", is_flag=True, help="Leave the entity's ancestors out.")
@click.pass_obj
def acquire(
    session: Session,
    entity_id: str,
    resource: str,
    tokens: tuple[tuple[str, int], ...],
    limits: tuple[Limit, ...],
    parent: str | None,
    no_cascade: bool,
) -> None:
    """Spend tokens of an entity for a resource.

    leasegate acquire key-1 gpt-4 rpm=1 tpm=500

    Ends with 0 where they were granted, and with 1 where they were refused. What was granted stays spent; what was
    taken of a concurrency limit is free again when its time is over.
    """
    output = session.output
    consume = named("consume", tokens)
    try:
        lease = session.limiter.acquire(
            entity_id, resource, consume, limits=limits or None, parent_id=parent, cascade=not no_cascade
        )
    except RateLimitExceeded as refusal:
        document = {
            "granted": False,
            "retry_after_ms": refusal.retry_after_ms,
            "refusals": [{"entity_id": one.entity_id, "limit": one.state.name} for one in refusal.refusals],
            **availability_json(refusal.availability),
        }
        by = ", ".join([f"{one.state.name} of {one.entity_id}" for one in refusal.refusals])
        verdict = plain(f"Refused by {by}. Retry after {refusal.retry_after_ms} ms.", "red")
        output.answer(document, verdict, availability_table(refusal.availability))
        session.end(Exit.NO)
    except Disabled as refusal:
        output.answer({"granted": False, "reason": str(refusal)}, plain(f"Refused: {refusal}.", "red"))
        session.end(Exit.NO)
    else:
        document = {"granted": True, "consumed": dict(lease.consumed), **availability_json(lease.availability)}
        output.answer(document, plain("Granted.", "green"), availability_table(lease.availability))


@click.command(cls=Command)
@click.argument("entity_id", metavar="ENTITY")
@click.argument("resource")
@_inline_limits
@_parent
@click.pass_obj
def available(
    session: Session, entity_id: str, resource: str, limits: tuple[Limit, ...], parent: str | None
) -> None:
    """Show what an entity and its ancestors have left of a resource."""
    left = session.limiter.available(entity_id, resource, limits=limits or None, parent_id=parent)
    session.output.answer(availability_json(left), availability_table(left))
