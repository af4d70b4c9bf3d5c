"""Let a crowd of processes ask one bucket of the embedded stack, and print what they got.

    python -m scripts.crowd --seconds 60 --processes 64

First the crowd is refused nearly always, which wakes the function's workers. Then some of it are granted all that
they ask for: half of what the stack grants then is the limit that the crowd asks under, 40 a second at most.

Fails if more was granted than the limit allows, if less than 98 % of that was delivered, or no more was asked for.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table

from leasegate import Limit, Limiter, schema
from leasegate.repository.dynamodb import DynamoRepository
from scripts.crowd.clients import Tally, Visit, visit_at_once
from scripts.crowd.judging import Verdict, judge
from scripts.deployment import client, dynamodb_client
from scripts.processes import StartError, end_like_interrupted
from scripts.progress import say, step
from scripts.stack import Stack, embedded_stack
from tests.stream import read_stream

RESOURCE: Final = "gpt-4"
LEAST_SHARE: Final = 0.98
MOST_A_SECOND: Final = 40
TRIAL_S: Final = 10
TRIAL_PROCESSES: Final = 8
"""Enough to keep a small machine busy, and not so many that they wait for each other until they give up."""
WAKING_S: Final = 20
PATIENT_MS: Final = 60_000
"""The machine is busy with the crowd that asked before."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a crowd was answered, in all and each process, and what the table says of it."""

    tally: Tally
    each: list[int]
    verdict: Verdict

    @property
    def is_told(self) -> bool:
        """Whether the bucket counted what the processes were granted, but for what they had no answer to."""
        return 0 <= self.verdict.granted - self.tally.granted <= self.tally.unknown


def ask(
    stack: Stack, entity_id: str, limit: Limit, processes: int, seconds: float, within_s: float = 1
) -> Outcome:
    """Let a crowd ask a bucket of one limit; it comes ``within_s``."""
    table = dynamodb_client(stack.endpoint_url)
    with DynamoRepository(table, stack.table_name) as repository:
        Limiter(repository, timeout_ms=PATIENT_MS).set_limits(entity_id, [limit])
    order = Visit(
        stack.api_url,
        stack.region,
        stack.access_key_id,
        stack.secret_access_key,
        entity_id,
        RESOURCE,
        limit.name,
        within_s,
    )
    tally, tallies, ends_s = visit_at_once(order, processes, seconds)
    streams = client("dynamodbstreams", stack.endpoint_url)
    key = schema.bucket_key(entity_id, RESOURCE)
    records = read_stream(table, streams, stack.table_name)
    verdict = judge(records, key, limit, int(ends_s * 1000))
    return Outcome(tally, sorted(each.granted for each in tallies), verdict)


def run(processes: int, seconds: float, rate: int | None) -> tuple[Outcome, Outcome]:
    """Return what some were answered that were granted all, and a crowd under the limit that follows from it."""
    with embedded_stack("crowd", enforce_iam=False) as stack:
        with step(f"{processes} processes wake the function's workers"):
            ask(stack, "crowd-first", Limit.per_second("rps", 1), processes, WAKING_S, WAKING_S / 2)
        some = min(processes, TRIAL_PROCESSES)
        with step(f"{some} processes are granted for {TRIAL_S} s"):
            trial = ask(stack, "crowd-granted", Limit.per_second("rps", 10_000), some, TRIAL_S)
        measured = max(1, min(MOST_A_SECOND, trial.tally.granted // (2 * TRIAL_S)))
        limit = Limit.per_second("rps", measured if rate is None else rate)
        with step(f"{processes} processes ask for {limit.capacity} a second for {seconds:g} s"):
            return trial, ask(stack, "crowd", limit, processes, seconds)


def render(trial: Outcome, outcome: Outcome, processes: int, seconds: float) -> Table:
    """Return all figures."""
    tally, verdict = outcome.tally, outcome.verdict
    table = Table("figure", "value", title=f"{processes} processes at one bucket for {seconds:g} s")
    rows = {
        "granted a second, without a limit": f"{trial.tally.granted / TRIAL_S:,.1f}",
        "the limit": f"{verdict.limit.amount} a second, burst {verdict.limit.capacity}",
        "asked a second": f"{tally.answers.total() / seconds:,.1f}",
        "granted": f"{verdict.granted:,} in {verdict.writes:,} writes; {tally.granted:,} were told",
        "refused": f"{tally.answers[429]:,}",
        "other answers, or none": f"{tally.unknown:,} {dict(tally.answers) if tally.unknown else ''}",
        "allowed": f"{verdict.allowed:,.1f} in {verdict.elapsed_ms / 1000:.2f} s",
        "delivered": f"{verdict.share:.2%}",
        "longest time between two grants": f"{verdict.longest_pause_ms} ms",
        "grants of one process": f"{outcome.each[0]} to {outcome.each[-1]}",
        "a grant took": f"{statistics.median(tally.grants_s or [0]) * 1000:.0f} ms (median)",
        "never more than the limit": verdict.excess or "holds for every pair of writes",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def main() -> int:
    """Run the command line."""
    end_like_interrupted()
    parser = argparse.ArgumentParser(prog="crowd", description="Many processes at one bucket, over HTTP.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--processes", type=int, default=64)
    parser.add_argument("--rate", type=int, help="tokens a second, in place of half of what is measured")
    arguments = parser.parse_args()
    try:
        trial, outcome = run(arguments.processes, arguments.seconds, arguments.rate)
    except StartError as error:
        say(f"[red]Failed:[/] {error}")
        return 1
    except KeyboardInterrupt:
        say("Interrupted.")
        return 130
    Console().print(render(trial, outcome, arguments.processes, arguments.seconds))
    is_crowd = outcome.tally.answers.total() > outcome.verdict.allowed
    is_exact = outcome.verdict.excess is None and outcome.is_told
    return 0 if is_crowd and is_exact and outcome.verdict.share >= LEAST_SHARE else 1


if __name__ == "__main__":
    sys.exit(main())
