"""The requests in events/: what each shows, and what the table must hold for it.

A sample is an event as API Gateway sends it, `events/acquire_<case>.json`. Each runs alone, on a table in any
state, as often as one likes. Limits come with the request, so most need nothing stored; two show their case
only where :func:`seed` ran before:

- `refused`: no request can be refused by a full bucket. Without the seed the first run is granted, and every
  later one refused for a year.
- `cascade`: without the seed the key has no parent, and only its own limits answer.

Limits of the whole system would come before those of the request: the table has none.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from leasegate import InvalidRequest, Limit, Limiter, RateLimitExceeded
from leasegate.limits import MAX_PERIOD_MS

EVENTS: Final = Path(__file__).resolve().parents[1] / "events"


class Sample(NamedTuple):
    """What a sample shows: the status, and the names in its RateLimit field, in order."""

    status: int
    policies: tuple[str, ...] = ()


SAMPLES: Final = {
    "acquire_granted": Sample(200, ("rpm",)),
    "acquire_refused": Sample(429, ("rpy",)),
    "acquire_several_limits": Sample(200, ("rpd", "rpm", "tpm")),
    "acquire_cascade": Sample(200, ("rpm", "sample-project/rpm", "sample-project/tpm")),
    "acquire_invalid": Sample(400),
    "acquire_unknown_entity": Sample(404),
}
"""One row for each file in events/, by its name."""


def load_event(name: str) -> dict[str, Any]:
    """Read a sample's event."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return event


def seed(limiter: Limiter) -> None:
    """Store what the samples need; storing it again changes nothing."""
    _create_entity(limiter, "sample-project")
    _create_entity(limiter, "sample-key", "sample-project")
    project_limits = [Limit.per_minute("rpm", 6_000), Limit.per_minute("tpm", 1_000_000)]
    limiter.set_limits("sample-project", project_limits, resource="gpt-4")
    with suppress(RateLimitExceeded):  # spent already, as it should be
        limiter.acquire("sample-refused", "gpt-4", {"rpy": 1}, limits=[Limit("rpy", 1, 1, MAX_PERIOD_MS)])


def _create_entity(limiter: Limiter, entity_id: str, parent_id: str | None = None) -> None:
    try:
        limiter.create_entity(entity_id, parent_id)
    except InvalidRequest as error:
        if error.field != "entity_id":  # that is the one that says it exists
            raise
