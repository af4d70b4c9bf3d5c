"""Usage in a table, as the aggregator counts it; tests write none of it by hand."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Final

from leasegate.changes import BucketChange
from leasegate.driver import drive
from leasegate.flows.counting import count_usage
from leasegate.knowledge import Recent
from leasegate.repository import Repository
from leasegate.windows import UsagePlan, Window

PLAN: Final = UsagePlan({"minute": 3, "hour": 35, "day": 400, "month": 1_830})

_VERSIONS: Final = count(1)


def spent(
    entity_id: str,
    at_ms: int,
    tokens: Mapping[str, int],
    *,
    grants: int = 1,
    refused: Mapping[str, int] | None = None,
    peaks: Mapping[str, int] | None = None,
    resource: str = "gpt-4",
) -> BucketChange:
    """Return a change of a bucket that none before it has made."""
    version = next(_VERSIONS)
    refusals = {} if refused is None else refused
    highest = {name: max(0, number) for name, number in tokens.items()} if peaks is None else peaks
    return BucketChange(entity_id, resource, version - 1, version, at_ms, tokens, grants, refusals, highest)


def count_all(
    repository: Repository, *changes: BucketChange, windows: tuple[Window, ...] = ("hour", "day")
) -> None:
    """Count changes by these windows, on the day of the latest."""
    plan = UsagePlan({window: PLAN.retention_days[window] for window in windows})
    now_ms = max([change.at_ms for change in changes])
    counted = drive(count_usage(changes, plan, now_ms, Recent(10_000)), repository, 60_000)
    assert not counted.failures
    assert not counted.expired
