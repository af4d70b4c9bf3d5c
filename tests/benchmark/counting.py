"""What a call costs, counted, on any machine alike: allocations of memory, and the processor's instructions.

Each is the difference between so many calls and twice as many, so what is done once is not in it. The calls
are made by :mod:`tests.benchmark.calls`, in processes of their own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest
from memray import AllocatorType, FileReader

from scripts.processes import tied_to_parent
from scripts.toolchain import ROOT

_PYTHONS: Final = frozenset({"PYMALLOC_MALLOC", "PYMALLOC_CALLOC", "PYMALLOC_REALLOC"})


def count_allocations(endpoint_url: str, folder: Path) -> Mapping[str, float]:
    """Return how often each call asks Python's allocators for memory, by its name."""
    return _count([sys.executable], [endpoint_url, str(folder)], lambda pid: _allocations(folder / str(pid)))


def count_instructions(endpoint_url: str, folder: Path) -> Mapping[str, float]:
    """Return how many instructions each call takes, by its name, in millions.

    Skips where there is no valgrind; LEASEGATE_COUNT_INSTRUCTIONS=1 makes that a failure.
    """
    if shutil.which("valgrind") is None:
        if os.environ.get("LEASEGATE_COUNT_INSTRUCTIONS") == "1":
            pytest.fail("LEASEGATE_COUNT_INSTRUCTIONS=1, but there is no valgrind")
        pytest.skip("there is no valgrind, which counts instructions")
    instrument = [
        "valgrind",
        "--quiet",
        "--tool=cachegrind",
        "--cache-sim=no",
        f"--cachegrind-out-file={folder}/%p",
    ]
    counts = _count([*instrument, sys.executable], [endpoint_url], lambda pid: _instructions(folder / str(pid)))
    return {name: count / 1e6 for name, count in counts.items()}


def _count(python: Sequence[str], arguments: Sequence[str], count_of: Callable[[int], int]) -> Mapping[str, float]:
    output = subprocess.run(
        tied_to_parent([*python, "-m", "tests.benchmark.calls", *arguments]),
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
    made: Mapping[str, tuple[int, int, int]] = json.loads(output)
    return {name: (count_of(twice) - count_of(once)) / calls for name, (calls, once, twice) in made.items()}


def _allocations(path: Path) -> int:
    """Read what memray has recorded; what C libraries ask the system for is none of Python's."""
    records = FileReader(path).get_allocation_records()
    return sum([AllocatorType(record.allocator).name in _PYTHONS for record in records])


def _instructions(path: Path) -> int:
    *_, summary = path.read_text().splitlines()
    label, count = summary.split()
    assert label == "summary:"
    return int(count)
