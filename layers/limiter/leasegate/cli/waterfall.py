"""Traces as people read them in a terminal, bars for one and rows for many; and as programs read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from textwrap import wrap
from typing import TYPE_CHECKING, Final

import rich.bar
from rich.table import Table
from rich.text import Text

from .bars import call_bars, span_bars, summarize
from .output import plain, table
from .rendering import moment
from .xray import started_at_ms

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..http.documents import Document
    from ..tracing import Trace

_WIDTH: Final = 80
_GAP: Final = 3
_LEAST_BAR: Final = 10
_COLORS: Final[Mapping[str, str]] = {"span": "blue", "answered": "green", "refused": "yellow", "failed": "red"}
_AWS: Final = "aws:"
"""What the services themselves annotate."""

type Lacks = Mapping[str, str]
"""Why a trace is not whole, by its id."""


# --- one trace ---------------------------------------------------------------------------------------


def waterfall(trace: Trace, lacks: Lacks) -> list[RenderableType]:
    """Write what a trace says of itself, its calls as bars, and what they took; fits into 80 columns."""
    head = plain(f"{trace.trace_id}   {moment(started_at_ms(trace))}", "bold")
    parts: list[RenderableType] = [head]
    parts += [plain(line) for line in wrap(notes(trace), _WIDTH, break_long_words=False, break_on_hyphens=False)]
    if trace.calls:
        parts.append(_chart(trace))
    parts.append(plain(f"{summarize(trace)}; failed", "red") if trace.is_failed else plain(summarize(trace)))
    if (lack := lacks.get(trace.trace_id)) is not None:
        parts.append(plain(f"Incomplete: {lack}.", "yellow"))
    return parts


def notes(trace: Trace) -> str:
    """Write the functions' annotations of a trace in one line."""
    noted = {name: value for name, value in trace.annotations.items() if not name.startswith(_AWS)}
    return ", ".join([f"{name} {_value(value)}" for name, value in sorted(noted.items())])


def _chart(trace: Trace) -> Table:
    """Draw the handlers, and below them the calls, all on one scale."""
    spans = zip(trace.spans, span_bars(trace), strict=True)
    rows = [("", bar) for span, bar in spans if span in trace.handlers]
    rows += [(str(step), bar) for step, bars in enumerate(call_bars(trace), start=1) for bar in bars]
    begin_ms, end_ms = min([bar.start_ms for _, bar in rows]), max([bar.end_ms for _, bar in rows])
    cells = [
        (step, bar.label, f"{bar.start_ms - begin_ms:.1f}", f"{bar.end_ms - bar.start_ms:.1f}")
        for step, bar in rows
    ]
    heads = ("step", "operation", "at ms", "ms")
    others = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    marks = [", ".join(bar.marks) for _, bar in rows]
    others += [max(map(len, marks))] if any(marks) else []
    width = max(_LEAST_BAR, _WIDTH - sum(others) - _GAP * len(others))
    made = table("step#", "operation", "at ms#", "ms#", "", *([""] if any(marks) else []))
    for (_, bar), (step, name, *times), mark in zip(rows, cells, marks, strict=True):
        color = _COLORS[bar.kind]
        drawn = _draw(bar.start_ms - begin_ms, bar.end_ms - begin_ms, end_ms - begin_ms, width, color)
        made.add_row(step, plain(name), *times, drawn, *([plain(mark, color)] if any(marks) else []))
    return made


def _draw(begin: float, end: float, size: float, width: int, color: str) -> rich.bar.Bar | Text:
    """Draw a bar of a character's width at least, so that whatever took no time is seen too."""
    if size <= 0:
        return Text("█", style=color)
    least = size / width
    begin = min(begin, size - least)
    return rich.bar.Bar(size, begin, max(end, begin + least), width=width, color=color)


# --- many traces -------------------------------------------------------------------------------------


def traces_table(traces: Sequence[Trace], lacks: Lacks) -> Table:
    """Write a trace a row; operations that ran side by side are joined by ``+``."""
    made = table("when", "verdict", "operations", "calls#", "depth#", "DynamoDB#", "code#")
    moments = [moment(started_at_ms(trace)).split(" ") for trace in traces]
    is_one_day = len({day for day, _ in moments}) == 1
    for trace, (day, at) in zip(traces, moments, strict=True):
        verdict = str(trace.annotations.get("verdict", ""))
        if trace.trace_id in lacks:
            verdict = f"{verdict}, incomplete".removeprefix(", ")
        made.add_row(
            at if is_one_day else f"{day} {at}",
            plain(verdict, "red" if trace.is_failed else ""),
            plain(operations(trace)),
            str(len(trace.calls)),
            str(trace.depth),
            _ms(trace.dynamodb_s),
            _ms(trace.code_s),
        )
    return made


def operations(trace: Trace) -> str:
    """Write the operations of a trace step by step; what is known to have run side by side is joined by ``+``."""
    return ", ".join([" + ".join([call.operation for call in step]) for step in trace.steps])


def distribution(traces: Sequence[Trace], lacks: Lacks) -> str:
    """Say how many traces are of which depth, and what one of them typically took; only whole ones count."""
    whole = [trace for trace in traces if trace.trace_id not in lacks]
    told = f"{len(traces)} trace{'' if len(traces) == 1 else 's'}"
    if whole:
        depths = [f"{count} of depth {depth}" for depth, count in sorted(_depths(whole).items())]
        in_dynamodb = _ms(median([trace.dynamodb_s for trace in whole]))
        in_code = _ms(median([trace.code_s for trace in whole]))
        told += f": {', '.join(depths)}; median {in_dynamodb} in DynamoDB, {in_code} in code"
    left_out = len(traces) - len(whole)
    return f"{told}." if not left_out else f"{told}; {left_out} incomplete and not counted."


# --- for programs ------------------------------------------------------------------------------------


def trace_json(trace: Trace, lacks: Lacks) -> Document:
    """Write all that is known of a trace; offsets are from its beginning."""
    return {
        "trace_id": trace.trace_id,
        "start_ms": started_at_ms(trace),
        "depth": trace.depth,
        "operations": [[call.operation for call in step] for step in trace.steps],
        "attempts": trace.attempts,
        "dynamodb_ms": _rounded_ms(trace.dynamodb_s),
        "code_ms": _rounded_ms(trace.code_s),
        "failed": trace.is_failed,
        "incomplete": lacks.get(trace.trace_id),
        "annotations": dict(trace.annotations),
        "calls": [
            {
                "operation": call.operation,
                "step": call.step,
                "offset_ms": _rounded_ms(call.start_s - trace.start_s),
                "duration_ms": _rounded_ms(call.end_s - call.start_s),
                "attempts": call.attempts,
                "verdict": call.verdict,
            }
            for call in trace.calls
        ],
    }


def depths_json(traces: Sequence[Trace], lacks: Lacks) -> Document:
    """Count whole traces by their depth."""
    whole = [trace for trace in traces if trace.trace_id not in lacks]
    return {str(depth): count for depth, count in sorted(_depths(whole).items())}


def _depths(traces: Sequence[Trace]) -> Counter[int]:
    return Counter([trace.depth for trace in traces])


def _value(value: str | float | bool) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


def _rounded_ms(seconds: float) -> float:
    return round(1000 * seconds, 3)
