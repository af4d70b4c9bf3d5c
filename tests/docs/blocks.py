"""The code blocks of the documentation, and what of them a test says that it runs.

    @pytest.mark.runs("docs/usage.md", "python")
    def test_the_examples_run(blocks: Blocks) -> None:
        for code in blocks.take("python"):

The mark names a page, and of it a language or all, and of that a number from 0 or all; there may be several marks.
The fixture hands out these blocks, and fails where the test left one alone. So a mark is no mere claim, and the
list of all marks is a list of what runs; `test_blocks.py` holds it to what there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

from scripts.toolchain import ROOT

if TYPE_CHECKING:
    import pytest

NAMING = "<!-- file: "


@dataclass(frozen=True)
class Block:
    """A block of a page; ``number`` counts those of its language there, ``file`` is the name that it is given."""

    page: str
    language: str
    number: int
    line: int
    content: str
    file: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line} {self.language or 'no language'}"


@dataclass
class Blocks:
    """The blocks that a test says it runs, handed out once they are asked for."""

    declared: tuple[Block, ...]
    taken: set[Block] = field(default_factory=set)

    def take(self, language: str | None = None, *, page: str | None = None) -> list[str]:
        """Return what stands in the blocks, in their order: of a language, of a page, or in all."""
        return [block.content for block in self.take_blocks(language, page=page)]

    def take_blocks(self, language: str | None = None, *, page: str | None = None) -> list[Block]:
        """Return the blocks themselves."""
        found = [
            block for block in self.declared if language in (None, block.language) and page in (None, block.page)
        ]
        self.taken.update(found)
        return found

    @property
    def left(self) -> list[Block]:
        """What nobody asked for."""
        return [block for block in self.declared if block not in self.taken]


def pages() -> list[str]:
    """Name all pages that people read: the README, and what is in docs."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [str(path.relative_to(ROOT)) for path in found]


@cache
def read_blocks(page: str) -> tuple[Block, ...]:
    """Return the fenced blocks of a page, those in lists too."""
    return tuple(_blocks(page, (ROOT / page).read_text()))


def _blocks(page: str, text: str) -> Iterator[Block]:
    counts: dict[str, int] = {}
    name: str | None = None
    for token in MarkdownIt("commonmark", {"html": True}).parse(text):
        if token.type == "html_block" and token.content.startswith(NAMING):
            name = token.content.strip().removeprefix(NAMING).removesuffix(" -->")
        elif token.type in ("fence", "code_block"):
            assert token.map is not None
            number = counts.get(token.info, 0)
            counts[token.info] = number + 1
            yield Block(page, token.info, number, token.map[0] + 1, token.content, name)
            name = None


def declared(marks: Iterable[pytest.Mark]) -> tuple[Block, ...]:
    """Return the blocks that marks name, in the order of the pages; raise `LookupError` for a mark of nothing."""
    found: list[Block] = []
    for mark in marks:
        page, language, number = (*mark.args, None, None)[:3]
        named = [
            block
            for block in read_blocks(page)
            if language in (None, block.language) and number in (None, block.number)
        ]
        if not named:
            raise LookupError(f"there is no such block: {mark.args}")
        found += named
    return tuple(sorted(found, key=lambda block: (block.page, block.line)))
