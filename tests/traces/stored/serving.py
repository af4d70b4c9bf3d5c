"""X-Ray from the stored answers: a client of the SDK as it is, only that what it sends is answered here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config

FOLDER: Final = Path(__file__).resolve().parent
SEQUENTIAL: Final = "sequential"
"""The function of staircase.json."""
ACQUIRE: Final = "leasegate-AcquireFunction-Qm1xT0pYb3nA"
"""The function of the others."""

_ANNOTATION: Final = re.compile(r'annotation\.(\w+) = "([^"]*)"')

type Json = dict[str, Any]


def stored(name: str) -> Json:
    """Return the one trace of a file."""
    (trace,) = json.loads((FOLDER / f"{name}.json").read_text())["Traces"]
    return dict(trace)


def trace_id(name: str) -> str:
    """Return the id of the trace of a file."""
    return str(stored(name)["Id"])


class StoredXRay:
    """Answers as X-Ray would that had these traces.

    Attributes:
        requests: the bodies of what was asked, each with its path.
        page_size: how many summaries, or segments of a batch, make a page.
        unprocessed: how many times each of some ids is still left unprocessed.
        throttled: how many requests are still refused, because they are too many.
        not_understood: a filter that is refused.
    """

    def __init__(self, *names: str) -> None:
        self.requests: list[tuple[str, Json]] = []
        self.page_size = 100
        self.unprocessed: dict[str, int] = {}
        self.throttled = 0
        self.not_understood = ""
        self.traces = {trace["Id"]: trace for trace in map(stored, names)}
        summaries = json.loads((FOLDER / "summaries.json").read_text())["TraceSummaries"]
        self.summaries: list[Json] = [summary for summary in summaries if summary["Id"] in self.traces]

    def client(self) -> Any:  # noqa: ANN401 - a client of the SDK; it has no types here
        """Make a client that is answered here."""
        config = Config(retries={"total_max_attempts": 4, "mode": "standard"}, parameter_validation=False)
        client = boto3.client("xray", region_name="eu-west-1", config=config)
        client.meta.events.register("before-send.xray", self._answer)
        return client

    def asked(self, path: str) -> list[Json]:
        """Return the bodies of what was asked at a path."""
        return [body for asked, body in self.requests if asked == path]

    def _answer(self, request: AWSPreparedRequest, **_event: object) -> AWSResponse:
        path = "/" + request.url.rpartition("/")[2]
        assert isinstance(request.body, bytes)
        body = json.loads(request.body)
        self.requests.append((path, body))
        status, error, answer = self._judge(path, body)
        headers = HTTPHeaders()
        if error:
            headers["x-amzn-errortype"] = error
        return AWSResponse(request.url, status, headers, _Raw(json.dumps(answer).encode()))

    def _judge(self, path: str, body: Json) -> tuple[int, str, Json]:
        if self.throttled:
            self.throttled -= 1
            return 429, "ThrottledException", {"Message": "Rate exceeded"}
        if path == "/TraceSummaries":
            return self._summarize(body)
        assert path == "/Traces"
        if not 1 <= len(body["TraceIds"]) <= 5:
            return 400, "InvalidRequestException", {"Message": "TraceIds: 1 to 5 items"}
        return 200, "", self._fetch(body)

    def _summarize(self, body: Json) -> tuple[int, str, Json]:
        if body["EndTime"] - body["StartTime"] > 6 * 3_600:
            return 400, "InvalidRequestException", {"Message": "Time range cannot be longer than 6 hours"}
        if self.not_understood and self.not_understood in body["FilterExpression"]:
            return 400, "InvalidRequestException", {"Message": "Invalid filter expression"}
        found = [
            summary
            for summary in sorted(self.summaries, key=lambda summary: float(summary["StartTime"]), reverse=True)
            if body["StartTime"] <= summary["StartTime"] < body["EndTime"]
            and _is_true_of(summary, body["FilterExpression"])
        ]
        page, more = self._page(found, body)
        return 200, "", {"TraceSummaries": page, "TracesProcessedCount": len(found), **more}

    def _fetch(self, body: Json) -> Json:
        unprocessed = [asked for asked in body["TraceIds"] if self.unprocessed.get(asked)]
        for left in unprocessed:
            self.unprocessed[left] -= 1
        found = [
            self.traces[asked] for asked in body["TraceIds"] if asked in self.traces and asked not in unprocessed
        ]
        # A trace may be spread over pages.
        pieces = [{**trace, "Segments": [segment]} for trace in found for segment in trace["Segments"]]
        page, more = self._page(pieces, body)
        return {"Traces": page, "UnprocessedTraceIds": [] if "NextToken" in body else unprocessed, **more}

    def _page(self, items: Sequence[Json], body: Mapping[str, Any]) -> tuple[Sequence[Json], Json]:
        begin = int(body.get("NextToken", 0))
        end = begin + self.page_size
        return items[begin:end], {"NextToken": str(end)} if end < len(items) else {}


def _is_true_of(summary: Json, expression: str) -> bool:
    """Judge what an expression says of the service, and of annotations that are texts; the rest is left out."""
    noted = {
        name: annotations[0]["AnnotationValue"].get("StringValue")
        for name, annotations in summary["Annotations"].items()
    }
    return f'service("{summary["ServiceIds"][0]["Name"]}")' in expression and all(
        noted.get(name) == value for name, value in _ANNOTATION.findall(expression)
    )


class _Raw:
    """A body as the SDK reads it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_how: object) -> list[bytes]:
        return [self._body]
