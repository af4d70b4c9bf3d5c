"""Tell the person who waits what is being done: a spinner on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

console = Console(stderr=True, highlight=False)


@contextmanager
def step(doing: str) -> Iterator[None]:
    """Announce a step, and say how long it took once it is done."""
    started = time.monotonic()
    if console.is_terminal:
        with console.status(doing):
            yield
    else:
        console.print(f"- {doing} ...", soft_wrap=True)
        yield
    console.print(f"[green]✓[/] {doing} [dim]({time.monotonic() - started:.1f} s)[/]", soft_wrap=True)


def say(message: str) -> None:
    """Print one line or more, never wrapped or cut."""
    console.print(message, soft_wrap=True)
