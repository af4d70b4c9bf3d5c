"""What a picture of traces holds: a bar for each span and call, what is written at it, and the scale of all."""

from __future__ import annotations

from collections.abc import Iterable
from math import floor, log10
from typing import Final, NamedTuple
from unicodedata import east_asian_width

from ..tracing import Call, Span, Trace

_TICKS: Final = 5
_KINDS: Final = {
    "AWS::ApiGateway::Stage": "gateway ",
    "AWS::Lambda": "Lambda ",
    "AWS::Lambda::Function": "function ",
}


class Bar(NamedTuple):
    """Something that took time, in ms since its trace began; ``kind`` is its verdict, or ``span``."""

    label: str
    kind: str
    start_ms: float
    end_ms: float
    marks: tuple[str, ...]

    @property
    def value(self) -> str:
        """How long it took, and what else is to be said."""
        return " · ".join((f"{self.end_ms - self.start_ms:.1f} ms", *self.marks))


class Scale(NamedTuple):
    """The axis of time, up to the end of the longest trace."""

    last_ms: float
    tick_ms: float

    @property
    def ticks_ms(self) -> tuple[float, ...]:
        """Where the axis is labelled."""
        return tuple([number * self.tick_ms for number in range(floor(self.last_ms / self.tick_ms) + 1)])


def span_bars(trace: Trace) -> list[Bar]:
    """Return the bars of what is no call."""
    bars = []
    for span in trace.spans:
        label = _KINDS.get(span.origin or "", "") + span.name.removeprefix("## ")
        kind, marks = ("failed", ("failed",)) if span.is_failed else ("span", ())
        bars.append(Bar(label, kind, *_since_start(trace, span), marks))
    return bars


def call_bars(trace: Trace) -> list[list[Bar]]:
    """Return the bars of the calls, round trip by round trip."""
    return [
        [Bar(call.operation, call.verdict, *_since_start(trace, call), _marks(call)) for call in step]
        for step in trace.steps
    ]


def _since_start(trace: Trace, timed: Span | Call) -> tuple[float, float]:
    return (timed.start_s - trace.start_s) * 1_000, (timed.end_s - trace.start_s) * 1_000


def _marks(call: Call) -> tuple[str, ...]:
    verdict = () if call.verdict == "answered" else (call.verdict,)
    return verdict + ((f"{call.attempts} attempts",) if call.attempts > 1 else ())


def choose_scale(bars: Iterable[Bar]) -> Scale:
    """Return the scale that holds all bars; its ticks are round numbers, and few."""
    last_ms = max([bar.end_ms for bar in bars], default=0.0) or 1.0
    magnitude = 10.0 ** floor(log10(last_ms / _TICKS))
    fitting = [magnitude * digit for digit in (1, 2, 5) if last_ms <= magnitude * digit * _TICKS]
    return Scale(last_ms, min(fitting, default=magnitude * 10))


def summarize(trace: Trace) -> str:
    """Say in a line what a trace amounts to."""
    calls = len(trace.calls)
    return (
        f"{calls} call{'' if calls == 1 else 's'}, depth {trace.depth}, "
        f"{trace.dynamodb_s * 1_000:.1f} ms in DynamoDB, {trace.code_s * 1_000:.1f} ms in code"
    )


def printable(text: str) -> str:
    """Return a text in one line, without characters that XML cannot hold."""
    words = " ".join(text.split())
    return "".join([character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in words])


def columns(text: str) -> int:
    """Return how wide a text is; wide characters count twice."""
    return sum([2 if east_asian_width(character) in "WF" else 1 for character in text])


def shorten(text: str, room: int) -> str:
    """Take out of a text's middle what is more than so many columns."""
    text = printable(text)
    if columns(text) <= room:
        return text
    head, tail = text, ""
    while columns(head + tail) >= room and head:
        half = (len(head) + len(tail) - 1) // 2
        head, tail = text[: len(head) + len(tail) - 1 - half], text[len(text) - half :]
    return f"{head}…{tail}"
