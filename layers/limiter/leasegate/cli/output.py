"""Where answers go: one JSON document or readable text on stdout, everything else on stderr."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich import box
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

_WIDE: Final = 100_000
"""Where there is no terminal, nothing is cut or wrapped."""
_PLAIN_EVERY_S: Final = 5.0

type Count = Callable[[int, int], None]
"""Told how much is done, of how much."""


class Output:
    """What one run of the command says."""

    def __init__(self, *, as_json: bool, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Write to the standard streams of this moment; ``monotonic`` is a clock in seconds."""
        self.as_json = as_json
        self._monotonic = monotonic
        self._answers = _console(stderr=False)
        self._notes = _console(stderr=True)

    def answer(self, document: object, *texts: RenderableType) -> None:
        """Give the answer: as JSON to programs, as text or tables to people."""
        if self.as_json:
            self._answers.out(json.dumps(document, ensure_ascii=False, indent=2), highlight=False)
            return
        for text in texts:
            self._answers.print(text, soft_wrap=not isinstance(text, Table))

    def write(self, text: str) -> None:
        """Write a file's text as it is."""
        self._answers.out(text, end="", highlight=False)

    def note(self, text: RenderableType) -> None:
        """Say something that is no part of the answer."""
        self._notes.print(text, soft_wrap=True)

    @contextmanager
    def counting(self, doing: str) -> Iterator[Count]:
        """Show how far long work has come: a bar on a terminal, else a line every few seconds."""
        if not self._notes.is_terminal:
            yield self._plain_count(doing)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._notes, transient=True) as bar:
            task = bar.add_task(doing, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def _plain_count(self, doing: str) -> Count:
        said = self._monotonic()

        def count(done: int, total: int) -> None:
            nonlocal said
            if self._monotonic() - said >= _PLAIN_EVERY_S:
                said = self._monotonic()
                self.note(f"{doing}: {done} of {total}")

        return count


def table(*columns: str) -> Table:
    """Return an empty table; columns whose names end in ``#`` hold numbers."""
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        made.add_column(column.removesuffix("#"), justify="right" if column.endswith("#") else "left")
    return made


def plain(text: str, style: str = "") -> Text:
    """Return a text as it is: no markup, and nothing in it that would steer the terminal."""
    shown = "".join([c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text])
    return Text(shown, style=style)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDE
    return console
