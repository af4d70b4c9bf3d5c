"""An extension of griffe, which reads the package for the library reference: docstrings as the site can show them.

Docstrings name things by roles, ``:class:`Lease```, which whoever reads the code takes in; the site wants links.
And a constructor's arguments are explained where its class is, so its own sentence, on what it does, is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import griffe

REFERENCE: Final = Path("docs/library.md")
_PLACE: Final = re.compile(r"^::: leasegate\.(\S+)$", re.MULTILINE)
_ROLE: Final = re.compile(r":(?:class|meth|func|mod):`~?(?P<name>[^`]+)`")


class Docstrings(griffe.Extension):  # type: ignore[misc] # griffe is in the environment of the site, which mypy does not see
    """Makes links of roles that name what stands in the reference, and code of all others."""

    def on_package(self, *, pkg: griffe.Module, **_more: Any) -> None:  # noqa: ANN401 - as griffe has it
        """Rewrite the docstrings of what the reference shows, when the whole package was read."""
        named = [pkg[path] for path in _PLACE.findall(REFERENCE.read_text())]
        shown = {each.canonical_path: each for named_one in named for each in _with_bases(named_one)}
        for one in shown.values():
            for part in (one, *one.members.values()):
                if part.is_alias or part.docstring is None:
                    continue
                if part.name == "__init__":
                    part.docstring = None
                else:
                    part.docstring.value = _linked(part.docstring.value, part, pkg, shown)


def _with_bases(thing: griffe.Object | griffe.Alias) -> Iterator[griffe.Object]:
    """Yield a thing, and what a class inherits from in this package."""
    target = thing.final_target if thing.is_alias else thing
    yield target
    if target.is_class:
        yield from target.mro()


def _linked(text: str, inside: griffe.Object, package: griffe.Module, shown: dict[str, griffe.Object]) -> str:
    def link(role: re.Match[str]) -> str:
        name = role["name"]
        path = _path(name, inside, package)
        has_place = path is not None and (path in shown or path.rpartition(".")[0] in shown)
        return f"[`{name}`][{path}]" if has_place else f"`{name}`"

    return _ROLE.sub(link, text)


def _path(name: str, inside: griffe.Object, package: griffe.Module) -> str | None:
    """Return the full path of what a docstring calls by a short name: a public one, or one of its own module."""
    first, dot, rest = name.partition(".")
    if first in package.members:
        return f"{package[first].canonical_path}{dot}{rest}"
    try:
        return f"{inside.resolve(first)}{dot}{rest}"
    except griffe.NameResolutionError:
        return None
