"""A :class:`Desired` value as the text of a file, which reads back as the same value."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

import yaml

from .desired import UNMENTIONED, Desired, DesiredEntity, DesiredResource, Limitation
from .file import ALL_RESOURCES
from .shorthand import write_limit

_UNPRINTABLE: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_Dumper: Final = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def write(desired: Desired) -> str:
    """Return the text of a file that says the same."""
    document = as_document(desired)
    if not document:
        return ""
    text = yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=1_000_000
    )
    return str(text)


def write_json(desired: Desired) -> str:
    """Return the same as JSON, which is YAML as well."""
    text = json.dumps(as_document(desired), ensure_ascii=False, indent=2)
    # JSON may hold these as they are, YAML may not.
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def as_document(desired: Desired) -> dict[str, object]:
    """Return what the file holds, as JSON would hold it."""
    top: dict[str, object] = {}
    if desired.system is not UNMENTIONED:
        top["system"] = _limits(desired.system)
    if desired.resources:
        top["resources"] = {name: _resource(resource) for name, resource in desired.resources.items()}
    if desired.entities:
        top["entities"] = {name: _entity(entity) for name, entity in desired.entities.items()}
    return top


def _limits(limits: Limitation) -> Mapping[str, str] | None:
    return {limit.name: write_limit(limit) for limit in limits} or None


def _resource(resource: DesiredResource) -> Mapping[str, object]:
    fields: dict[str, object] = {}
    if resource.disabled is not UNMENTIONED:
        fields["disabled"] = resource.disabled
    if resource.limits is not UNMENTIONED:
        fields["limits"] = _limits(resource.limits)
    return fields


def _entity(entity: DesiredEntity) -> Mapping[str, object]:
    fields: dict[str, object] = {}
    if entity.parent_id is not UNMENTIONED:
        fields["parent"] = entity.parent_id
    if entity.name is not UNMENTIONED:
        fields["name"] = entity.name
    if entity.metadata is not UNMENTIONED:
        fields["metadata"] = dict(entity.metadata)
    if entity.disabled is not UNMENTIONED:
        fields["disabled"] = _disabled(entity.disabled)
    if entity.limits:
        fields["limits"] = {
            ALL_RESOURCES if resource is None else resource: _limits(limits)
            for resource, limits in entity.limits.items()
        }
    return fields


def _disabled(resources: frozenset[str | None]) -> bool | list[str]:
    if resources == {None}:
        return True
    named = sorted([ALL_RESOURCES if resource is None else resource for resource in resources])
    return named or False
