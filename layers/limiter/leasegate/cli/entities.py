"""``leasegate entity``: who there is, and whose child."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from ..flows.entities import UNCHANGED
from ..http.documents import show_bucket, show_deletion, show_entity, show_switch
from .arguments import PAIR, page_limit
from .listing import Items, collect
from .output import plain, table
from .questions import confirm
from .rendering import buckets_table, entity_table
from .replenishing import reset, top_up
from .session import Group, Session, named

if TYPE_CHECKING:
    from ..records import Listing

_entity = click.argument("entity_id", metavar="ENTITY")
_name = click.option("--name", help="What people call it.")
_metadata = click.option(
    "--metadata", type=PAIR, multiple=True, metavar="NAME=TEXT", help="May be given several times."
)
_resource = click.option("--resource", metavar="ID", help="For this resource alone.")


@click.group(cls=Group)
def entity() -> None:
    """Entities: whoever spends, and above them those who pay for it."""


@entity.command("create")
@_entity
@click.option("--parent", metavar="ID", help="Whose child; without it, the entity stands at the top.")
@_name
@_metadata
@click.pass_obj
def create_entity(
    session: Session, entity_id: str, parent: str | None, name: str | None, metadata: tuple[tuple[str, str], ...]
) -> None:
    """Create an entity."""
    session.limiter.create_entity(entity_id, parent, name=name, metadata=named("metadata", metadata))
    above = "" if parent is None else f", a child of {parent}"
    session.output.answer({"entity_id": entity_id, "parent_id": parent}, plain(f"Created {entity_id}{above}."))


@entity.command("get")
@_entity
@click.pass_obj
def get_entity(session: Session, entity_id: str) -> None:
    """Show an entity."""
    record = session.limiter.get_entity(entity_id)
    session.output.answer(show_entity(record), entity_table(record))


@entity.command("update")
@_entity
@_name
@click.option("--no-name", is_flag=True, help="Remove its name.")
@_metadata
@click.option("--remove-metadata", multiple=True, metavar="NAME", help="May be given several times.")
@click.pass_obj
def update_entity(
    session: Session,
    entity_id: str,
    name: str | None,
    no_name: bool,
    metadata: tuple[tuple[str, str], ...],
    remove_metadata: tuple[str, ...],
) -> None:
    """Change what is given, and leave the rest."""
    if name is not None and no_name:
        raise click.UsageError("--name and --no-name contradict each other")
    changes: dict[str, str | None] = {**named("metadata", metadata), **dict.fromkeys(remove_metadata)}
    if name is None and not no_name and not changes:
        raise click.UsageError("nothing to change: give --name, --no-name, --metadata or --remove-metadata")
    session.limiter.update_entity(
        entity_id,
        name=None if no_name else UNCHANGED if name is None else name,
        metadata=changes or UNCHANGED,
    )
    session.output.answer({"entity_id": entity_id}, plain(f"Updated {entity_id}."))


@entity.command("move")
@_entity
@click.option("--to", "parent", metavar="ID", help="Its new parent.")
@click.option("--to-top", is_flag=True, help="Without a parent from now on.")
@click.pass_obj
def move_entity(session: Session, entity_id: str, parent: str | None, to_top: bool) -> None:
    """Give an entity another parent, or none."""
    if (parent is None) is not to_top:
        raise click.UsageError("where to? Give --to ID or --to-top")
    session.limiter.move_entity(entity_id, parent)
    where = "the top" if parent is None else parent
    session.output.answer({"entity_id": entity_id, "parent_id": parent}, plain(f"Moved {entity_id} to {where}."))


@entity.command("delete")
@_entity
@click.option("--reparent", is_flag=True, help="Give its children to its own parent; else it must have none.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete_entity(session: Session, entity_id: str, reparent: bool, yes: bool) -> None:
    """Delete an entity, its limits and its buckets. If that is interrupted, delete it again."""
    confirm(session, f"Delete {entity_id}, its limits and its buckets?", yes)
    deletion = session.limiter.delete_entity(entity_id, children="reparent" if reparent else "refuse")
    counted = f"limits of {deletion.limits} levels, {deletion.buckets} buckets"
    moved = f"; {deletion.children_moved} children moved" if deletion.children_moved else ""
    session.output.answer(show_deletion(deletion), plain(f"Deleted {entity_id}: {counted}{moved}."))


@entity.command("list")
@page_limit
@click.pass_obj
def list_entities(session: Session, most: int | None) -> None:
    """List the entities without a parent."""
    limiter = session.limiter
    _answer_ids(session, lambda after, size: limiter.list_entities(cursor=after, page_size=size), most)


@entity.command("children")
@_entity
@page_limit
@click.pass_obj
def list_children(session: Session, entity_id: str, most: int | None) -> None:
    """List an entity's children."""
    limiter = session.limiter
    _answer_ids(session, lambda after, size: limiter.list_children(entity_id, cursor=after, page_size=size), most)


@entity.command("buckets")
@_entity
@page_limit
@click.pass_obj
def list_buckets(session: Session, entity_id: str, most: int | None) -> None:
    """Show what an entity has left of everything that it has spent."""
    limiter = session.limiter
    buckets = collect(lambda after, size: limiter.list_buckets(entity_id, cursor=after, page_size=size), most)
    text = buckets_table(buckets.items) if buckets.items else plain("No buckets.")
    session.output.answer(buckets.document(show_bucket), text)
    buckets.note(session.output)


@entity.command("disable")
@_entity
@_resource
@click.pass_obj
def disable_entity(session: Session, entity_id: str, resource: str | None) -> None:
    """Let an entity spend nothing, of one resource or of all."""
    is_new = session.limiter.disable_entity(entity_id, resource)
    what = f"{entity_id} for {resource or 'all resources'}"
    text = plain(f"Disabled {what}." if is_new else f"{what}: was disabled already.")
    session.output.answer(show_switch(is_new, disabled=True), text)


@entity.command("enable")
@_entity
@_resource
@click.pass_obj
def enable_entity(session: Session, entity_id: str, resource: str | None) -> None:
    """Undo `disable`, as far as it went."""
    is_new = session.limiter.enable_entity(entity_id, resource)
    what = f"{entity_id} for {resource or 'all resources'}"
    text = plain(f"Enabled {what}." if is_new else f"{what}: was not disabled.")
    session.output.answer(show_switch(is_new, disabled=False), text)


entity.add_command(reset)
entity.add_command(top_up)


def _answer_ids(session: Session, read: Callable[[str | None, int], Listing[str]], most: int | None) -> None:
    ids: Items[str] = collect(read, most)
    made = table("entity")
    for entity_id in ids.items:
        made.add_row(entity_id)
    session.output.answer(ids.document(), made if ids.items else plain("No entities."))
    ids.note(session.output)
