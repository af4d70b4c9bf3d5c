"""A stage, and a client's way to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.direct.plays import Stage, playing


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def endpoint(stage: Stage) -> Iterator[str]:
    """Serve the stage; the value is its endpoint."""
    with playing(stage) as endpoint:
        yield endpoint
