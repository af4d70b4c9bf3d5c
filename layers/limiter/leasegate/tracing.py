"""What X-Ray recorded: which calls to DynamoDB were made, in what order, and which of them side by side.

X-Ray's documents are JSON; they come one by one from a process that is traced here, or nested from
``BatchGetTraces``. Either way a call is a subsegment of the namespace ``aws``. The segments that X-Ray infers from
it, one for each table, are no further calls, and neither is an attempt that was repeated.

The *sequential depth* of a trace is the longest chain of calls in which each starts after the one before has
ended: so many times its caller waited for DynamoDB, one wait after the other. Seen from inside, they are a flow's
yields.

The format: https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import groupby
from typing import Any, Final, Literal

from .errors import InvalidRequest
from .subsegments import ATTEMPT, REFUSED

type Document = Mapping[str, Any]
"""A segment or subsegment, as its JSON reads."""
type Verdict = Literal["answered", "refused", "failed"]
"""How a call ended; a condition that does not hold is an answer, but another one."""

_CONDITION_FAILED: Final = "ConditionalCheckFailedException"
_HANDLER: Final = "## "
_FUNCTION: Final = "AWS::Lambda::Function"


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time and is no call to DynamoDB: a function, its handler, a gateway, another service.

    Attributes:
        name: what it is called.
        start_s: when it began, in seconds since 1970.
        end_s: when it ended.
        id: what its parts name as their ``parent_id``.
        parent_id: what it is a part of.
        origin: what a segment ran on, such as ``AWS::Lambda::Function``.
        is_failed: it failed. Whatever answered with a 4xx has not: a refused request is one.
    """

    name: str
    start_s: float
    end_s: float
    id: str
    parent_id: str | None
    origin: str | None
    is_failed: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A call to DynamoDB with all its attempts.

    Attributes:
        operation: what was asked, such as ``UpdateItem``.
        start_s: when the first attempt began, in seconds since 1970.
        end_s: when the last one ended.
        step: its place in the longest chain of calls up to it, from 1.
        attempts: how many requests were sent.
        verdict: how it ended: ``"answered"``, ``"refused"`` by a condition, or ``"failed"``.
        parent_id: the span that made the call.
    """

    operation: str
    start_s: float
    end_s: float
    step: int
    attempts: int
    verdict: Verdict
    parent_id: str | None


@dataclass(frozen=True, slots=True)
class Trace:
    """What became of one request. Calls and spans stand in the order in which they began.

    Attributes:
        trace_id: X-Ray's id of it.
        calls: what was asked of DynamoDB.
        spans: what else took time.
        annotations: what the functions noted of the request.
        is_complete: everything that began has ended, so far as is known.
    """

    trace_id: str
    calls: tuple[Call, ...]
    spans: tuple[Span, ...]
    annotations: Mapping[str, str | float | bool]
    is_complete: bool

    @property
    def operations(self) -> tuple[str, ...]:
        """What was asked of DynamoDB, in order."""
        return tuple([call.operation for call in self.calls])

    @property
    def depth(self) -> int:
        """The sequential depth: how often DynamoDB was waited for, one wait after the other."""
        return max([call.step for call in self.calls], default=0)

    @property
    def steps(self) -> tuple[tuple[Call, ...], ...]:
        """The calls step by step: what ran side by side is one step."""
        ordered = sorted(self.calls, key=_step)
        return tuple([tuple(calls) for _, calls in groupby(ordered, key=_step)])

    @property
    def attempts(self) -> int:
        """How many requests were sent, repetitions among them."""
        return sum(call.attempts for call in self.calls)

    @property
    def start_s(self) -> float:
        """When the first thing began."""
        return min([start_s for start_s, _ in self._intervals()], default=0.0)

    @property
    def end_s(self) -> float:
        """When the last thing ended."""
        return max([end_s for _, end_s in self._intervals()], default=0.0)

    def _intervals(self) -> list[tuple[float, float]]:
        spans = [(span.start_s, span.end_s) for span in self.spans]
        return spans + [(call.start_s, call.end_s) for call in self.calls]

    @property
    def dynamodb_s(self) -> float:
        """Seconds in which at least one call was under way."""
        return _covered_s([(call.start_s, call.end_s) for call in self.calls])

    @property
    def code_s(self) -> float:
        """Seconds in which a handler ran, and no call was under way; of a function where it names no handler."""
        handlers = [(span.start_s, span.end_s) for span in self.handlers]
        calls = [(call.start_s, call.end_s) for call in self.calls]
        return _covered_s(handlers + calls) - _covered_s(calls) if handlers else 0.0

    @property
    def handlers(self) -> tuple[Span, ...]:
        """The spans in which the functions' own code ran."""
        named = tuple([span for span in self.spans if span.name.startswith(_HANDLER)])
        return named or tuple([span for span in self.spans if span.origin == _FUNCTION])

    @property
    def is_failed(self) -> bool:
        """Whether a call failed in the end, or a function or what it uses."""
        return any(span.is_failed for span in self.spans) or any(call.verdict == "failed" for call in self.calls)


def read_traces(documents: Iterable[Document | str]) -> tuple[Trace, ...]:
    """Return the traces of documents that may come in any order, twice, nested or each by itself.

    The traces stand in the order in which they began. For what X-Ray cannot have written it raises
    :class:`InvalidRequest`, which names the document and the field.
    """
    known: dict[str, dict[str, Document]] = {}
    for place, document in enumerate(documents):
        where = f"documents[{place}]"
        for trace_id, part in _parts(_parsed(document, where), where, None, None):
            parts = known.setdefault(trace_id, {})
            if part["id"] not in parts or "end_time" in part:
                parts[part["id"]] = part
    return tuple(sorted([_trace(trace_id, parts.values()) for trace_id, parts in known.items()], key=_start))


def _parsed(document: Document | str, where: str) -> Document:
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except ValueError as error:
            raise InvalidRequest(where, f"is no JSON: {error}") from error
    return _object(document, where)


def _object(value: object, where: str) -> Document:
    if not isinstance(value, Mapping):
        raise InvalidRequest(where, "must be an object")
    return value


def _parts(
    document: Document, where: str, trace_id: str | None, parent_id: str | None
) -> Iterator[tuple[str, Document]]:
    """Take a document apart: itself and all its subsegments, each with the trace's id and with its parent's."""
    trace_id = document.get("trace_id", trace_id)
    for field, value, kind in (
        ("trace_id", trace_id, str),
        ("id", document.get("id"), str),
        ("name", document.get("name"), str),
        ("start_time", document.get("start_time"), (int, float)),
        ("end_time", document.get("end_time", 0), (int, float)),
    ):
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InvalidRequest(f"{where}.{field}", f"is missing, or is none: {value!r}")
    assert isinstance(trace_id, str)
    yield trace_id, {"parent_id": parent_id, **document}
    for place, subsegment in enumerate(document.get("subsegments", ())):
        inside = f"{where}.subsegments[{place}]"
        yield from _parts(_object(subsegment, inside), inside, trace_id, document["id"])


def _trace(trace_id: str, parts: Collection[Document]) -> Trace:
    ended = sorted([part for part in parts if "end_time" in part], key=lambda part: float(part["start_time"]))
    recorded = [part for part in ended if not part.get("inferred")]
    others = [part for part in recorded if not _is_call(part)]
    annotations: dict[str, str | float | bool] = {}
    for part in others:
        annotations |= part.get("annotations", {})
    calls = _in_steps(_joined([part for part in recorded if _is_call(part)]))
    return Trace(trace_id, calls, tuple(map(_span, others)), annotations, len(ended) == len(parts))


def _is_call(part: Document) -> bool:
    return (
        part.get("namespace") == "aws"
        and part["name"].lower() == "dynamodb"
        and "operation" in part.get("aws", {})
    )


def _span(part: Document) -> Span:
    return Span(
        name=part["name"],
        start_s=float(part["start_time"]),
        end_s=float(part["end_time"]),
        id=part["id"],
        parent_id=part["parent_id"],
        origin=part.get("origin"),
        is_failed=part.get("fault") is True,
    )


def _joined(parts: Sequence[Document]) -> list[list[Document]]:
    """Put every attempt behind the one that it repeats: one of its kind that had failed by then."""
    calls: list[list[Document]] = []
    for part in parts:
        repeated = next((call for call in calls if _repeats(part, call[-1])), None)
        if repeated is None:
            calls.append([part])
        else:
            repeated.append(part)
    return calls


def _repeats(part: Document, failed: Document) -> bool:
    return (
        _attempt(part) == _attempt(failed) + 1
        and part["aws"]["operation"] == failed["aws"]["operation"]
        and part["parent_id"] == failed["parent_id"]
        and float(part["start_time"]) >= float(failed["end_time"])
        and _verdict(failed) == "failed"
    )


def _attempt(part: Document) -> int:
    number: int = part.get("annotations", {}).get(ATTEMPT, 1)
    return number


def _in_steps(calls: Sequence[Sequence[Document]]) -> tuple[Call, ...]:
    """Give each call its step: one more than the highest of those that had ended when it began."""
    under_way: list[tuple[float, int]] = []
    highest_ended = 0
    stepped = []
    for attempts in calls:
        first, last = attempts[0], attempts[-1]
        start_s, end_s = float(first["start_time"]), float(last["end_time"])
        while under_way and under_way[0][0] <= start_s:
            highest_ended = max(highest_ended, heappop(under_way)[1])
        step = highest_ended + 1
        heappush(under_way, (end_s, step))
        sent = sum(1 + part["aws"].get("retries", 0) for part in attempts)
        stepped.append(
            Call(first["aws"]["operation"], start_s, end_s, step, sent, _verdict(last), first["parent_id"])
        )
    return tuple(stepped)


def _verdict(part: Document) -> Verdict:
    if part.get("annotations", {}).get(REFUSED) is True or _cause(part) == _CONDITION_FAILED:
        return "refused"
    return "failed" if _is_red(part) else "answered"


def _is_red(part: Document) -> bool:
    return any(part.get(mark) is True for mark in ("error", "fault", "throttle"))


def _cause(part: Document) -> str | None:
    """Return the type of the exception that ended a subsegment; a cause may also be the id of another one's."""
    cause = part.get("cause")
    exceptions = cause.get("exceptions", ()) if isinstance(cause, Mapping) else ()
    return exceptions[0].get("type") if exceptions else None


def _covered_s(intervals: Iterable[tuple[float, float]]) -> float:
    """Return for how many seconds at least one of some intervals lasts."""
    total = covered_to = 0.0
    for start_s, end_s in sorted(intervals):
        total += max(0.0, end_s - max(start_s, covered_to))
        covered_to = max(covered_to, end_s)
    return total


def _step(call: Call) -> int:
    return call.step


def _start(trace: Trace) -> float:
    return trace.start_s
