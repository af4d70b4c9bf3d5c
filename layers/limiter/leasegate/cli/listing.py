"""Listings of any length: all their pages, or as many items as were asked for, never silently cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .output import plain

if TYPE_CHECKING:
    from ..http.documents import Document
    from ..records import Listing
    from .output import Output

_PAGE_SIZE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Items[T]:
    """What a listing has; ``is_complete`` says whether that is all."""

    items: tuple[T, ...]
    is_complete: bool

    def document(self, show: Callable[[T], object] = lambda item: item) -> Document:
        """Write them for programs."""
        return {"items": [show(item) for item in self.items], "complete": self.is_complete}

    def note(self, output: Output, remedy: str = "leave out --limit for all") -> None:
        """Say on stderr that there are more, if there are."""
        if not self.is_complete:
            output.note(plain(f"Only the first {len(self.items)} are shown; {remedy}."))


def collect[T](read: Callable[[str | None, int], Listing[T]], most: int | None) -> Items[T]:
    """Follow the cursors to the end, or to ``most`` items; ``read`` is given a cursor and the size of a page."""
    items: list[T] = []
    cursor = None
    while True:
        page_size = _PAGE_SIZE if most is None else min(_PAGE_SIZE, most - len(items))
        page = read(cursor, page_size)
        items += page.items
        cursor = page.cursor
        if cursor is None or len(items) == most:
            return Items(tuple(items), cursor is None)
