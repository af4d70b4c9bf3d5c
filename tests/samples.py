"""The events in events/: what each shows, and what the table must hold for it.

A sample is what a function gets, `events/<function>_<case>.json`; a request as API Gateway sends it. Each runs
alone, on a table in any state, as often as one likes. Limits come with the request, so most need nothing stored;
some show their case only where :func:`seed` ran before:

- `acquire_refused`: no request can be refused by a full bucket. Without the seed the first run is granted, and
  every later one refused for a year.
- `acquire_cascade`: without the seed the key has no parent, and only its own limits answer.
- `acquire_adjust`: without the seed there are no limits, and nothing is adjusted.
- `acquire_settle`, `acquire_release`, `acquire_renew`: without the seed there is no such lease. A lease's name
  comes of who asks for it and of the idempotency key, so the seed's leases have the names that these samples give.
- `admin_put_entity`, `admin_patch_entity`, `admin_conflict` and what else begins with `admin_` and names an
  entity: without the seed it is not there yet.

Limits of the whole system would come before those of the request: the table has none.

The records of `aggregator_` are of the last day of the year 2099, for totals of the past are not kept for ever. A
sample that is counted twice comes to the same totals.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from leasegate import Administrator, Limit, Limiter, RateLimitExceeded
from leasegate.limits import MAX_PERIOD_MS
from leasegate.windows import LAST_MS, Window

EVENTS: Final = Path(__file__).resolve().parents[1] / "events"


class Sample(NamedTuple):
    """What a request shows: the status, and the names in its RateLimit field, in order."""

    status: int
    policies: tuple[str, ...] = ()


class Counting(NamedTuple):
    """What records of the stream come to.

    ``usage`` is what the table says afterwards: by entity the grants of `gpt-4` and the tokens of `tpm`, hour by
    hour. ``unreadable`` counts the records that are no change of a bucket.
    """

    usage: Mapping[str, tuple[tuple[int, int], ...]]
    unreadable: int = 0


# One row for each file in events/, by its name; a section for each function.

ACQUIRE: Final = {
    "acquire_granted": Sample(200, ("rpm",)),
    "acquire_refused": Sample(429, ("rpy",)),
    "acquire_several_limits": Sample(200, ("rpd", "rpm", "tpm")),
    "acquire_cascade": Sample(200, ("rpm", "sample-project/rpm", "sample-project/tpm")),
    "acquire_invalid": Sample(400),
    "acquire_unknown_entity": Sample(404),
    "acquire_idempotent": Sample(200, ("rpm",)),
    "acquire_durable_expiring": Sample(200, ("rpm",)),
    "acquire_concurrent": Sample(200, ("streams",)),
    "acquire_batch": Sample(200),
    "acquire_adjust": Sample(200, ("rpm", "tpm")),
    "acquire_settle": Sample(200),
    "acquire_release": Sample(200),
    "acquire_renew": Sample(200),
}

ADMIN: Final = {
    "admin_audit": Sample(200),
    "admin_available": Sample(200),
    "admin_conflict": Sample(409),
    "admin_disable": Sample(200),
    "admin_invalid": Sample(400),
    "admin_list_entities": Sample(200),
    "admin_list_limits": Sample(200),
    "admin_list_resources": Sample(200),
    "admin_no_system_limits": Sample(404),
    "admin_patch_entity": Sample(200),
    "admin_put_entity": Sample(200),
    "admin_resolution": Sample(200),
    "admin_set_defaults": Sample(200),
    "admin_set_limits": Sample(200),
    "admin_tampered_cursor": Sample(400),
    "admin_top_up": Sample(200),
    "admin_unknown_entity": Sample(404),
    "admin_unknown_path": Sample(404),
    "admin_usage": Sample(200),
    "admin_usage_invalid": Sample(400),
    "admin_usage_ranking": Sample(200),
    "admin_wrong_method": Sample(405),
}

BACKFILL: Final = {
    "backfill_dry_run": None,
    "backfill_invalid": "segments",
    "backfill_prune": None,
    "backfill_run": None,
}
"""The field that is wrong with an event of the backfill; None where it is run to its end."""

SWEEP: Final = ("sweep_scheduled",)
"""The events of the sweep, to which they do not matter."""

AGGREGATOR: Final = {
    "aggregator_first_acquire": Counting({"sample-first": ((1, 500),)}),
    "aggregator_batch": Counting(
        {"sample-counted-1": ((2, 1_200), (1, 250)), "sample-counted-2": ((1, 100), (1, 50))},
    ),
    "aggregator_give_back": Counting({"sample-returned": ((1, 500),)}),
    "aggregator_poison_record": Counting({"sample-poisoned": ((2, 800),)}, unreadable=1),
    "aggregator_redrive": Counting({"sample-redriven": ((2, 800),)}, unreadable=1),
    "aggregator_repeated": Counting({"sample-repeated": ((3, 1_000),)}),
}

REQUESTS: Final = {"AcquireFunction": ACQUIRE, "AdminFunction": ADMIN}
"""The samples of the functions behind the API, which answer them with a status."""


def load_event(name: str) -> dict[str, Any]:
    """Read a sample's event."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return event


def usage_of(admin: Administrator, entity_id: str, window: Window) -> tuple[tuple[int, int], ...]:
    """Return the grants of an entity and the tokens that it spent, window by window."""
    records = admin.usage(entity_id, "gpt-4", window, 0, LAST_MS).items
    return tuple([(record.grants, record.limits["tpm"].tokens) for record in records])


def check_counted(admin: Administrator, name: str, answer: Mapping[str, Any]) -> None:
    """Hold the answer to a sample, and the table, to what the sample comes to."""
    event, sample = load_event(name), AGGREGATOR[name]
    is_redrive = event.get("redrive", False)
    assert answer["records"] == len(event["Records"])
    assert len(answer["batchItemFailures"]) == (sample.unreadable if is_redrive else 0)
    assert answer["dead_letters"] == (0 if is_redrive else sample.unreadable)
    assert len(answer.get("unreadable", {})) == (sample.unreadable if is_redrive else 0)
    for entity_id, hours in sample.usage.items():
        assert usage_of(admin, entity_id, "hour") == hours
        day = (sum(grants for grants, _ in hours), sum(tokens for _, tokens in hours))
        assert usage_of(admin, entity_id, "day") == (day,)


def seed(limiter: Limiter) -> None:
    """Store what the samples need; storing it again changes nothing."""
    limiter.put_entity("sample-project")
    limiter.put_entity("sample-key", "sample-project")
    limiter.put_entity("sample-user+alias@example.com")
    project_limits = [Limit.per_minute("rpm", 6_000), Limit.per_minute("tpm", 1_000_000)]
    limiter.set_limits("sample-project", project_limits, resource="gpt-4")
    limiter.set_limits("sample-administered", [Limit.per_minute("tpm", 10_000)], resource="gpt-4")
    with suppress(RateLimitExceeded):  # spent already, as it should be
        limiter.acquire("sample-refused", "gpt-4", {"rpy": 1}, limits=[Limit("rpy", 1, 1, MAX_PERIOD_MS)])
    limiter.set_limits("sample-adjusted", project_limits, resource="gpt-4")
    leased_limits = [Limit.per_minute("tpm", 1_000_000), Limit.concurrent("streams", 100, 3_600)]
    for how in ("settle", "release", "renew"):
        limiter.acquire(
            "sample-leased",
            "gpt-4",
            {"tpm": 500, "streams": 1},
            limits=leased_limits,
            idempotency_key=f"sample-{how}",
            actor=load_event(f"acquire_{how}")["requestContext"]["identity"]["userArn"],
        )
