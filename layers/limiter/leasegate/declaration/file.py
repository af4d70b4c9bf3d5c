"""limits.yaml: what it may hold, read to a :class:`Desired` value or refused with every mistake at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from ..errors import InvalidRequest
from ..flows.entities import EntityChange
from ..identifiers import check_identifier
from ..schema import MAX_LEVELS
from .desired import UNMENTIONED, Desired, DesiredEntity, DesiredResource, Limitation, Mentioned
from .levels import read_limits
from .nodes import Place, Reading, read_yaml
from .problems import InvalidDeclaration

ALL_RESOURCES: Final = "*"
"""Stands for all resources; no resource can be called so."""

_SECTIONS: Final = ("system", "resources", "entities")
_RESOURCE_FIELDS: Final = ("limits", "disabled")
_ENTITY_FIELDS: Final = ("parent", "name", "metadata", "disabled", "limits")


def parse(text: str, source: str = "limits.yaml") -> Desired:
    """Read a file's text; ``source`` names it in errors. Raises :class:`InvalidDeclaration`.

    ::

        system:
          rpm: 60 per minute
        resources:
          gpt-4:
            limits:
              tpm: 10000 per minute burst 20000
        entities:
          project-1:
            name: Project one
            metadata: {team: a}
          key-1:
            parent: project-1
            disabled: [gpt-3]
            limits:
              "*": {rpm: 10 per second}
              gpt-4: {tpm: 5000 per minute}

    Each field is optional. What is there is made exactly so; what is not there is left alone. ``null`` says that
    there is to be none: no limits on that level, no parent, no name.
    """
    reading = Reading()
    top = read_yaml(text, source)
    desired = Desired() if top is None or top.is_null or top.is_empty else _read_top(reading, top)
    if reading.problems:
        raise InvalidDeclaration(tuple(sorted(reading.problems, key=lambda problem: problem.line or 0)), source)
    return desired


def _read_top(reading: Reading, top: Place) -> Desired:
    fields = reading.fields(top, _SECTIONS) or {}
    resources = dict(_by_id(reading, fields.get("resources"), "resource"))
    entities = dict(_by_id(reading, fields.get("entities"), "entity_id"))
    desired = Desired(
        system=_read_optional_limits(reading, fields.get("system")),
        resources={resource: _read_resource(reading, place) for resource, place in resources.items()},
        entities={entity_id: _read_entity(reading, place) for entity_id, place in entities.items()},
    )
    for entity_id, place in entities.items():
        _check_ancestry(reading, place, desired.ancestry(entity_id))
    return desired


def _by_id(reading: Reading, place: Place | None, field: str) -> Iterator[tuple[str, Place]]:
    """Yield the members of a section whose names are ids."""
    if place is None:
        return
    for name, member in reading.members(place, "a mapping with ids for names"):
        if _is_identifier(reading, member, name, field):
            yield name, member


def _read_resource(reading: Reading, place: Place) -> DesiredResource:
    fields = reading.fields(place, _RESOURCE_FIELDS) or {}
    return DesiredResource(
        limits=_read_optional_limits(reading, fields.get("limits")),
        disabled=(reading.boolean(fields["disabled"]) or False) if "disabled" in fields else UNMENTIONED,
    )


def _read_entity(reading: Reading, place: Place) -> DesiredEntity:
    fields = reading.fields(place, _ENTITY_FIELDS) or {}
    return DesiredEntity(
        parent_id=_read_parent(reading, fields["parent"]) if "parent" in fields else UNMENTIONED,
        name=_read_name(reading, fields["name"]) if "name" in fields else UNMENTIONED,
        metadata=_read_metadata(reading, fields["metadata"]) if "metadata" in fields else UNMENTIONED,
        limits=_read_entity_limits(reading, fields["limits"]) if "limits" in fields else {},
        disabled=_read_switches(reading, fields["disabled"]) if "disabled" in fields else UNMENTIONED,
    )


def _read_optional_limits(reading: Reading, place: Place | None) -> Mentioned[Limitation]:
    return UNMENTIONED if place is None else read_limits(reading, place)


def _read_parent(reading: Reading, place: Place) -> str | None:
    if place.is_null:
        return None
    parent = reading.text(place, "an entity's id, or null for an entity at the top")
    return parent if parent is not None and _is_identifier(reading, place, parent, "parent") else None


def _read_name(reading: Reading, place: Place) -> str | None:
    name = None if place.is_null else reading.text(place, "a text, or null for none")
    try:
        EntityChange("any", name=name)
    except InvalidRequest as error:
        reading.refuse(place, error.reason)
    return name


def _read_metadata(reading: Reading, place: Place) -> Mapping[str, str]:
    if place.is_null:
        return {}
    texts = {
        name: reading.text(member, "a text; write null in quotes if that is meant")
        for name, member in reading.members(place, "texts by name, or null for none")
    }
    metadata = {name: text for name, text in texts.items() if text is not None}
    try:
        EntityChange("any", metadata=metadata)
    except InvalidRequest as error:
        reading.refuse(place, error.reason, f"{place.path}{error.field.removeprefix('metadata')}")
    return metadata


def _read_entity_limits(reading: Reading, place: Place) -> Mapping[str | None, Limitation]:
    limits: dict[str | None, Limitation] = {}
    for name, member in reading.members(place, f'limits by resource, "{ALL_RESOURCES}" for all others'):
        if name == ALL_RESOURCES:
            limits[None] = read_limits(reading, member)
        elif _is_identifier(reading, member, name, "resource"):
            limits[name] = read_limits(reading, member)
    return limits


def _read_switches(reading: Reading, place: Place) -> frozenset[str | None]:
    if not place.is_list:
        return frozenset([None]) if reading.boolean(place, "true, false or a list of resources") else frozenset()
    found: set[str | None] = set()
    for item in reading.items(place, "a list of resources"):
        resource = reading.text(item, f'a resource\'s id, or "{ALL_RESOURCES}"')
        if resource == ALL_RESOURCES:
            found.add(None)
        elif resource is not None and _is_identifier(reading, item, resource, "resource"):
            found.add(resource)
    return frozenset(found)


def _is_identifier(reading: Reading, place: Place, text: str, field: str) -> bool:
    try:
        check_identifier(field, text)
    except InvalidRequest as error:
        reading.refuse(place, error.reason)
        return False
    return True


def _check_ancestry(reading: Reading, place: Place, path: list[str]) -> None:
    """Refuse an entity that would be its own ancestor, or stand too deep, as far as the file itself knows."""
    is_cycle = path[-1] in path[:-1]
    if is_cycle and path[-1] == path[0]:
        reason = f"makes {path[0]} its own ancestor"
    elif not is_cycle and len(path) > MAX_LEVELS:
        reason = f"puts {path[0]} on level {len(path)} of {MAX_LEVELS}: {' < '.join(path)}"
    else:
        return
    reading.refuse(dict(reading.members(place, ""))["parent"], reason)
