"""docs/proof.md: its commands run, and what it links to is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from leasegate.simulation.faults import ALL
from leasegate.simulation.world import PROCESSES, THREADS
from scripts.mutations.catalogue import DEFECTS
from tests.command import Command
from tests.docs.blocks import Blocks

PAGE = Path(__file__).resolve().parents[2] / "docs" / "proof.md"
TEXT = PAGE.read_text()


@pytest.mark.runs("docs/proof.md")
def test_every_simulation_runs_if_only_for_a_little_while(blocks: Blocks) -> None:
    commands = [shlex.split(line) for block in blocks.take() for line in block.splitlines()]
    assert len(commands) == 2
    for program, *arguments in commands:
        assert program == "leasegate"
        shortened = {"--seeds": "2", "--steps": "300"}
        options = [shortened.get(before, each) for before, each in zip(["", *arguments], arguments, strict=False)]
        assert "0 violations" in Command()(*options, "--jobs", "1").stdout


def test_the_world_is_as_large_as_the_page_says() -> None:
    assert (PROCESSES, THREADS) == (4, 4)
    assert "four processes of four threads" in TEXT
    assert f"up to {2 * ALL.skew_ms / 1000} s" in TEXT


def test_there_are_as_many_deliberate_defects_as_is_said() -> None:
    assert f"{len(DEFECTS)} deliberate defects" in (PAGE.parents[1] / "README.md").read_text()


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", TEXT)
    assert links
    for link in links:
        assert (PAGE.parent / link).exists(), link
