"""Measure cold starts of the acquire function, and write what they take into docs/performance.md.

    python -m scripts.coldstart [--rounds 21]

Fails if a start with the layer's bytecode takes more than 0.85 of the same without.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from scripts import dynamodb_local
from scripts.coldstart.artifacts import build_layer, copy_function, without_bytecode
from scripts.coldstart.measurement import Surroundings, Way, take_turns
from scripts.coldstart.tables import ratios, render_imports, render_starts
from scripts.generated import fill_in
from scripts.progress import say, step
from scripts.toolchain import LAMBDA_PYTHON, ROOT, SAM, require
from scripts.traces.daemon import listening
from scripts.traces.overhead import prepare

PAGE: Final = ROOT / "docs" / "performance.md"
STARTS_PART: Final = "coldstart: table"
IMPORTS_PART: Final = "coldstart: imports"
"""The parts of the page that are these tables."""
ROUNDS: Final = 21
REPORTS: Final = 5
"""How often imports are timed."""
MOST: Final = 0.85
"""What a start with bytecode may take of one without."""


@contextmanager
def prepared(folder: Path) -> Iterator[Surroundings]:
    """Build what starts, and run what it speaks to, until the block ends."""
    require(SAM, LAMBDA_PYTHON)
    with step("Building the layer"):
        layer = build_layer(folder / "layer", folder / "make.log")
    log = folder / "dynamodb-local.log"
    with listening() as daemon, dynamodb_local.running(log, is_measured=True) as endpoint_url:
        prepare(endpoint_url)
        yield Surroundings(
            layer,
            without_bytecode(layer, folder / "bare-layer"),
            copy_function(folder / "function"),
            endpoint_url,
            daemon.address,
        )


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="coldstart", description="Measure cold starts of the acquire function.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"starts in each way (default {ROUNDS})")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder, prepared(Path(folder)) as surroundings, step("Starting"):
        starts = take_turns(surroundings, rounds)
        reports = [surroundings.import_times(Way(has_bytecode=True, is_traced=True)) for _ in range(REPORTS)]
    tables = {STARTS_PART: render_starts(starts), IMPORTS_PART: render_imports(reports)}
    document = PAGE.read_text()
    for part, table in tables.items():
        print(table, end="\n\n")
        document = fill_in(document, part, table)
    PAGE.write_text(document)
    missed = [value for value in ratios(starts).values() if value > MOST]
    for value in missed:
        say(f"[bold red]A start takes {value:.2f} of one without bytecode; {MOST} at most is promised.[/]")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
