"""Measure what tracing costs the acquire function, as a ratio, and write it into docs/traces.md.

    python -m scripts.traces.overhead

One process of the function for each way to trace, all against one DynamoDB Local, asked in turns, so that whatever
else this machine does meets all of them. A ratio is the median of those of the turns.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from leasegate import Limit, Limiter
from leasegate.repository.dynamodb import DynamoRepository
from scripts import dynamodb_local, template
from scripts.deployment import dynamodb_client
from scripts.generated import fill_in
from scripts.markdown import table
from scripts.processes import stop, tied_to_parent
from scripts.toolchain import ROOT, emulated_account
from scripts.traces.daemon import Daemon, listening
from scripts.traces.worker import WORKER
from scripts.turns import in_turn

TURNS: Final = 25
REQUESTS: Final = 40
"""How many requests a process answers in its turn."""
SERVICE: Final = "acquire: {way}"
"""What a process calls itself in its segments."""
TABLE_NAME: Final = "overhead"
PAGE: Final = ROOT / "docs" / "traces.md"
PART: Final = "traces: overhead"
"""The part of the page that is this table."""

WAYS: Final[Mapping[str, Mapping[str, str]]] = {
    "off": {"POWERTOOLS_TRACE_DISABLED": "true"},
    "on, request not sampled": {"SAMPLED": "0"},
    "on, request sampled": {"SAMPLED": "1"},
}
"""The ways to trace; ratios are to the first."""
QUESTIONS: Final[Mapping[str, str]] = {
    "known bucket: 1 call": "key-1",
    "known cascade of 4 levels: 4 calls": "key-4",
}
"""What is asked, and the entity that asks."""


class Cost(NamedTuple):
    """What requests took: processor time of the process, and time on the clock."""

    cpu_s: float
    wall_s: float


type Measured = Mapping[str, Mapping[str, list[Cost]]]
"""The cost of each turn, by question and by way to trace."""


class Worker:
    """A process of the function that answers when told to."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        """Speak to a process that has been started."""
        self._process = process

    def ask(self, entity_id: str, times: int) -> Cost:
        """Have it answer one request so many times. Raises ``RuntimeError`` unless it grants them all."""
        pipe, answers = self._process.stdin, self._process.stdout
        assert pipe is not None
        assert answers is not None
        pipe.write(json.dumps({"entity_id": entity_id, "times": times}).encode() + b"\n")
        pipe.flush()
        line = answers.readline()
        if not line:
            raise RuntimeError("a process of the function has ended; what it said is above")
        return Cost(**json.loads(line))


@contextmanager
def working(environment: Mapping[str, str]) -> Iterator[Worker]:
    """Run a process of the function in an environment of its own until the block ends."""
    command = tied_to_parent([sys.executable, "-m", WORKER])
    process = subprocess.Popen(command, env=environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        try:
            yield Worker(process)
        finally:
            stop(process)


def prepare(endpoint_url: str) -> None:
    """Create the table, and a family of four levels that all have limits."""
    client = dynamodb_client(endpoint_url)
    template.create_table(client, TABLE_NAME)
    with DynamoRepository(client, TABLE_NAME) as repository:
        limiter = Limiter(repository)
        limits = [Limit.per_second("rps", 1_000_000), Limit.per_second("tps", 1_000_000)]
        parent_id = None
        for entity_id in ("key-1", "company", "department", "project", "key-4"):
            limiter.put_entity(entity_id, parent_id)
            limiter.set_limits(entity_id, limits)
            parent_id = None if entity_id == "key-1" else entity_id


def take_turns(workers: Mapping[str, Worker], entity_id: str, turns: int, requests: int) -> dict[str, list[Cost]]:
    """Ask all processes in turns, each turn beginning with another one."""
    for worker in workers.values():
        worker.ask(entity_id, requests)  # bucket, connections and compiled expressions
    costs: dict[str, list[Cost]] = {way: [] for way in workers}
    order = list(workers)
    for turn in range(turns):
        for way in in_turn(order, turn):
            costs[way].append(workers[way].ask(entity_id, requests))
    return costs


def measure(endpoint_url: str, daemon: Daemon, turns: int = TURNS, requests: int = REQUESTS) -> Measured:
    """Return what every turn of every process took, by question and by way to trace."""
    prepare(endpoint_url)
    surroundings = {
        **emulated_account(),
        "PATH": os.environ.get("PATH", os.defpath),
        "LAMBDA_TASK_ROOT": str(ROOT / "functions" / "acquire"),
        "AWS_XRAY_DAEMON_ADDRESS": daemon.address,
        "DYNAMODB_ENDPOINT": endpoint_url,
        "TABLE_NAME": TABLE_NAME,
        "POWERTOOLS_METRICS_NAMESPACE": "Leasegate",
    }
    with ExitStack() as stack:
        workers = {}
        for way, own in WAYS.items():
            named = {**surroundings, "POWERTOOLS_SERVICE_NAME": SERVICE.format(way=way), **own}
            workers[way] = stack.enter_context(working(named))
        return {
            question: take_turns(workers, entity_id, turns, requests) for question, entity_id in QUESTIONS.items()
        }


def render(measured: Measured, requests: int = REQUESTS) -> str:
    """Return the Markdown table of all ratios."""
    heads = ["an acquire", "tracing", "processor time", "ratio", "time on the clock", "ratio"]
    rows = []
    for question, costs in measured.items():
        reference = next(iter(costs.values()))
        for way, own in costs.items():
            cpu_ms = median([cost.cpu_s for cost in own]) * 1_000 / requests
            wall_ms = median([cost.wall_s for cost in own]) * 1_000 / requests
            cpu = median([cost.cpu_s / other.cpu_s for cost, other in zip(own, reference, strict=True)])
            wall = median([cost.wall_s / other.wall_s for cost, other in zip(own, reference, strict=True)])
            rows.append([question, way, f"{cpu_ms:.1f} ms", f"{cpu:.2f}", f"{wall_ms:.1f} ms", f"{wall:.2f}"])
    return table(heads, rows)


def main() -> int:
    """Measure, print, and write the table between its markers."""
    with (
        tempfile.TemporaryDirectory() as folder,
        listening() as daemon,
        dynamodb_local.running(Path(folder) / "dynamodb-local.log", is_measured=True) as endpoint_url,
    ):
        ratios = render(measure(endpoint_url, daemon))
    print(ratios)
    PAGE.write_text(fill_in(PAGE.read_text(), PART, ratios))
    return 0


if __name__ == "__main__":
    sys.exit(main())
