"""``leasegate simulate``: play random histories of the limiter under faults, and hold them to exact oracles."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import click

from ..simulation import ALL, NONE, Faults, Report, ViolationFound, simulate
from .exits import Exit
from .output import plain, table
from .session import Command, Session

_NO_ANSWER = ("StoreUnavailable", "StoreThrottled", "died")


@click.command("simulate", cls=Command)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="The history's, or the first one's."
)
@click.option(
    "--seeds", "count", type=click.IntRange(1), default=1, show_default=True, help="Play so many histories."
)
@click.option("--steps", type=click.IntRange(1), default=20_000, show_default=True, help="Of each history.")
@click.option("--calm", is_flag=True, help="Without faults: calls only interleave.")
@click.option("--jobs", type=click.IntRange(1), help="Side by side; by default as many as there are cores.")
@click.pass_obj
def simulated(session: Session, seed: int, count: int, steps: int, calm: bool, jobs: int | None) -> None:
    """Play random histories of many processes on a table in memory, and hold every write and answer to an oracle.

    It touches no table and no network. One seed is one history, on any machine. Where something happens that must
    not, the story of the last steps that led to it is told, and the exit code is 1.
    """
    began_s = time.perf_counter()
    reports: list[Report] = []
    with session.output.counting("Simulating, histories") as told:
        try:
            for report in _play(
                range(seed, seed + count), steps, NONE if calm else ALL, jobs or os.cpu_count() or 1
            ):
                reports.append(report)
                told(len(reports), count)
        except ViolationFound as found:
            session.output.answer(
                {
                    "seed": found.seed,
                    "step": found.step,
                    "reason": found.reason,
                    "story": found.story.splitlines(),
                },
                plain(str(found)),
            )
            session.end(Exit.NO)
    elapsed_s = time.perf_counter() - began_s
    _answer(session, reports, elapsed_s)


def _play(seeds: range, steps: int, faults: Faults, jobs: int) -> Iterator[Report]:
    play = partial(simulate, steps=steps, faults=faults)
    if jobs == 1 or len(seeds) == 1:
        yield from map(play, seeds)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(seeds)), mp_context=context) as pool:
        try:
            yield from pool.map(play, seeds)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _answer(session: Session, reports: list[Report], elapsed_s: float) -> None:
    steps = sum(report.steps for report in reports)
    endings: Counter[str] = Counter()
    checked: Counter[str] = Counter()
    for report in reports:
        endings.update(report.endings)
        checked.update(report.checked)
    document = {
        "histories": len(reports),
        "steps": steps,
        "steps_a_second": round(steps / elapsed_s),
        "violations": 0,
        "endings": dict(sorted(endings.items())),
        "checked": dict(sorted(checked.items())),
        "digests": {str(report.seed): f"{report.digest:08x}" for report in reports},
    }
    made = table("calls", "done#", "no#", "no answer#")
    for kind in sorted({ending.partition(": ")[0] for ending in endings}):
        of_kind = {ending.partition(": ")[2]: n for ending, n in endings.items() if ending.startswith(f"{kind}: ")}
        unanswered = sum(of_kind.get(name, 0) for name in _NO_ANSWER)
        done = of_kind.get("done", 0)
        made.add_row(kind, f"{done:,}", f"{sum(of_kind.values()) - done - unanswered:,}", f"{unanswered:,}")
    histories = "1 history" if len(reports) == 1 else f"{len(reports):,} histories"
    session.output.answer(document, made, plain(f"{histories}, {steps:,} steps, 0 violations"))
