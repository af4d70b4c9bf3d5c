"""The table of unit tests: in memory, with a clock in the hand of the test."""

from __future__ import annotations

import pytest

from leasegate import Limiter
from tests.fixtures.tables import MemoryTable


@pytest.fixture
def table() -> MemoryTable:
    return MemoryTable()


@pytest.fixture
def admin(table: MemoryTable) -> Limiter:
    return table.process()
