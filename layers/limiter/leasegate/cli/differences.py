"""A plan, and what became of it: as JSON for programs, as a diff for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from rich.text import Text

from ..declaration.changes import (
    Change,
    ChangeLimits,
    CreateEntity,
    Details,
    FinishChanges,
    Kind,
    Switch,
    UpdateEntity,
)
from ..declaration.shorthand import write_limit
from ..http.documents import Document
from ..http.limits import write_limits
from .output import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..declaration import Plan, Report

_SIGNS: Final[Mapping[Kind, tuple[str, str]]] = {
    "add": ("+", "green"),
    "change": ("~", "yellow"),
    "delete": ("-", "red"),
}


# --- for programs ----------------------------------------------------------------------------------


def plan_json(plan: Plan) -> Document:
    """Write all changes, and how many there are of each kind."""
    return {"changes": [change_json(change) for change in plan.changes], "summary": plan.counts}


def report_json(report: Report) -> Document:
    """Write what became of each change."""
    return {
        "complete": report.is_complete,
        "done": [change_json(change) for change in report.done],
        "failed": [{**change_json(failed.change), "error": str(failed.error)} for failed in report.failed],
        "left": [change_json(change) for change in report.left],
    }


def change_json(change: Change) -> Document:
    """Write one change with what is there before and after."""
    before, after = _values(change)
    return {"path": change.path, "kind": change.kind, "action": _action(change), "before": before, "after": after}


def _action(change: Change) -> str:
    match change:
        case ChangeLimits(after=()):
            return "delete_limits"
        case ChangeLimits():
            return "set_limits"
        case CreateEntity():
            return "create_entity"
        case UpdateEntity():
            return "update_entity"
        case Switch(is_disabled=is_disabled):
            return "disable" if is_disabled else "enable"
        case FinishChanges():
            return "finish_changes"


def _values(change: Change) -> tuple[object, object]:
    match change:
        case ChangeLimits(_, before, after):
            return write_limits(before), write_limits(after)
        case CreateEntity(_, parent_id, name, metadata):
            return None, asdict(Details(parent_id, name, metadata))
        case UpdateEntity(_, details_before, details_after):
            return asdict(details_before), asdict(details_after)
        case Switch(_, is_disabled):
            return not is_disabled, is_disabled
        case FinishChanges():
            return None, None


# --- for people --------------------------------------------------------------------------------------


def plan_text(plan: Plan, source: str) -> Text:
    """Write all changes as a diff, and their sum in the last line."""
    if not plan:
        return plain(f"Nothing differs: the table is as {source} says.")
    lines = [line for change in plan.changes for line in _lines(change)]
    counts = plan.counts
    summary = f"\nPlan: {counts['add']} to add, {counts['change']} to change, {counts['delete']} to delete."
    return Text("\n").join([*lines, Text(summary)])


def _lines(change: Change) -> Iterator[Text]:
    match change:
        case ChangeLimits(_, before, after):
            yield _line(change.kind, change.path)
            were, will_be = ({limit.name: write_limit(limit) for limit in limits} for limits in (before, after))
            yield from _fields(were, will_be)
        case CreateEntity(_, parent_id, name, metadata):
            yield _line(change.kind, change.path)
            yield from _fields({}, _described(Details(parent_id, name, metadata)))
        case UpdateEntity(_, details_before, details_after):
            yield _line(change.kind, change.path)
            yield from _fields(_described(details_before), _described(details_after))
        case Switch(_, is_disabled):
            yield _line(change.kind, f"{change.path}: {'disable' if is_disabled else 'enable'}")
        case FinishChanges():
            yield _line(change.kind, f"{change.path}: finish a change that was interrupted")


def _fields(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Text]:
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            yield _line("add", f"{name}: {after[name]}", indent=4)
        elif name not in after:
            yield _line("delete", f"{name}: {before[name]}", indent=4)
        elif before[name] != after[name]:
            yield _line("change", f"{name}: {before[name]} -> {after[name]}", indent=4)


def _described(details: Details) -> dict[str, str]:
    fields = {f"metadata.{name}": text for name, text in details.metadata.items()}
    if details.parent_id is not None:
        fields["parent"] = details.parent_id
    if details.name is not None:
        fields["name"] = details.name
    return fields


def _line(kind: Kind, text: str, indent: int = 0) -> Text:
    sign, style = _SIGNS[kind]
    return plain(f"{' ' * indent}{sign} {text}", style)
