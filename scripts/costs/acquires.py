"""The situations in which an acquire can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from leasegate import Limit
from scripts.costs.tables import LIMITS, Situation, Table, measure, spend

NAMES: Final = ("rpm", "tpm", "rpd", "tpd", "images", "audio", "tools", "batch")


def warm(count: int) -> Situation:
    """Prepare a known bucket with so many limits."""

    def prepare(table: Table) -> Callable[[], object]:
        limiter = table.process()
        limiter.set_limits("key-1", [Limit.per_minute(name, 60) for name in NAMES[:count]])
        consume = dict.fromkeys(NAMES[:count], 1)
        limiter.acquire("key-1", "gpt-4", consume)
        return lambda: limiter.acquire("key-1", "gpt-4", consume)

    return prepare


def warm_cascade(*entity_ids: str, **options: str) -> Situation:
    """Prepare a known family of so many levels."""

    def prepare(table: Table) -> Callable[[], object]:
        table.family(*entity_ids)
        limiter = table.process()
        spend(limiter, entity_ids[-1])()
        return spend(limiter, entity_ids[-1], **options)

    return prepare


def refused(table: Table) -> Callable[[], object]:
    """Prepare a bucket that is known to this process, but not that others emptied it."""
    table.family("key-1")
    limiter = table.process()
    spend(limiter)()
    table.process().acquire("key-1", "gpt-4", {"tpm": 9_500})
    return spend(limiter)


def refused_again(table: Table) -> Callable[[], object]:
    """Prepare a bucket that refused this process a moment ago."""
    call = refused(table)
    measure(table, call)
    return call


def refused_by_the_parent(table: Table) -> Callable[[], object]:
    """Prepare a parent that others emptied."""
    table.family("project", "key-1")
    limiter = table.process()
    spend(limiter)()
    table.process().acquire("project", "gpt-4", {"tpm": 9_500})
    return spend(limiter)


def wrong_guess(table: Table) -> Callable[[], object]:
    """Prepare a bucket that was idle for long, until somebody else just spent from it."""
    table.family("key-1")
    limiter = table.process()
    spend(limiter)()
    table.now_ms += 10_000
    spend(table.process())()
    return spend(limiter)


def renewing(table: Table) -> Callable[[], object]:
    """Prepare a known bucket, and knowledge of its resource that is past half its age."""
    table.family("key-1")
    limiter = table.process()
    spend(limiter)()
    table.now_ms += 20_000
    return spend(limiter)


def knowing_defaults(*, spent_before: bool, own_limits: bool = False) -> Situation:
    """Prepare a process that knows the defaults, but not this bucket."""

    def prepare(table: Table) -> Callable[[], object]:
        limiter = table.process()
        limiter.set_resource_defaults("gpt-4", LIMITS)
        spend(limiter, "somebody")()
        if own_limits:
            table.process().set_limits("key-1", [*LIMITS, Limit.per_day("rpd", 1_000)])
        if spent_before:
            spend(table.process())()
        table.now_ms += 10_000
        return spend(limiter)

    return prepare


def changed(table: Table) -> Callable[[], object]:
    """Prepare a known bucket whose limits were changed elsewhere."""
    table.family("key-1")
    limiter = table.process()
    spend(limiter)()
    table.now_ms += 1
    table.process().set_limits("key-1", [*LIMITS, Limit.per_day("rpd", 1_000)])
    return spend(limiter)


def first_ever(table: Table) -> Callable[[], object]:
    """Prepare limits, but no bucket."""
    table.process().set_limits("key-1", LIMITS)
    return spend(table.process())


def cold(*entity_ids: str, **options: str) -> Situation:
    """Prepare a family, and a process that knows nothing of it."""

    def prepare(table: Table) -> Callable[[], object]:
        table.family(*entity_ids)
        return spend(table.process(), entity_ids[-1], **options)

    return prepare


ACQUIRES: dict[str, Situation] = {
    "known bucket, granted, 1 limit": warm(1),
    "known bucket, granted, 2 limits": warm(2),
    "known bucket, granted, 8 limits": warm(8),
    "known, cascade of 2 levels": warm_cascade("project", "key-1"),
    "known, cascade of 4 levels": warm_cascade("company", "department", "project", "key-1"),
    'known, cascade of 2 levels, `cascade="transaction"`': warm_cascade("project", "key-1", cascade="transaction"),
    "known bucket, granted, and renewing beside it what is known of the resource: once in 15 s": renewing,
    "refused": refused,
    "refused again, while that holds (1 s)": refused_again,
    "refused by the parent: what the child spent is given back": refused_by_the_parent,
    "wrong guess whether the bucket is busy or idle": wrong_guess,
    "bucket this process never saw, under known defaults": knowing_defaults(spent_before=True),
    "bucket this process never saw, under limits of its own": knowing_defaults(spent_before=True, own_limits=True),
    "limits changed since: once for each bucket and change": changed,
    "bucket that does not exist yet: once in its life": first_ever,
    "the same, tried under the defaults first": knowing_defaults(spent_before=False),
    "cold process": cold("key-1"),
    "cold process, cascade, parent given": cold("project", "key-1", parent_id="project"),
    "cold process, cascade, parent revealed by the first read": cold("project", "key-1"),
}
