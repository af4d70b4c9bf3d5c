"""Compare with zae-limiter, a peer on DynamoDB, and write the tables into docs/performance.md.

    python -m scripts.peers            some minutes
    python -m scripts.peers --quick    a short run, which only prints

Both answer the same questions on one DynamoDB Local, each in processes and an environment of its own, and take
turns, so that whatever else this machine does meets both. Calls and units are counted on the wire, by one meter.

Fails if Leasegate's clients at a limit, however many, need more than two calls for a grant (not counting those of
acquires that end in a refusal), are granted less than 98 % of what the limit lets through, or more than that; or
if a bucket gives other than its capacity at once.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from scripts import dynamodb_local
from scripts.generated import fill_in
from scripts.peers.burst import CAPACITY
from scripts.peers.contestant import LEASEGATE
from scripts.peers.crowd import Outcome
from scripts.peers.measurement import Crowd, burst, gather, measure
from scripts.peers.tables import render_bursts, render_conditions, render_costs, render_crowds
from scripts.processes import StartError
from scripts.progress import say
from scripts.toolchain import ROOT

PAGE: Final = ROOT / "docs" / "performance.md"
TURNS: Final = 11
CROWDS: Final[Sequence[Crowd]] = (
    *[Crowd(600, clients, 10) for clients in (1, 4, 16)],
    *[Crowd(6_000, clients, 2) for clients in (1, 4, 16)],
)
QUICK_CROWDS: Final[Sequence[Crowd]] = (Crowd(600, 4, 2),)
CALLS_MOST: Final = 2.0
SHARE_LEAST: Final = 0.98


def complaints(gathered: Mapping[Crowd, Mapping[str, Outcome]], at_once: Mapping[str, int]) -> Iterator[str]:
    """Say where Leasegate is not as good as it must be."""
    if at_once[LEASEGATE] != CAPACITY:
        yield f"{at_once[LEASEGATE]} granted at once of a bucket of {CAPACITY}"
    for crowd, outcomes in gathered.items():
        outcome = outcomes[LEASEGATE]
        where = f"{crowd.clients} clients at {crowd.per_minute:,} a minute"
        if outcome.calls_below_refusals > CALLS_MOST:
            yield f"{where}: {outcome.calls_below_refusals:.2f} calls for a grant, more than {CALLS_MOST:g}"
        if outcome.share < SHARE_LEAST:
            yield f"{where}: {outcome.share:.1%} delivered, less than {SHARE_LEAST:.0%}"
        if outcome.granted > outcome.allowed:
            yield f"{where}: {outcome.granted} granted, more than the {outcome.allowed} allowed"


def main() -> int:
    """Measure, print, and write the tables between their markers."""
    parser = argparse.ArgumentParser(prog="python -m scripts.peers", description="Compare with zae-limiter.")
    parser.add_argument("--quick", action="store_true", help="a short run, which writes nothing")
    is_quick: bool = parser.parse_args().quick
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            dynamodb_local.running(Path(folder) / "dynamodb-local.log", is_measured=True) as endpoint_url,
        ):
            comparison = measure(endpoint_url, 2, 16) if is_quick else measure(endpoint_url, TURNS)
            gathered = gather(endpoint_url, QUICK_CROWDS if is_quick else CROWDS)
            at_once = burst(endpoint_url)
    except StartError as error:
        say(f"[red]Failed:[/] {error}")
        return 1
    parts = {
        "peers: costs": render_costs(comparison),
        "peers: crowds": render_crowds(gathered),
        "peers: bursts": render_bursts(at_once),
        "peers: conditions": render_conditions(comparison),
    }
    print(*parts.values(), sep="\n\n")
    if not is_quick:
        page = PAGE.read_text()
        for name, content in parts.items():
            page = fill_in(page, name, content)
        PAGE.write_text(page)
    wrong = list(complaints(gathered, at_once))
    for complaint in wrong:
        say(f"[red]Leasegate misses its goal:[/] {complaint}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
