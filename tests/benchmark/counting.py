"""What a call costs, counted, on any machine alike: allocations of memory, and the processor's instructions.

Each is the difference between so many calls and twice as many, so what is done once is not in it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Final

import memray
import pytest
from memray import AllocatorType

from scripts.processes import tied_to_parent
from scripts.toolchain import ROOT

_CALLS: Final = 20
_TAKES: Final = 3
_PYTHONS: Final = frozenset({"PYMALLOC_MALLOC", "PYMALLOC_CALLOC", "PYMALLOC_REALLOC"})


def count_allocations(call: Callable[[], object], folder: Path) -> float:
    """Return how often a call asks Python's allocators for memory: the median of some counts.

    Now and then a count has a new signature of the second in it, or what else happens in this process.
    """

    def allocations(times: int) -> int:
        path = folder / f"{times}.bin"
        with memray.Tracker(
            destination=memray.FileDestination(path, overwrite=True), trace_python_allocators=True
        ):
            sys.setprofile(None)  # memray follows the stack by it, and Python allocates for every step of that
            for _ in range(times):
                call()
        records = memray.FileReader(path).get_allocation_records()
        return sum([AllocatorType(record.allocator).name in _PYTHONS for record in records])

    for _ in range(_CALLS):
        call()  # caches, and the free lists of objects that Python keeps
    return median([(allocations(2 * _CALLS) - allocations(_CALLS)) / _CALLS for _ in range(_TAKES)])


def count_instructions(endpoint_url: str, folder: Path) -> Mapping[str, float]:
    """Return how many instructions each call of :mod:`tests.benchmark.calls` takes, by its name, in millions.

    Skips where there is no valgrind; LEASEGATE_COUNT_INSTRUCTIONS=1 makes that a failure.
    """
    if shutil.which("valgrind") is None:
        if os.environ.get("LEASEGATE_COUNT_INSTRUCTIONS") == "1":
            pytest.fail("LEASEGATE_COUNT_INSTRUCTIONS=1, but there is no valgrind")
        pytest.skip("there is no valgrind, which counts instructions")
    command = [
        *("valgrind", "--quiet", "--tool=cachegrind", "--cache-sim=no", f"--cachegrind-out-file={folder}/%p"),
        *(sys.executable, "-m", "tests.benchmark.calls", endpoint_url),
    ]
    output = subprocess.run(
        tied_to_parent(command),
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
    counted: Mapping[str, tuple[int, int, int]] = json.loads(output)
    return {
        name: (_instructions(folder / str(twice)) - _instructions(folder / str(once))) / calls / 1e6
        for name, (calls, once, twice) in counted.items()
    }


def _instructions(path: Path) -> int:
    *_, summary = path.read_text().splitlines()
    label, count = summary.split()
    assert label == "summary:"
    return int(count)
