"""Trying tests on a private copy of the checkout, sound or with a defect; the working tree is never touched."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Literal

from scripts.mutations.defect import Defect
from scripts.mutations.nursery import prepared, run_pytest
from scripts.processes import signal_group

TIMEOUT_S: Final = 120
"""For one test of a defect, the start of Python included; the machine may be busy."""
_LEFT_OUT: Final = shutil.ignore_patterns(".*", "__pycache__")
_FAILED: Final = 1
"""pytest's exit code where tests failed; others mean that they did not run."""

type Verdict = Literal["red", "green", "too slow"]


class Unsound(RuntimeError):
    """Tests do not run, or fail without any defect; the message has what pytest printed."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What one test said to one defect."""

    defect: Defect
    test: str
    verdict: Verdict
    seconds: float

    @property
    def is_caught(self) -> bool:
        """Whether the test went red: neither passed nor ran on for ever."""
        return self.verdict == "red"


def copy_checkout(checkout: Path, target: Path) -> Path:
    """Copy what tests need of a checkout: all but what is hidden."""
    shutil.copytree(checkout, target, ignore=_LEFT_OUT)
    return target


def check_sound(checkout: Path, tests: Sequence[str], workers: int, timeout_s: float) -> None:
    """Run all tests once, as the code is. Raises :class:`Unsound` unless every one is found and passes."""
    code, output = _run(checkout, ["-n", str(workers), *dict.fromkeys(tests)], timeout_s)
    if code != 0:
        raise Unsound(f"the tests do not pass without any defect:\n{output}")


def try_all(copies: Sequence[Path], defects: Sequence[Defect], timeout_s: float = TIMEOUT_S) -> Iterator[Trial]:
    """Try every test of every defect, as many at once as there are copies; results come in the given order."""
    free: SimpleQueue[Path] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def run(defect: Defect, test: str) -> Trial:
        copy = free.get()
        try:
            return _try(copy, defect, test, timeout_s)
        finally:
            free.put(copy)

    pairs = [(defect, test) for defect in defects for test in defect.tests]
    with ThreadPoolExecutor(len(copies)) as pool:
        yield from pool.map(run, *zip(*pairs, strict=True))


def _try(checkout: Path, defect: Defect, test: str, timeout_s: float) -> Trial:
    start_s = time.monotonic()
    with defect.applied(checkout):
        code, output = _run(checkout, ["-n", "0", "-x", test], timeout_s)
    seconds = time.monotonic() - start_s
    if code not in (None, 0, _FAILED):
        raise Unsound(f"{test} does not run under “{defect.name}”:\n{output}")
    verdict: Verdict = "too slow" if code is None else "red" if code == _FAILED else "green"
    return Trial(defect, test, verdict, seconds)


def _run(checkout: Path, arguments: Sequence[str], timeout_s: float) -> tuple[int | None, str]:
    """Run pytest in a checkout; return its exit code, None where its time was over, and what it printed."""
    with tempfile.NamedTemporaryFile() as output:
        process = prepared().Process(target=run_pytest, args=[checkout, arguments, output.name])
        process.start()
        try:
            process.join(timeout_s)
            if process.exitcode is None:
                return None, f"not done within {timeout_s:g} s"
            return process.exitcode, output.read().decode(errors="replace")
        finally:
            if process.exitcode is None:  # its time is over, or somebody interrupts
                assert process.pid is not None
                signal_group(process.pid, signal.SIGKILL)
                process.join()
