"""What families are held to, whoever moves and is deleted: trees of four levels, all descendants counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from .. import schema
from ..operations import Item, Key
from .calls import Violation


def check_families(items: Mapping[Key, Item]) -> None:
    """Hold the records in a table to what families must be: no circles, four levels, every descendant counted."""
    records = {
        schema.entity_of(key): schema.parse_entity(item)
        for key, item in items.items()
        if key == schema.entity_key(schema.entity_of(key))
    }
    below: Counter[tuple[str, int]] = Counter()
    for entity_id in records:
        above, level = records[entity_id].parent_id, 0
        while above is not None:
            if level >= len(schema.DESCENDANTS):
                raise Violation(f"{entity_id} stands too deep, or in a circle", schema.entity_key(entity_id))
            if above not in records:
                raise Violation(f"{above}, above {entity_id}, does not exist", schema.entity_key(above))
            below[above, level] += 1
            above, level = records[above].parent_id, level + 1
    for entity_id, record in records.items():
        really = tuple([below[entity_id, level] for level in range(len(schema.DESCENDANTS))])
        if record.descendants != really:
            raise Violation(
                f"{entity_id} counts {record.descendants} below it, and there are {really}",
                schema.entity_key(entity_id),
            )


def is_kinship(before: Item | None, after: Item | None) -> bool:
    """Say whether a record came or went, or says otherwise of those above and below it."""
    if before is None or after is None:
        return True
    return any(before.get(name) != after.get(name) for name in (schema.ENTITY_PARENT, *schema.DESCENDANTS))
