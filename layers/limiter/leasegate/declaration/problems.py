"""What is wrong with a file: all of it at once."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import LeasegateError


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: the path of the field (empty for the whole file), what is wrong, and in which line."""

    path: str
    reason: str
    line: int | None = None

    def __str__(self) -> str:
        """Name field and reason, as errors of the library do."""
        return f"{self.path}: {self.reason}" if self.path else self.reason


class InvalidDeclaration(LeasegateError):
    """The file cannot be meant as it stands; nothing was written."""

    def __init__(self, problems: tuple[Problem, ...], source: str = "limits.yaml") -> None:
        """Keep every problem, in the order of the lines, and the name of the file."""
        self.problems = problems
        self.source = source
        super().__init__("\n".join([self.locate(problem) for problem in problems]))

    def locate(self, problem: Problem) -> str:
        """Write a problem with file and line, as compilers do and editors understand."""
        line = "" if problem.line is None else f":{problem.line}"
        return f"{self.source}{line}: {problem}"
