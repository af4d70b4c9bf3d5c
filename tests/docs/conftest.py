"""The fixture that hands the documentation's code blocks to the tests that run them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docs.blocks import Blocks, declared


@pytest.fixture
def blocks(request: pytest.FixtureRequest) -> Iterator[Blocks]:
    """The blocks that the test's marks name; those that it does not take are a failure."""
    handed_out = Blocks(declared(request.node.iter_markers("runs")))
    yield handed_out
    assert [str(block) for block in handed_out.left] == [], "named by the test's mark, and not taken by it"
