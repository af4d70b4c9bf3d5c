"""What a page shows of a terminal: lines that are typed, and what comes of them."""

from __future__ import annotations

from collections.abc import Callable


def session(block: str, shell: Callable[[str], str]) -> str:
    """Run the lines of a block that begin with a prompt; return the block as it comes out."""
    shown = []
    for line in block.splitlines():
        if line.startswith("$ "):
            shown.append(line)
            shown += [answer.rstrip() for answer in shell(line[2:]).splitlines()]
    return "\n".join(shown) + "\n"
