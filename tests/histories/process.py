"""A process of a history: limiters on their own repositories, threads that spend through them.

python -m tests.histories.process     reads a Plan from standard input, writes its accounts to standard output
"""

from __future__ import annotations

import itertools
import json
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final

from botocore.config import Config

from leasegate import Limiter
from leasegate.repository.dynamodb import DynamoRepository, dynamodb_client
from leasegate.session import wall_clock_ms
from tests.histories.accounts import Account
from tests.histories.spender import TIMEOUT_MS, Spender, total
from tests.histories.witness import Witness
from tests.unmocked import unmocked

HUNG_S: Final = 2
"""How long a client waits for an answer; no busy machine takes so long for one."""
GIVES_UP: Final = 0.4
"""How often a failed attempt was the last, for the pause after it would take all the time that is left."""
NO_TIME: Final = 1e9
TICK_MS: Final = 4


class Clock:
    """A clock that goes on with every look at it, so that a slow machine plays the same history as a fast one."""

    def __init__(self) -> None:
        self._start_ms = wall_clock_ms()
        self._looks = itertools.count()

    def read(self, skew_ms: int) -> int:
        """Return the time of a process whose clock is so much wrong."""
        return self._start_ms + next(self._looks) * TICK_MS + skew_ms


@dataclass(frozen=True, slots=True)
class Plan:
    """Who spends: one limiter for each clock, by so many ms wrong, and so many threads for each limiter."""

    endpoint_url: str
    table_name: str
    seed: int
    skews_ms: Sequence[int]
    threads: int
    actions: int
    first_number: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What a process has to tell."""

    accounts: list[Account]
    counts: Counter[str]


def run(plan: Plan) -> Report:
    """Spend as planned, until all threads have ended."""
    config = Config(connect_timeout=10, read_timeout=HUNG_S)
    client = unmocked(dynamodb_client(endpoint_url=plan.endpoint_url, config=config))
    spenders: list[Spender] = []
    clock, luck = Clock(), Random(plan.seed)
    with ExitStack() as stack:
        for skew_ms in plan.skews_ms:
            witness = Witness(partial(clock.read, skew_ms))
            repository = stack.enter_context(
                DynamoRepository(
                    client,
                    plan.table_name,
                    observer=witness.observe,
                    sleep=lambda _seconds: None,
                    draw=lambda: NO_TIME if luck.random() < GIVES_UP else 0,
                )
            )
            limiter = Limiter(repository, clock=witness.read_clock, timeout_ms=TIMEOUT_MS)
            for _ in range(plan.threads):
                spenders.append(Spender(limiter, witness, plan.seed, plan.first_number + len(spenders)))
        with ThreadPoolExecutor(len(spenders)) as pool:
            for done in [pool.submit(spender.spend, plan.actions) for spender in spenders]:
                done.result()
    client.close()
    return Report([account for spender in spenders for account in spender.accounts], total(spenders))


def main() -> int:
    """Run as a program."""
    report = run(Plan(**json.load(sys.stdin)))
    json.dump({"accounts": [account.dump() for account in report.accounts], "counts": report.counts}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
