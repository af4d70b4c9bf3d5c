"""docs/concepts.md: its examples run, in order, and say what their comments say."""

from __future__ import annotations

import pytest

from leasegate.bucket import __doc__ as worked_example
from leasegate.knowledge import DEFAULT_MAX_AGE_MS, DEFAULT_REFUSAL_AGE_MS
from leasegate.records import LEVELS
from leasegate.schema import REQUEST_SLOTS
from scripts.toolchain import ROOT
from tests.docs.blocks import Blocks
from tests.docs.running import run

TEXT = " ".join((ROOT / "docs" / "concepts.md").read_text().split())


@pytest.mark.runs("docs/concepts.md")
def test_the_examples_run_and_say_what_their_comments_say(blocks: Blocks) -> None:
    claims = run(blocks.take("python"))
    assert len(claims) == 30


def test_the_figures_are_those_of_the_code() -> None:
    assert f"believed for {DEFAULT_MAX_AGE_MS // 1_000} s" in TEXT
    assert f"remembered for {DEFAULT_REFUSAL_AGE_MS // 1_000} s" in TEXT
    assert f"in {REQUEST_SLOTS} slots" in TEXT
    assert "on four levels" in TEXT.lower()
    assert len(LEVELS) == 4
    assert worked_example is not None
    assert "3 600 000" in worked_example
