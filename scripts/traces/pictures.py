"""The comparison in pictures: some by themselves, and all on one page. Their times are those of one run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from leasegate.cli.drawing import Figure, Panel, draw, write_page
from leasegate.tracing import Trace
from scripts.toolchain import ROOT
from scripts.traces.comparison import DELAY_MS, Comparison

FOLDER: Final = ROOT / "docs" / "traces"
PAGE: Final = FOLDER / "all.html"
PICTURED: Final = ("call-5", "cascade-5", "cascade-cold-named-2", "refused-2")
"""The cases, by their slugs, that have a picture of their own."""

_TITLE: Final = "Before and after, as X-Ray recorded it"
_INTRODUCTION: Final = f"""
Each case is put to two functions on the same emulator: the sequential algorithm that Leasegate grew from, and
Leasegate. A bar is a call to DynamoDB, from the subsegments that the functions sent to X-Ray's daemon. A coloured
band is a round trip: calls in the same band were under way side by side; one in the next band began when those of
the band before had ended.

DynamoDB's answers arrive {DELAY_MS} ms late on purpose, so that the waiting is seen. The calls, their order and
their depth are the same in every run; the times are those of one run on one machine.
"""


def write_pictures(comparisons: Iterable[Comparison]) -> tuple[Path, ...]:
    """Write all files anew; return what was written."""
    figures = {comparison.case.slug: _figure(comparison) for comparison in comparisons}
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.svg"):
        old.unlink()
    written = {FOLDER / f"{slug}.svg": draw(figures[slug].panels) for slug in PICTURED}
    written[PAGE] = write_page(_TITLE, _INTRODUCTION, list(figures.values()))
    for path, text in written.items():
        path.write_text(text)
    return tuple(written)


def _figure(comparison: Comparison) -> Figure:
    case, before, after = comparison
    name = case.name[0].upper() + case.name[1:]
    text = f"Before, {_count(before)}; after, {_count(after)}."
    return Figure(name, text, (_panel("Before", before), _panel("After", after)))


def _panel(when: str, trace: Trace) -> Panel:
    return Panel(f"{when}, DynamoDB {DELAY_MS} ms away", trace)


def _count(trace: Trace) -> str:
    calls, trips = len(trace.calls), trace.depth
    return f"{calls} call{_s(calls)} in {trips} round trip{_s(trips)}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"
