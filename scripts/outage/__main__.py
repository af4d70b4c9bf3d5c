"""Measure an outage of the table: how long callers wait in it, what is admitted, and when it is over.

    python -m scripts.outage --seconds 60

DynamoDB Local stands behind a proxy which is dead for so long: a third of the time it refuses connections, a third
it drops them, and in the end it hangs, which is the hardest to come back from. Eight threads go on asking three
limiters, one for each ``on_unavailable``.
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts import dynamodb_local
from scripts.markdown import table
from scripts.outage.measurement import measure
from scripts.outage.proxy import proxy
from scripts.outage.records import Record


def render(records: Sequence[Record]) -> str:
    """Write a table with a row for each limiter."""
    heads = ["`on_unavailable`", "calls", "p50", "p99", "longest"]
    heads += ["first answer", "99 % answered", "admitted exactly"]
    rows = []
    for record in records:
        times = [record.percentile_ms(share) for share in (0.5, 0.99, 1)]
        times += [record.first_answer_s * 1_000, record.recovered_s * 1_000]
        exact = "yes" if record.is_exact else "NO"
        rows.append(
            [f"`{record.on_unavailable}`", len(record.calls), *[f"{time_ms:.0f} ms" for time_ms in times], exact]
        )
    return table(heads, rows)


def main() -> int:
    """Measure and print; say by the status whether what was admitted is exact."""
    arguments = argparse.ArgumentParser(prog="python -m scripts.outage", description="Measure an outage.")
    arguments.add_argument("--seconds", type=float, default=60, help="how long it lasts")
    arguments.add_argument("--deadline-ms", type=int, default=500, help="the time of each call")
    arguments.add_argument("--threads", type=int, default=8, help="how many call at once")
    given = arguments.parse_args()
    logging.disable(logging.WARNING)  # one for each call
    with (
        tempfile.TemporaryDirectory() as folder,
        dynamodb_local.running(Path(folder) / "dynamodb-local.log", is_measured=True) as endpoint_url,
        proxy(endpoint_url) as way,
    ):
        records = measure(endpoint_url, way, given.seconds, deadline_ms=given.deadline_ms, threads=given.threads)
    print(
        f"An outage of {given.seconds:g} s; every call has {given.deadline_ms} ms, {given.threads} threads call.\n"
    )
    print(render(records))
    for record in records:
        verdicts = ", ".join(f"{name} {count}" for name, count in sorted(record.verdicts.items()))
        admission = record.admission
        print(f"\n{record.on_unavailable}: {verdicts}; spent {admission.used} of {admission.bound} at most;")
        print(f"before the outage an answer took {record.usual_ms:.0f} ms")
    return 0 if all(record.is_exact for record in records) else 1


if __name__ == "__main__":
    sys.exit(main())
