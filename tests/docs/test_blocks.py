"""Every code block of every page is run by a test, or held to what it shows."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType

import pytest
from click import ClickException

from tests.docs.blocks import Blocks, declared, pages, read_blocks
from tests.docs.commands import check_session


def marks() -> Iterator[pytest.Mark]:
    """Yield what the tests beside this one say that they run; a mark counts with the fixture that holds it."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        module = importlib.import_module(f"tests.docs.{path.stem}")
        for name, test in vars(module).items():
            if name.startswith("test_") and isinstance(test, FunctionType) and "blocks" in test.__annotations__:
                yield from [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "runs"]


def test_no_block_is_left_out() -> None:
    run = set(declared(marks()))
    all_blocks = [block for page in pages() for block in read_blocks(page)]
    assert [str(block) for block in all_blocks if block not in run] == []
    assert len(all_blocks) > 80


def test_a_block_that_its_test_leaves_alone_is_found() -> None:
    blocks = Blocks(read_blocks("docs/usage.md"))
    blocks.take("python")
    assert {block.language for block in blocks.left} == {"console"}
    blocks.take("console", page="docs/usage.md")
    assert blocks.left == []


def test_a_mark_that_names_nothing_is_found() -> None:
    with pytest.raises(LookupError):
        declared([pytest.mark.runs("docs/usage.md", "rust").mark])


def test_blocks_without_a_language_and_indented_ones_are_blocks_too(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("- a list\n\n  ```\n  one\n  ```\n\ntext\n\n    two\n")
    found = [(block.language, block.number, block.content) for block in read_blocks(str(page))]
    assert found == [("", 0, "one\n"), ("", 1, "two\n")]


@pytest.mark.parametrize(
    "line",
    [
        "make coffee",
        "pip install -e '.[coffee]'",
        "leasegate limits brew",
        "leasegate limits plan --coffee",
        "aws lambda invoke --coffee black",
        "sam build && sam deploy --coffee",
    ],
)
def test_a_command_that_is_not_there_is_found(line: str) -> None:
    with pytest.raises((AssertionError, ClickException)):
        check_session(line)
