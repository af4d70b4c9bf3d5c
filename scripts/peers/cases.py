"""What both contestants are asked, and how things stand then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from scripts.peers.contestant import Tokens

AMPLE: Final[Tokens] = {"rpm": 1_000_000, "tpm": 1_000_000}
ONE: Final[Tokens] = {"rpm": 1, "tpm": 1}
SCARCE: Final[Tokens] = {"rpm": 100, "tpm": 100}
MOST: Final[Tokens] = {"rpm": 60, "tpm": 60}
"""More than half of what is scarce: once it is spent, it takes 12 s until so much is there again."""


@dataclass(frozen=True, slots=True)
class Case:
    """A question to a process that has been at work, about entities with two limits.

    Attributes:
        asked_by: who has asked of the entity's bucket before.
        is_spent: whether another process has spent since what is asked for.
        is_refused: whether the process was refused the same a moment ago.
        has_defaults: the limits are those of the resource, and the entity has none of its own.
        requests: how many are asked in a turn.
        threads: how many ask at once.
    """

    name: str
    asked_by: Literal["itself", "another", "nobody"] = "itself"
    has_parent: bool = False
    has_defaults: bool = False
    is_spent: bool = False
    is_refused: bool = False
    requests: int = 10
    threads: int = 1

    @property
    def resource(self) -> str:
        """One of its own for the limits that the resource gives."""
        return "resource-with-limits" if self.has_defaults else "resource"

    @property
    def limits(self) -> Tokens:
        """What every level has, in a minute."""
        return SCARCE if self.is_spent else AMPLE

    @property
    def question(self) -> Tokens:
        """What is asked for."""
        return MOST if self.is_spent else ONE

    @property
    def is_lasting(self) -> bool:
        """Whether things stand as before once an entity has asked, so that it can ask again."""
        return self.asked_by == "itself" and not self.is_spent

    def entities(self, turn: int) -> list[str]:
        """Name the entity of each request of a turn."""
        return [f"{CASES.index(self)}-{turn}-{0 if self.is_lasting else n}" for n in range(self.requests)]


CASES: Final[Sequence[Case]] = (
    Case("known bucket, granted", requests=40),
    Case("known cascade of 2 levels, granted", has_parent=True, requests=40),
    Case("refused", is_spent=True),
    Case("refused again, within 1 s", is_spent=True, is_refused=True),
    Case("bucket that another process made, granted", asked_by="another"),
    Case("bucket that does not exist yet", asked_by="nobody"),
    Case("the same, cascade of 2 levels", asked_by="nobody", has_parent=True),
    Case(
        "one of 200 that do not exist yet, asked for by 8 threads",
        asked_by="nobody",
        has_defaults=True,
        requests=200,
        threads=8,
    ),
)
