"""Both contestants in one run: each in processes and an environment of its own, on one emulator, in turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NamedTuple

from leasegate.metering import Usage
from scripts.deployment import dynamodb_client
from scripts.peers.burst import BURST
from scripts.peers.cases import CASES, Case
from scripts.peers.contestant import LEASEGATE, NAMES, ZAE_LIMITER
from scripts.peers.crowd import CROWD, Outcome
from scripts.peers.gate import gate
from scripts.peers.wire_meter import WireMeter
from scripts.peers.worker import WORKER, Cost, Order
from scripts.processes import StartError, stop, tied_to_parent
from scripts.progress import step
from scripts.toolchain import PEERS_PYTHON, ROOT, emulated_account
from scripts.turns import in_turn

REQUESTS_MAX: Final = 1_000
"""How many requests of a case are made at most in all turns of a contestant, but for the first."""
_INTERPRETERS: Final = {LEASEGATE: sys.executable, ZAE_LIMITER: str(PEERS_PYTHON)}


class Crowd(NamedTuple):
    """So many clients at one entity for so long, under a limit of so many tokens a minute."""

    per_minute: int
    clients: int
    seconds: float


class Measured(NamedTuple):
    """What a contestant's answers to a case cost: a request in each turn, and one alone, metered."""

    costs: list[Cost]
    usage: Usage


class Comparison(NamedTuple):
    """What all cases cost both contestants, and the versions of packages in each contestant's environment."""

    cases: Mapping[Case, Mapping[str, Measured]]
    versions: Mapping[str, Mapping[str, str]]


class Worker:
    """A process of a contestant that asks when it is told to."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        """Speak to a process that has been started; it is ready when this returns."""
        self._process = process
        self.versions: Mapping[str, str] = self._answer()

    def prepare(self, case: Case, entities: Sequence[str], *, is_metered: bool = False) -> None:
        """Have it bring about how things stand in a case."""
        self._tell(Order("prepare", CASES.index(case), entities, is_metered))

    def ask(self, case: Case, entities: Sequence[str], *, is_metered: bool = False) -> Cost:
        """Have it ask of each entity."""
        return Cost(**self._tell(Order("ask", CASES.index(case), entities, is_metered)))

    def _tell(self, order: Order) -> dict[str, Any]:
        pipe = self._process.stdin
        assert pipe is not None
        pipe.write(json.dumps(order._asdict()).encode() + b"\n")
        pipe.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        return _read(self._process)


@contextmanager
def started(name: str, module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module in a contestant's own environment, which the other cannot see, until the block ends."""
    surroundings = {**emulated_account(), "PATH": os.environ.get("PATH", os.defpath)}
    if name == LEASEGATE:
        surroundings["PYTHONPATH"] = str(ROOT / "layers" / "limiter")
    command = tied_to_parent([_INTERPRETERS[name], "-m", module, name, *arguments])
    process = subprocess.Popen(command, env=surroundings, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        try:
            yield process
        finally:
            stop(process)


def measure(endpoint_url: str, turns: int, requests_in_turn: int = REQUESTS_MAX) -> Comparison:
    """Return what all cases cost both contestants, who take turns; each turn begins with the other one.

    A turn has so many requests at most, and no more than the case wants.
    """
    if not PEERS_PYTHON.exists():
        raise StartError(f"{PEERS_PYTHON.relative_to(ROOT)} is missing; `make peers` installs it")
    measured: dict[Case, dict[str, Measured]] = {}
    meter = WireMeter(dynamodb_client(endpoint_url))
    with ExitStack() as stack:
        meter_url = stack.enter_context(gate(endpoint_url, meter))
        workers = {
            name: Worker(stack.enter_context(started(name, WORKER, endpoint_url, meter_url))) for name in NAMES
        }
        for case in CASES:
            with step(f"Asking both: {case.name}"):
                requests = min(case.requests, requests_in_turn)
                costs = _take_turns(case, workers, min(turns, max(1, REQUESTS_MAX // requests)), requests)
                measured[case] = {
                    name: Measured(costs[name], _meter(case, worker, meter)) for name, worker in workers.items()
                }
    return Comparison(measured, {name: worker.versions for name, worker in workers.items()})


def _meter(case: Case, worker: Worker, meter: WireMeter) -> Usage:
    """Return what one request costs; alone, for the meter takes its time, and others would give up meanwhile."""
    entities = case.entities(0)[:1]
    worker.prepare(case, entities, is_metered=True)
    meter.take()
    worker.ask(case, entities, is_metered=True)
    return meter.take()


def _take_turns(case: Case, workers: Mapping[str, Worker], turns: int, requests: int) -> Mapping[str, list[Cost]]:
    costs: dict[str, list[Cost]] = {name: [] for name in workers}
    for turn in range(1, turns + 1):
        entities = case.entities(1 if case.is_lasting else turn)[:requests]
        for name in in_turn(NAMES, turn - 1):
            if turn == 1 or not case.is_lasting:
                workers[name].prepare(case, entities)
            costs[name].append(workers[name].ask(case, entities))
    return costs


def gather(endpoint_url: str, crowds: Sequence[Crowd]) -> Mapping[Crowd, Mapping[str, Outcome]]:
    """Let crowds ask, the contestants' side by side: their clock knows nothing of how busy this machine is."""
    gathered: dict[Crowd, dict[str, Outcome]] = {}
    for crowd in crowds:
        with (
            step(f"At a limit of {crowd.per_minute:,} a minute for {crowd.seconds:g} s; clients: {crowd.clients}"),
            ExitStack() as stack,
        ):
            arguments = [endpoint_url, *map(str, crowd)]
            processes = {name: stack.enter_context(started(name, CROWD, *arguments)) for name in NAMES}
            gathered[crowd] = {name: Outcome(**_read(process)) for name, process in processes.items()}
    return gathered


def burst(endpoint_url: str) -> Mapping[str, int]:
    """Return how much each contestant's bucket gives at once that nobody has asked for a minute."""
    granted = {}
    for name in NAMES:
        with step(f"Asking {name} for all that it gives at once"), started(name, BURST, endpoint_url) as process:
            granted[name] = _read(process)["granted"]
    return granted


def _read(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("a contestant's process has ended; what it said is above")
    answer: dict[str, Any] = json.loads(line)
    return answer
