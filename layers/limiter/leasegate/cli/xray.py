"""X-Ray, so far as traces are read from it: which there are, and what each is made of.

What it gives, and how: https://docs.aws.amazon.com/xray/latest/api/API_BatchGetTraces.html
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import batched
from typing import TYPE_CHECKING, Any, Final

from ..errors import InvalidRequest, StoreError
from ..limits import DAY_MS, HOUR_MS
from ..tracing import Trace, read_traces

if TYPE_CHECKING:
    from .output import Count
    from .services import Client

KEPT_MS: Final = 30 * DAY_MS
"""For how long X-Ray keeps a trace."""

_SLICE_MS: Final = 6 * HOUR_MS
"""X-Ray refuses to look through more at once."""
_IDS_AT_ONCE: Final = 5
_WAITS_S: Final = (0.5, 1.0, 2.0)
"""Before what was left unprocessed is asked for again."""

_TRACE_ID: Final = re.compile(r"1-([0-9a-f]{8})-([0-9a-f]{24})")
_W3C_TRACE_ID: Final = re.compile(r"([0-9a-f]{8})([0-9a-f]{24})")

_CUT: Final = "it was longer than X-Ray keeps"
_ARRIVING: Final = "not all of it has arrived, which takes some 30 s"
_SERVICE: Final = "AWS::Lambda"
_FUNCTION: Final = "AWS::Lambda::Function"


@dataclass(frozen=True, slots=True)
class Newest:
    """The ids of the newest traces, newest first, and how many besides them have not wholly arrived."""

    trace_ids: tuple[str, ...]
    arriving: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """What X-Ray has of the traces that were asked for.

    Attributes:
        traces: in the order in which they began.
        lacks: why a trace is not whole, by its id.
        missing: the ids of which X-Ray has nothing.
        unprocessed: the ids that it did not answer for, however often it was asked.
    """

    traces: tuple[Trace, ...]
    lacks: Mapping[str, str]
    missing: tuple[str, ...]
    unprocessed: tuple[str, ...]


def read_trace_id(text: str) -> str | None:
    """Return a trace's id as X-Ray writes it, be it given so or in the W3C's form; None where it is none."""
    found = _TRACE_ID.fullmatch(text.lower()) or _W3C_TRACE_ID.fullmatch(text.lower())
    return None if found is None else f"1-{found[1]}-{found[2]}"


def started_at_ms(trace: Trace) -> int:
    """Return when a trace began, by its id where nothing of it has ended."""
    return round(1000 * (trace.start_s or _time_of(trace.trace_id)))


class XRay:
    """The traces of an account and region."""

    def __init__(self, client: Client) -> None:
        """Speak to X-Ray."""
        self._client = client

    def find_newest(self, most: int, function: str, expression: str | None, start_ms: int, end_ms: int) -> Newest:
        """Find the newest traces in which a function took part, of those that an expression is true of.

        Raises :class:`InvalidRequest` where X-Ray does not understand the expression.
        """
        asked = f'service("{function}")' + (f" AND ({expression})" if expression else "")
        started: dict[str, float] = {}
        arriving: set[str] = set()
        try:
            for page in self._summaries(asked, start_ms, end_ms):
                for summary in page.get("TraceSummaries", ()):
                    trace_id = summary["Id"]
                    if summary.get("IsPartial"):
                        arriving.add(trace_id)
                    else:
                        started[trace_id] = _start_of(summary)
                # Each page is older than the one before.
                if len(started) >= most:
                    break
        except self._client.exceptions.InvalidRequestException as error:
            if expression is None:
                raise
            raise InvalidRequest("--filter", str(error)) from error
        newest = sorted(started, key=lambda trace_id: started[trace_id], reverse=True)
        return Newest(tuple(newest[:most]), len(arriving - set(started)))

    def _summaries(self, expression: str, start_ms: int, end_ms: int) -> Iterator[Mapping[str, Any]]:
        """Read the pages of summaries, the newest first."""
        pages = self._client.get_paginator("get_trace_summaries")
        while end_ms > start_ms:
            begin_ms = max(start_ms, end_ms - _SLICE_MS)
            yield from pages.paginate(
                StartTime=_to_second(begin_ms), EndTime=_to_second(end_ms), FilterExpression=expression
            )
            end_ms = begin_ms

    def fetch(self, trace_ids: Sequence[str], progress: Count) -> Fetched:
        """Fetch traces. What X-Ray leaves unprocessed is asked for again, a few times."""
        documents: list[str] = []
        cut: set[str] = set()
        left = self._fetch_some(trace_ids, documents, cut, progress)
        for wait_s in _WAITS_S:
            if not left:
                break
            time.sleep(wait_s)
            left = self._fetch_some(left, documents, cut, progress)
        try:
            traces = read_traces(documents)
        except InvalidRequest as error:
            raise StoreError(f"X-Ray's answer cannot be read: {error}") from error
        lacks = {trace.trace_id: lack for trace in traces if (lack := _lack_of(trace, cut)) is not None}
        known = {trace.trace_id for trace in traces}.union(left)
        missing = tuple([trace_id for trace_id in trace_ids if trace_id not in known])
        return Fetched(traces, lacks, missing, tuple(left))

    def _fetch_some(
        self, trace_ids: Sequence[str], documents: list[str], cut: set[str], progress: Count
    ) -> list[str]:
        """Add what there is of some traces, and which of them were cut; return those that were left out."""
        pages = self._client.get_paginator("batch_get_traces")
        left: list[str] = []
        for done, some in enumerate(batched(trace_ids, _IDS_AT_ONCE, strict=False), start=1):
            for page in pages.paginate(TraceIds=list(some)):
                for trace in page.get("Traces", ()):
                    documents += [segment["Document"] for segment in trace.get("Segments", ())]
                    if trace.get("LimitExceeded"):
                        cut.add(trace["Id"])
                left += page.get("UnprocessedTraceIds", ())
            progress(min(done * _IDS_AT_ONCE, len(trace_ids)), len(trace_ids))
        return left


def _lack_of(trace: Trace, cut: set[str]) -> str | None:
    if trace.trace_id in cut:
        return _CUT
    # Lambda itself sends a segment for the invocation, and another for the function: the latter comes later.
    invocations = [span for span in trace.spans if span.origin == _SERVICE]
    functions = [span for span in trace.spans if span.origin == _FUNCTION]
    awaited = [span for span in invocations if not span.is_failed]
    return None if trace.is_complete and len(functions) >= len(awaited) else _ARRIVING


def _start_of(summary: Mapping[str, Any]) -> float:
    started: datetime | None = summary.get("StartTime")
    return _time_of(summary["Id"]) if started is None else started.timestamp()


def _time_of(trace_id: str) -> float:
    """Return the second that is written in a trace's id."""
    return float(int(trace_id.split("-")[1], 16))


def _to_second(at_ms: int) -> datetime:
    """Return a time rounded up: X-Ray is told whole seconds."""
    return datetime.fromtimestamp(-(-at_ms // 1000), UTC)
