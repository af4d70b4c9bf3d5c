"""The requests of writes as templates: built once for each shape, filled for each write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .expressions import Shape, compile_shape
from .wire import written

_FIELDS: Final[Mapping[object, str]] = {int: '{"N":"%d"}', str: '{"S":%s}', object: "%s"}
"""How a value is filled in, by what its shape says of it."""

KEY: Final = '"Key":%s'
"""The place of a key."""
ITEM: Final = '"Item":%s'
"""The place of a whole item, key included."""


@dataclass(frozen=True, slots=True)
class Template:
    """What all writes of one shape have in common.

    ``seen`` are the parameters that do not differ; ``text`` is filled with the key or the item, then the values,
    then the names of holders' attributes, quoted.
    """

    seen: Mapping[str, Any]
    text: str


type Parameters = tuple[tuple[str, str], ...]
"""Parameters that every write of a kind has, with their values."""


def compile_template(parameters: Parameters, place: str, shape: Shape) -> Template:
    """Build the template of a shape; raises as :func:`~leasegate.repository.expressions.compile_shape` does.

    ``place`` is :data:`KEY` or :data:`ITEM`.
    """
    expressions = compile_shape(shape)
    seen: dict[str, str] = dict(parameters)
    if expressions.update:
        seen["UpdateExpression"] = expressions.update
    if expressions.condition:
        seen["ConditionExpression"] = expressions.condition
    names = [f"{_constant(placeholder)}:{_constant(name)}" for placeholder, name in expressions.names.items()]
    names += [f"{_constant(placeholder)}:%s" for placeholder in expressions.holders]
    values = [f"{_constant(placeholder)}:{_FIELDS[kind]}" for placeholder, kind in expressions.values]
    parts = [*[f"{_constant(name)}:{_constant(value)}" for name, value in seen.items()], place]
    if values:
        parts.append(f'"ExpressionAttributeValues":{{{",".join(values)}}}')
    if names:
        parts.append(f'"ExpressionAttributeNames":{{{",".join(names)}}}')
    return Template(seen, f"{{{','.join(parts)}}}")


def _constant(value: object) -> str:
    return written(value).replace("%", "%%")
