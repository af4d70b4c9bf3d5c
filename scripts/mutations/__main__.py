"""Give the package one deliberate defect after the other, and see that the tests named for it go red.

    python -m scripts.mutations [WORD ...]

Words narrow the list to the defects whose names have one of them. Everything happens in temporary copies of the
checkout. Ends with 1 where a defect survives, and with 2 where a defect or a test does not fit any more.
"""

import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scripts.mutations.catalogue import DEFECTS
from scripts.mutations.defect import Defect, Misfit
from scripts.mutations.trial import Trial, Unsound, check_sound, copy_checkout, try_all
from scripts.processes import end_like_interrupted
from scripts.progress import say, step

ROOT = Path(__file__).resolve().parents[2]
SOUND_TIMEOUT_S = 900
"""For all tests together without a defect."""


def render(trials: Iterable[Trial]) -> Table:
    """Show what became of every defect."""
    table = Table(title="Deliberate defects")
    table.add_column("defect", ratio=2)
    table.add_column("test", ratio=3, overflow="fold")
    table.add_column("caught")
    table.add_column("seconds", justify="right")
    for trial in trials:
        caught = "[green]yes[/]" if trial.is_caught else f"[red]no ({trial.verdict})[/]"
        table.add_row(
            escape(trial.defect.name), escape(trial.test.removeprefix("tests/")), caught, f"{trial.seconds:.1f}"
        )
    return table


def main(words: list[str]) -> int:
    """Try the defects and print the table."""
    defects = [defect for defect in DEFECTS if not words or any(word in defect.name for word in words)]
    if not defects:
        say(f"No defect has any of these words in its name: {' '.join(words)}")
        return 2
    try:
        for defect in defects:
            defect.changed(ROOT)
        with tempfile.TemporaryDirectory(prefix="leasegate-mutations-") as folder:
            trials = try_in(Path(folder), defects)
    except (Misfit, Unsound) as error:
        say(escape(str(error)))
        return 2
    Console(width=None if sys.stdout.isatty() else 160).print(render(trials))
    survivors = {trial.defect.name for trial in trials if not trial.is_caught}
    say(f"{len(defects) - len(survivors)} of {len(defects)} defects caught")
    return 1 if survivors else 0


def try_in(folder: Path, defects: list[Defect]) -> list[Trial]:
    """Try defects in copies of the checkout, one for each core."""
    workers = os.process_cpu_count() or 1
    copies = [copy_checkout(ROOT, folder / str(number)) for number in range(workers)]
    tests = [test for defect in defects for test in defect.tests]
    with step(f"Running {len(set(tests))} tests without any defect"):
        check_sound(copies[0], tests, workers, SOUND_TIMEOUT_S)
    trials = []
    with step(f"Running them under {len(defects)} defects, {workers} at a time"):
        for trial in try_all(copies, defects):
            trials.append(trial)
            if not trial.is_caught:
                say(f"[red]✗[/] {escape(trial.defect.name)}: {escape(trial.test)} is {trial.verdict}")
    return trials


if __name__ == "__main__":
    end_like_interrupted()
    sys.exit(main(sys.argv[1:]))
