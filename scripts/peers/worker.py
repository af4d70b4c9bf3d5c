"""A process of one contestant that asks when it is told to, and says what that took.

    python -m scripts.peers.worker NAME ENDPOINT_URL METER_URL

It creates the contestant's table, and says by a JSON object which versions it runs. Then it reads an
:class:`Order` from each line of standard input, as JSON, and answers each with an object.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Final, Literal, NamedTuple

from scripts.peers.cases import AMPLE, CASES, ONE, Case
from scripts.peers.contestant import Contestant, contestant

WORKER: Final = "scripts.peers.worker"


class Order(NamedTuple):
    """What to do: bring about how things stand in a case, or ask, of each entity once.

    ``is_metered`` goes by the meter, which takes its time.
    """

    do: Literal["prepare", "ask"]
    case: int
    entities: Sequence[str]
    is_metered: bool


class Cost(NamedTuple):
    """What a request took: processor time of the process, and time on the clock."""

    cpu_s: float
    wall_s: float


def prepare(case: Case, entities: Sequence[str], asker: Contestant, other: Contestant) -> None:
    """Bring about how things stand in a case; whatever is administered, ``other`` does.

    The asker asks for another entity too, so that what it knows of them all is there, and has not run out.
    """
    for entity_id in dict.fromkeys(entities):
        parent_id = f"{entity_id}-parent" if case.has_parent else None
        if parent_id is not None:
            other.store(parent_id, case.resource, case.limits)
        if not case.has_defaults:
            other.store(entity_id, case.resource, case.limits, parent_id)
        if case.asked_by != "nobody":
            first = asker if case.asked_by == "itself" else other
            for _ in range(2):  # the first creates the bucket
                _expect(first.ask(entity_id, case.resource, ONE), is_granted=True)
        if case.is_spent:
            _expect(other.ask(entity_id, case.resource, case.question), is_granted=True)
    own_id = f"{entities[0]}-before"
    if not case.has_defaults:
        other.store(own_id, case.resource, AMPLE)
    _expect(asker.ask(own_id, case.resource, ONE), is_granted=True)
    if case.is_refused:
        for entity_id in entities:
            _expect(asker.ask(entity_id, case.resource, case.question), is_granted=False)


def ask(case: Case, entities: Sequence[str], asker: Contestant) -> Cost:
    """Ask of all entities; return the mean cost. Raises ``RuntimeError`` unless all answers are as expected."""

    def ask_of(entity_id: str) -> float | None:
        return asker.ask(entity_id, case.resource, case.question)

    with ThreadPoolExecutor(case.threads) as pool:
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        answers = [*pool.map(ask_of, entities)] if case.threads > 1 else [*map(ask_of, entities)]
        took = time.process_time() - cpu_s, time.perf_counter() - wall_s
    for answer in answers:
        _expect(answer, is_granted=not case.is_spent)
    return Cost(*[seconds / len(entities) for seconds in took])


def _expect(answer: float | None, *, is_granted: bool) -> None:
    if (answer is None) is not is_granted:
        raise RuntimeError("it was granted" if answer is None else f"it was refused for {answer:g} s")


def main(name: str, endpoint_url: str, meter_url: str) -> None:
    """Do what standard input says until it ends."""
    kind = contestant(name)
    kind.create_table(endpoint_url)
    other = kind(endpoint_url)
    askers = {False: kind(endpoint_url), True: kind(meter_url)}
    for case in CASES:
        if case.has_defaults:
            other.store_defaults(case.resource, AMPLE)
    print(json.dumps({package: version(package) for package in (name.lower(), "boto3")}), flush=True)
    for line in sys.stdin:
        order = Order(**json.loads(line))
        case, asker = CASES[order.case], askers[order.is_metered]
        if order.do == "prepare":
            prepare(case, order.entities, asker, other)
            print("{}", flush=True)
        else:
            print(json.dumps(ask(case, order.entities, asker)._asdict()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
