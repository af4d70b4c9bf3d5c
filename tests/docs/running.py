"""Python of the pages, run with what its comments claim."""

from __future__ import annotations

import re
from collections.abc import Sequence


def run(codes: Sequence[str], names: dict[str, object] | None = None) -> list[str]:
    """Run code blocks one after the other, on names; hold what they claim to its value, and return all values."""
    claims: list[str] = []

    def check(value: object, expected: str) -> None:
        assert str(value) == expected
        claims.append(expected)

    known = {} if names is None else names
    known["check"] = check
    exec(checked("\n".join(codes)), known)  # noqa: S102 - the pages' own code
    return claims


def checked(code: str) -> str:
    """Turn ``expression  # value`` and ``print(expression)  # value`` into assertions, at any depth."""
    lines = []
    for line in code.splitlines():
        claim = re.fullmatch(r"( *)(print\()?(.+?)(?(2)\))  # ([^\s:]+)(: .*)?", line)
        lines.append(f"{claim[1]}check({claim[3]}, {claim[4]!r})" if claim else line)
    return "\n".join(lines)
