"""Processes that ask for a token over HTTP, again and again, and come back when they are told to."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final

import urllib3

from scripts.api import ApiClient

JITTER_S: Final = 0.25
"""The most that a client waits longer than ``Retry-After`` says, so that those who came together part."""
_PAUSE_S: Final = 0.2
"""How long a client waits that had no answer, or another one than it knows."""
_READY_S: Final = 2.0
_READY_EACH_S: Final = 0.03


@dataclass(frozen=True, slots=True)
class Visit:
    """What a process does: ask for one token each time, from one moment to another (seconds since 1970).

    It comes ``within_s`` of the first moment, not at it.
    """

    api_url: str
    region: str
    access_key_id: str
    secret_access_key: str
    entity_id: str
    resource: str
    limit: str
    within_s: float
    number: int = 0
    starts_s: float = 0
    ends_s: float = 0


@dataclass(slots=True)
class Tally:
    """What processes were answered: how often with which status, 0 for none; and the seconds that grants took."""

    answers: Counter[int] = field(default_factory=Counter)
    grants_s: list[float] = field(default_factory=list)

    @property
    def granted(self) -> int:
        """How often a token was granted."""
        return self.answers[200]

    @property
    def unknown(self) -> int:
        """How often there was no answer that says what happened."""
        return self.answers.total() - self.answers[200] - self.answers[429]

    def add(self, other: Tally) -> None:
        """Take another process's in."""
        self.answers += other.answers
        self.grants_s += other.grants_s


def visit(order: Visit) -> Tally:
    """Ask until the time is over. A granted client asks again at once, a refused one after ``Retry-After``."""
    api = ApiClient(
        order.api_url,
        region=order.region,
        access_key_id=order.access_key_id,
        secret_access_key=order.secret_access_key,
    )
    body = {"entity_id": order.entity_id, "resource": order.resource, "consume": {order.limit: 1}}
    choice = random.Random(order.number)  # noqa: S311 - jitter
    tally = Tally()
    time.sleep(max(0, order.starts_s + choice.random() * order.within_s - time.time()))
    while (began_s := time.time()) < order.ends_s:
        try:
            answer = api.post("/acquire", body)
        except urllib3.exceptions.HTTPError:
            tally.answers[0] += 1
            time.sleep(_PAUSE_S)
            continue
        tally.answers[answer.status] += 1
        if answer.status == 200:
            tally.grants_s.append(time.time() - began_s)
        elif answer.status == 429:
            time.sleep(int(answer.headers["Retry-After"]) + choice.random() * JITTER_S)
        else:
            time.sleep(_PAUSE_S)
    return tally


def visit_at_once(order: Visit, processes: int, seconds: float) -> tuple[Tally, Sequence[Tally], float]:
    """Let so many processes ask at once; return what all were answered, what each was, and when they stopped.

    They are forked from one that has imported all they need, so that a crowd is there soon and takes little room.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    starts_s = time.time() + _READY_S + _READY_EACH_S * processes
    ends_s = starts_s + seconds
    orders = [replace(order, number=n, starts_s=starts_s, ends_s=ends_s) for n in range(processes)]
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        tallies = list(pool.map(visit, orders))
    total = Tally()
    for tally in tallies:
        total.add(tally)
    return total, tallies, ends_s
