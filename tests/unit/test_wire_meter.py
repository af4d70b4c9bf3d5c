"""What an index costs when an item changes, by the rules of DynamoDB."""

from __future__ import annotations

import pytest

from leasegate.operations import Item, Key
from scripts.peers.wire_meter import Index

KEY = Key("BUCKET#a", "#STATE")
WHOLE = Index(("GSI2PK", "GSI2SK"), holds_all=True)
KEYS_ONLY = Index(("GSI2PK", "GSI2SK"), holds_all=False)
LOCAL = Index(("PK", "LSI1SK"), holds_all=True)

ENTRY: Item = {"GSI2PK": "r", "GSI2SK": "a", "n": 1}
CHANGED: Item = {**ENTRY, "n": 2}
MOVED: Item = {**ENTRY, "GSI2SK": "b"}
LARGE: Item = {**ENTRY, "x": "." * 1_500}
OUTSIDE: Item = {"GSI2PK": "r", "n": 1}


@pytest.mark.parametrize(
    ("index", "before", "after", "units"),
    [
        (WHOLE, None, ENTRY, 1),
        (WHOLE, ENTRY, None, 1),
        (WHOLE, ENTRY, ENTRY, 0),
        (WHOLE, ENTRY, CHANGED, 1),
        (WHOLE, ENTRY, MOVED, 2),
        (WHOLE, ENTRY, LARGE, 2),
        (WHOLE, LARGE, ENTRY, 2),
        (WHOLE, OUTSIDE, ENTRY, 1),
        (WHOLE, OUTSIDE, None, 0),
        (WHOLE, None, None, 0),
        (KEYS_ONLY, ENTRY, CHANGED, 0),
        (KEYS_ONLY, ENTRY, MOVED, 2),
        (KEYS_ONLY, None, LARGE, 1),
        (LOCAL, ENTRY, CHANGED, 0),
        (LOCAL, None, {"LSI1SK": "a"}, 1),
        (LOCAL, {"LSI1SK": "a"}, {"LSI1SK": "a", "n": 1}, 1),
    ],
)
def test_an_entry_that_comes_goes_moves_or_changes_is_written(
    index: Index, before: Item | None, after: Item | None, units: int
) -> None:
    assert index.write_units(KEY, before, after) == units
