"""A deliberate defect of the package, and how a copy of the checkout is given it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PACKAGE: Final = Path("layers/limiter/leasegate")


class Misfit(ValueError):
    """A defect does not fit the code any more; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Defect:
    """One text of one file of the package in place of another, and the tests that must go red.

    ``name`` says in one line what is wrong then; ``old`` stands in ``file`` exactly once; ``tests`` are pytest's
    node ids, and each of them must fail.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def changed(self, checkout: Path) -> str:
        """Return the file with the defect in it. Raises :class:`Misfit` unless it fits and is Python still."""
        path = checkout / PACKAGE / self.file
        if not path.is_file():
            raise Misfit(f"{self.name}: there is no {path}")
        text = path.read_text()
        if text.count(self.old) != 1:
            raise Misfit(f"{self.name}: its text stands {text.count(self.old)} times in {self.file}, not once")
        changed = text.replace(self.old, self.new)
        try:
            compile(changed, self.file, "exec")
        except SyntaxError as error:
            raise Misfit(f"{self.name}: {self.file} is no Python then: {error}") from error
        return changed

    @contextmanager
    def applied(self, checkout: Path) -> Iterator[None]:
        """Let a copy of the checkout have the defect for a while."""
        path = checkout / PACKAGE / self.file
        changed, sound = self.changed(checkout), path.read_text()
        _write(path, changed)
        try:
            yield
        finally:
            _write(path, sound)


def _write(path: Path, text: str) -> None:
    """Write a module, and no bytecode of what it was, which Python would use where age and length are the same."""
    path.write_text(text)
    for stale in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        stale.unlink()
