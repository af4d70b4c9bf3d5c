"""Cold starts, each a fresh process of the runtime's Python, taken in turns."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.processes import tied_to_parent
from scripts.toolchain import LAMBDA_PYTHON, emulated_account
from scripts.traces.events import acquire_event
from scripts.traces.overhead import TABLE_NAME
from scripts.turns import in_turn

_PROCESS: Final = Path(__file__).with_name("process.py")
SERVICE: Final = "coldstart"
"""What the function calls itself in its segments."""
QUESTION: Final = {"entity_id": "key-1", "resource": "gpt-4", "consume": {"rps": 1, "tps": 1}}
"""What is asked: of a bucket that exists, as most do that an instance meets first."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to start: with or without the layer's bytecode, and with or without traces."""

    has_bytecode: bool
    is_traced: bool


WAYS: Final = tuple([Way(bytecode, traced) for traced in (True, False) for bytecode in (True, False)])


@dataclass(frozen=True, slots=True)
class Start:
    """What one start took: processor time of the process alone, its memory, the modules it ended with."""

    import_s: float
    first_s: float
    second_s: float
    memory_bytes: int
    modules: Sequence[str]

    @property
    def until_answered_s(self) -> float:
        """What an instance takes until it has answered its first request."""
        return self.import_s + self.first_s


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a function starts: the layers with and without bytecode, its own folder, and what it speaks to."""

    layer: Path
    bare_layer: Path
    function: Path
    endpoint_url: str
    xray_daemon: str

    def start(self, way: Way) -> Start:
        """Start once. Raises `CalledProcessError` unless both requests are granted."""
        return Start(**json.loads(self._run(way).stdout))

    def import_times(self, way: Way) -> str:
        """Start once under `-X importtime`; return what Python says of it."""
        return self._run(way, "-X", "importtime").stderr

    def _run(self, way: Way, *options: str) -> subprocess.CompletedProcess[str]:
        # -P: the folder of the script is not on Lambda's search path.
        return subprocess.run(
            tied_to_parent([str(LAMBDA_PYTHON), "-P", *options, str(_PROCESS)]),
            env=self._environment(way),
            cwd=self.function,
            input=json.dumps(acquire_event(QUESTION)),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )

    def _environment(self, way: Way) -> Mapping[str, str]:
        layer = self.layer if way.has_bytecode else self.bare_layer
        return {
            **emulated_account(),
            "PATH": os.defpath,
            "LANG": "en_US.UTF-8",
            "PYTHONPATH": os.pathsep.join(map(str, (self.function, layer / "python"))),
            # As in Lambda, where both are read-only: what is not there is compiled by each start.
            "PYTHONDONTWRITEBYTECODE": "1",
            "LAMBDA_TASK_ROOT": str(self.function),
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "AWS_LAMBDA_FUNCTION_NAME": "AcquireFunction",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_XRAY_DAEMON_ADDRESS": self.xray_daemon,
            "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
            "DYNAMODB_ENDPOINT": self.endpoint_url,
            "TABLE_NAME": TABLE_NAME,
            "POWERTOOLS_SERVICE_NAME": SERVICE,
            "POWERTOOLS_METRICS_NAMESPACE": "Leasegate",
            "POWERTOOLS_TRACE_DISABLED": "false" if way.is_traced else "true",
        }


def take_turns(surroundings: Surroundings, rounds: int) -> Mapping[Way, Sequence[Start]]:
    """Start so often in each way, each round beginning with another one; a round before them fills caches."""
    starts: dict[Way, list[Start]] = {way: [] for way in WAYS}
    for number in range(-1, rounds):
        for way in in_turn(WAYS, number):
            start = surroundings.start(way)
            if number >= 0:
                starts[way].append(start)
    return starts
