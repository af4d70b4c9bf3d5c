"""``leasegate resources`` and ``leasegate audit``."""

from __future__ import annotations

import click

from ..http.documents import show_change, show_names, show_resource, show_switch
from .arguments import page_limit
from .listing import collect
from .output import plain, table
from .rendering import audit_table, limits_text, moment
from .session import Command, Group, Session


@click.group(cls=Group)
def resources() -> None:
    """Resources: those that have defaults, and whether they may be spent at all."""


@resources.command("list")
@click.pass_obj
def list_resources(session: Session) -> None:
    """List the resources that have defaults."""
    names = session.limiter.list_resources_with_defaults()
    made = table("resource")
    for name in names:
        made.add_row(name)
    session.output.answer(show_names(names), made if names else plain("No resource has defaults."))


@resources.command("get")
@click.argument("resource")
@click.pass_obj
def get_resource(session: Session, resource: str) -> None:
    """Show a resource's defaults, and whether it is disabled."""
    record = session.limiter.get_resource(resource)
    made = table("field", "value")
    made.add_row("defaults", limits_text(record.limits))
    made.add_row("disabled", "no" if record.disabled_at_ms is None else moment(record.disabled_at_ms))
    session.output.answer(show_resource(record), made)


@resources.command("disable")
@click.argument("resource")
@click.pass_obj
def disable_resource(session: Session, resource: str) -> None:
    """Let nobody spend a resource."""
    is_new = session.limiter.disable_resource(resource)
    session.output.answer(
        show_switch(is_new, disabled=True),
        plain(f"Disabled {resource} for everybody." if is_new else f"{resource} was disabled already."),
    )


@resources.command("enable")
@click.argument("resource")
@click.pass_obj
def enable_resource(session: Session, resource: str) -> None:
    """Let a resource be spent again."""
    is_new = session.limiter.enable_resource(resource)
    session.output.answer(
        show_switch(is_new, disabled=False),
        plain(f"Enabled {resource}." if is_new else f"{resource} was not disabled."),
    )


@click.command(cls=Command)
@click.argument("scope")
@page_limit
@click.pass_obj
def audit(session: Session, scope: str, most: int | None) -> None:
    """Show who changed what in the last 90 days, the latest first.

    SCOPE is system, resource:ID or entity:ID.
    """
    limiter = session.limiter
    records = collect(lambda after, size: limiter.list_audit(scope, cursor=after, page_size=size), most)
    text = audit_table(records.items) if records.items else plain("No changes.")
    session.output.answer(records.document(show_change), text)
    records.note(session.output)
