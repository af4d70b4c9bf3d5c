"""``leasegate limits``: the limits of one level, and which of them hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.console import RenderableType

from ..declaration.changes import Target
from ..errors import LimitsNotFound
from ..http.documents import Document, show_limits, show_resolution
from .arguments import LIMIT, level, level_options, page_limit
from .listing import collect
from .output import plain, table
from .rendering import limits_table, limits_text
from .session import Group, Session

if TYPE_CHECKING:
    from ..limiter import Limiter
    from ..limits import Limit


@click.group(cls=Group)
def limits() -> None:
    """Limits on their four levels, one by one or all in a file.

    The first level that has any wins whole: an entity for a resource, an entity, a resource, the system.
    """


@limits.command("get")
@level_options
@click.pass_obj
def get_limits(session: Session, entity: str | None, resource: str | None, system: bool) -> None:
    """Show the limits of one level."""
    target = level(entity, resource, system)
    found = read(session.limiter, target)
    if not found:
        raise LimitsNotFound(_name(target))
    session.output.answer(show_limits(found), limits_table(found))


@limits.command("set")
@level_options
@click.argument("given", type=LIMIT, nargs=-1, required=True, metavar="NAME=LIMIT...")
@click.pass_obj
def set_limits(
    session: Session, entity: str | None, resource: str | None, system: bool, given: tuple[Limit, ...]
) -> None:
    """Replace the limits of one level.

    A limit is NAME=AMOUNT/PERIOD or, with a burst, NAME=AMOUNT/PERIOD:BURST: rpm=60/minute lets 60 through a
    minute, tpm=10000/minute:20000 as much as 20000 at once. A period is second, minute, hour or day, or several:
    5/250ms, 100/12hours. The burst is the amount unless it is given.

    Or it is how many leases there may be at a time, and after which time one loses its place unless it is renewed,
    in quotes: "streams=20 concurrent for 60 seconds".

    leasegate limits set --system rpm=60/minute

    leasegate limits set --entity key-1 --resource gpt-4 rpm=60/minute tpm=10000/minute:20000
    """
    target = level(entity, resource, system)
    limiter = session.limiter
    if target.entity_id is not None:
        limiter.set_limits(target.entity_id, given, target.resource)
    elif target.resource is not None:
        limiter.set_resource_defaults(target.resource, given)
    else:
        limiter.set_system_defaults(given)
    text = plain(f"Set on {_name(target)}: {limits_text(given)}.")
    session.output.answer(show_limits(given), text)


@limits.command("delete")
@level_options
@click.pass_obj
def delete_limits(session: Session, entity: str | None, resource: str | None, system: bool) -> None:
    """Delete the limits of one level; what holds then, other levels say."""
    target = level(entity, resource, system)
    limiter = session.limiter
    if target.entity_id is not None:
        is_deleted = limiter.delete_limits(target.entity_id, target.resource)
    elif target.resource is not None:
        is_deleted = limiter.delete_resource_defaults(target.resource)
    else:
        is_deleted = limiter.delete_system_defaults()
    if not is_deleted:
        raise LimitsNotFound(_name(target))
    session.output.answer({"deleted": True}, plain(f"Deleted from {_name(target)}."))


@limits.command("list")
@click.option("--entity", metavar="ID", help="Whose limits; without it, those of the system and of all resources.")
@page_limit
@click.pass_obj
def list_limits(session: Session, entity: str | None, most: int | None) -> None:
    """List the defaults of the system and of all resources, or the limits of an entity."""
    limiter = session.limiter
    rows: list[tuple[Target, tuple[Limit, ...]]]
    if entity is None:
        names = limiter.list_resources_with_defaults()
        shown = names if most is None else names[:most]
        rows = [(Target(), limiter.get_system_defaults())]
        rows += [(Target(resource=name), limiter.get_resource_defaults(name)) for name in shown]
        is_complete = len(shown) == len(names)
    else:
        listed = collect(lambda after, size: limiter.list_limits(entity, cursor=after, page_size=size), most)
        rows = [(Target(entity, each.resource), each.limits) for each in listed.items]
        is_complete = listed.is_complete
    document, text = _listed([(target, found) for target, found in rows if found])
    session.output.answer({"items": document, "complete": is_complete}, text)
    if not is_complete:
        session.output.note(plain(f"Only the first {most} are shown; leave out --limit for all."))


@limits.command("resolve")
@click.argument("entity_id", metavar="ENTITY")
@click.argument("resource")
@click.pass_obj
def resolve_limits(session: Session, entity_id: str, resource: str) -> None:
    """Say which limits hold for an entity and a resource, and why."""
    resolution = session.limiter.resolve_limits(entity_id, resource)
    texts: list[RenderableType] = [plain(f"{resolution.reason[:1].upper()}{resolution.reason[1:]}.")]
    if resolution.is_disabled:
        texts.append(plain("Disabled: nothing may be spent, whatever the limits say.", "red"))
    if resolution.limits:
        texts.append(limits_table(resolution.limits))
    session.output.answer(show_resolution(resolution), *texts)


def read(limiter: Limiter, target: Target) -> tuple[Limit, ...]:
    """Return the limits of a level."""
    if target.entity_id is not None:
        return limiter.get_limits(target.entity_id, target.resource)
    if target.resource is not None:
        return limiter.get_resource_defaults(target.resource)
    return limiter.get_system_defaults()


def _listed(rows: list[tuple[Target, tuple[Limit, ...]]]) -> tuple[list[Document], RenderableType]:
    document: list[Document] = []
    made = table("on", "limits")
    for target, found in rows:
        document.append({"entity_id": target.entity_id, "resource": target.resource, **show_limits(found)})
        made.add_row(_name(target), limits_text(found))
    return document, made if rows else plain("No limits.")


def _name(target: Target) -> str:
    if target.entity_id is None:
        return "the system" if target.resource is None else f"resource {target.resource}"
    return f"entity {target.entity_id} for {target.resource or 'all resources'}"
