"""A built function as Lambda runs it, and the trace of each of its invocations.

An instance is a process of AWS's runtime interface client in the folder that ``sam build`` made of a function,
with the built layer and nothing else on its path but the runtime's boto3. What it sends to X-Ray's daemon is what
it would send on AWS.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from leasegate.tracing import Document, Span, Trace
from scripts import template
from scripts.costs.rendering import measure_situation
from scripts.costs.tables import Row, Table
from scripts.processes import StartError, last_lines, stop, tied_to_parent
from scripts.toolchain import LAMBDA_PYTHON, ROOT, emulated_account
from scripts.traces.daemon import Daemon
from tests.functions import environment, request
from tests.traces.runtime import Assignment, Event, InvocationFailed, RuntimeApi, runtime_api

_METRIC: Final = "RoundTrips"


@dataclass(frozen=True, slots=True)
class Invocation:
    """What a function answered, what X-Ray recorded of it, and how often it says that it waited for the table."""

    answer: Any
    trace: Trace
    documents: Sequence[Document]
    round_trips: int
    segment_id: str
    """The function's own segment, which on AWS Lambda sends."""

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        status: int = self.answer["statusCode"]
        return status

    @property
    def body(self) -> Any:  # noqa: ANN401 - JSON
        """The body of the answer."""
        return json.loads(self.answer["body"] or "{}")

    @property
    def handler(self) -> Span:
        """The one subsegment in which the function's code ran."""
        (handler,) = self.trace.handlers
        return handler

    @property
    def steps(self) -> tuple[str, ...]:
        """The operations of each step, such as ("BatchGetItem", "UpdateItem+UpdateItem")."""
        return tuple(["+".join(sorted(call.operation for call in step)) for step in self.trace.steps])

    @property
    def verdicts(self) -> tuple[str, ...]:
        """How each call ended, in the order in which they began."""
        return tuple([call.verdict for call in self.trace.calls])

    @property
    def red(self) -> tuple[Document, ...]:
        """The documents that X-Ray shows in red."""
        marks = ("error", "fault", "throttle")
        return tuple([document for document in self.documents if any(document.get(mark) for mark in marks)])


class Instance:
    """One process of a function; :func:`running` starts and ends it."""

    def __init__(
        self, name: str, process: subprocess.Popen[bytes], api: RuntimeApi, daemon: Daemon, service: str, log: Path
    ) -> None:
        """Speak for a process that was started."""
        self._process = process
        self._api = api
        self._daemon = daemon
        self._service = service
        self._log = log
        self._function_arn = f"arn:aws:lambda:us-east-1:123456789012:function:{name}:live"
        self._timeout_ms = _timeout_ms(name)

    def invoke(self, event: Event, *, may_fail: bool = False) -> Invocation:
        """Invoke the function, and wait for its trace.

        Raises :class:`InvocationFailed` if the function raises or, unless it may, logs an error.
        """
        assignment = Assignment(event, self._function_arn, self._timeout_ms)
        logged = self._log.stat().st_size
        try:
            answer = self._api.invoke(assignment, lambda: self._process.poll() is None)
        except InvocationFailed as failure:
            raise InvocationFailed(f"{failure}\n{self._last_words()}") from failure
        trace, documents = self._daemon.take(self._service)
        assert trace.trace_id == assignment.trace_id
        written = self._log.read_bytes()[logged:].splitlines()
        lines = [json.loads(line) for line in written if line.startswith(b"{")]
        if not may_fail and any(line.get("level") == "ERROR" for line in lines):
            raise InvocationFailed(f"{answer}\n{self._last_words()}")
        return Invocation(answer, trace, documents, _counted(lines), assignment.parent_id)

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        *,
        may_fail: bool = False,
    ) -> Invocation:
        """Invoke the function with a request of the REST API."""
        event = request(method, path, None if body is None else json.dumps(body), headers)
        invocation = self.invoke(event, may_fail=may_fail)
        assert invocation.answer["headers"]["Leasegate-Round-Trips"] == str(invocation.round_trips)
        return invocation

    def _last_words(self) -> str:
        return f"the end of its log:\n{last_lines(self._log)}"


def _timeout_ms(resource: str) -> int:
    """Return how long template.yaml lets a function work on an event."""
    document = template.load()
    properties = document["Globals"]["Function"] | document["Resources"][resource]["Properties"]
    return int(properties["Timeout"]) * 1_000


def _counted(lines: Sequence[Mapping[str, Any]]) -> int:
    """Return the metric that counts round trips: each function has one, by a name of its own."""
    (metrics,) = [line for line in lines if "_aws" in line]
    (count,) = [value for name, value in metrics.items() if name.endswith(_METRIC)]
    return int(count[0])


@contextmanager
def running(
    resource: str, built: Path, daemon: Daemon, folder: Path, variables: Mapping[str, str]
) -> Iterator[Instance]:
    """Run an instance until the block ends; its first invocation waits for its start.

    ``folder`` takes its log, and gives it the name that its traces bear.
    """
    if not LAMBDA_PYTHON.exists():
        raise StartError(f"{LAMBDA_PYTHON.relative_to(ROOT)} is missing; `make test` installs it")
    service = folder.name
    log = folder / "instance.log"
    with runtime_api() as api, log.open("wb") as output:
        process = subprocess.Popen(
            tied_to_parent([str(LAMBDA_PYTHON), "-m", "awslambdaric", "app.handler"]),
            cwd=built / resource,
            env={
                **emulated_account(),
                **environment(resource),
                "PATH": os.defpath,
                "HOME": str(folder),
                "LANG": "en_US.UTF-8",
                "TZ": ":UTC",
                "PYTHONPATH": str(built / "LimiterLayer" / "python"),
                # What was built stays as it was, and what one instance compiled serves the next.
                "PYTHONPYCACHEPREFIX": str(folder.parent / "compiled"),
                "LAMBDA_TASK_ROOT": str(built / resource),
                "AWS_LAMBDA_RUNTIME_API": api.address,
                "AWS_LAMBDA_FUNCTION_NAME": resource,
                "AWS_LAMBDA_FUNCTION_VERSION": "1",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
                "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
                "AWS_LAMBDA_LOG_FORMAT": "JSON",
                "AWS_LAMBDA_LOG_LEVEL": "INFO",
                "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
                "AWS_XRAY_DAEMON_ADDRESS": daemon.address,
                "POWERTOOLS_SERVICE_NAME": service,
                **variables,
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield Instance(resource, process, api, daemon, service, log)
        finally:
            stop(process)


@cache
def said_of(situation: str) -> Row:
    """Return what the README says that a situation costs, measured in memory, where a round trip is a yield."""
    return measure_situation(situation, Table.in_memory())


def check(invocation: Invocation, *steps: str, like: str | None = None, attempts: int | None = None) -> None:
    """Hold an invocation to what it may do step by step: what is joined by ``+`` runs side by side.

    The trace must show as many steps as the function itself counted round trips, each call under the handler that
    waits for it, and nothing in red but attempts that were repeated: there are ``attempts`` in all. ``like`` names
    a situation of the README, which must cost the same.
    """
    trace = invocation.trace
    assert invocation.steps == steps
    assert trace.depth == invocation.round_trips == trace.annotations["round_trips"] == len(steps)
    assert trace.is_complete
    assert invocation.handler.parent_id == invocation.segment_id
    assert {call.parent_id for call in trace.calls} <= {invocation.handler.id}
    assert not trace.is_failed
    assert trace.attempts == (attempts or len(trace.calls))
    assert len(invocation.red) == trace.attempts - len(trace.calls)
    if like is not None:
        said = said_of(like)
        assert (trace.depth, len(trace.calls)) == (said.round_trips, said.calls)


def beside(operation: str, count: int) -> str:
    """Write so many calls of one kind as one step."""
    return "+".join([operation] * count)
