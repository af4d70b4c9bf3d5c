"""Measure what acquires and administration cost; print it, and write it into the README's tables.

    python -m scripts.costs

Round trips are counted by an observer of the repository, units by the package's own meter, which bills as
DynamoDB does. Nothing here waits for a clock or a network: the table is in memory, its meaning is DynamoDB's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from leasegate import Disabled, Knowledge, Limit, Limiter, RateLimitExceeded, schema
from leasegate.flows.lifecycle import create, newborn
from leasegate.flows.reading import EntityReading, Resolved
from leasegate.flows.spending import Request
from leasegate.identifiers import MAX_TOKENS
from leasegate.limits import MAX_LIMITS, MAX_PERIOD_MS, index_limits
from leasegate.metering import Meter, item_size
from leasegate.operations import Item, Put
from leasegate.repository.memory import MemoryRepository

if TYPE_CHECKING:
    from leasegate.repository import Repository

README = Path(__file__).parents[1] / "README.md"
START_MS = 1_790_000_000_123
LIMITS = [Limit.per_minute("rpm", 60), Limit.per_minute("tpm", 10_000)]
NAMES = ("rpm", "tpm", "rpd", "tpd", "images", "audio", "tools", "batch")


class Row(NamedTuple):
    """One situation, and what a call costs in it."""

    situation: str
    round_trips: int
    calls: int
    write_units: int
    read_units: float


@dataclass
class Table:
    """A table, the meter that observes its repository, and the clock of all processes that use it."""

    repository: Repository
    meter: Meter
    now_ms: int = START_MS

    @classmethod
    def in_memory(cls) -> Table:
        """Return an empty table in memory."""
        meter = Meter()
        return cls(MemoryRepository(observer=meter), meter)

    def process(self, **knowledge: int) -> Limiter:
        """Return a limiter that knows nothing yet, as a process that just started."""
        return Limiter(self.repository, clock=lambda: self.now_ms, knowledge=Knowledge(**knowledge))

    def family(self, *entity_ids: str) -> None:
        """Create entities with limits, each the child of the one before, and a bucket for each."""
        admin = self.process()
        for parent_id, entity_id in zip((None, *entity_ids), entity_ids, strict=False):
            admin.create_entity(entity_id, parent_id)
            admin.set_limits(entity_id, LIMITS)
        admin.acquire(entity_ids[-1], "gpt-4", {"rpm": 1})


type Situation = Callable[[Table], Callable[[], object]]
"""Prepares a table and returns the call to measure."""


def spend(limiter: Limiter, entity_id: str = "key-1", **options: str) -> Callable[[], object]:
    """Return an acquire of one request and 500 tokens."""
    return lambda: limiter.acquire(entity_id, "gpt-4", {"rpm": 1, "tpm": 500}, **options)  # type: ignore[arg-type]  # options of one type


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


SITUATIONS: dict[str, Situation] = {
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


def administered(table: Table) -> Limiter:
    """Return an administrator, of a table with a key under one of two projects, all of which have spent."""
    table.family("project", "key-1")
    admin = table.process()
    admin.create_entity("other")
    admin.set_resource_defaults("gpt-4", LIMITS)
    table.now_ms += 1
    return admin


def administer(change: Callable[[Limiter], object]) -> Situation:
    """Prepare a table that is in use, and a change of it."""

    def prepare(table: Table) -> Callable[[], object]:
        admin = administered(table)
        return lambda: change(admin)

    return prepare


def set_before(table: Table) -> Callable[[], object]:
    """Prepare defaults that another process set."""
    administered(table)
    other = table.process()
    return lambda: other.set_resource_defaults("gpt-4", LIMITS)


def disabled(*, again: bool) -> Situation:
    """Prepare a process that knows a bucket well, but not that its entity was disabled since."""

    def prepare(table: Table) -> Callable[[], object]:
        table.family("key-1")
        limiter = table.process()
        spend(limiter)()
        table.process().disable_entity("key-1")
        if again:
            measure(table, spend(limiter))
        return spend(limiter)

    return prepare


ADMINISTRATION: dict[str, Situation] = {
    "list the resources that have defaults": administer(lambda admin: admin.list_resources_with_defaults()),
    "the same, eventually consistent": administer(
        lambda admin: admin.list_resources_with_defaults(consistent=False)
    ),
    "say which limits hold for an entity and a resource": administer(
        lambda admin: admin.resolve_limits("key-1", "gpt-4")
    ),
    "set a resource's defaults, and list it": administer(lambda admin: admin.set_resource_defaults("x", LIMITS)),
    "the same, where another process set them before": set_before,
    "set limits that another process set before, and tell the bucket": administer(
        lambda admin: admin.set_limits("key-1", LIMITS)
    ),
    "create an entity under a parent": administer(lambda admin: admin.create_entity("key-2", "project")),
    "move an entity, and tell its bucket": administer(lambda admin: admin.move_entity("key-1", "other")),
    "disable an entity, and tell its bucket": administer(lambda admin: admin.disable_entity("key-1")),
    "an acquire of an entity that was disabled": disabled(again=False),
    "the same again, within 1 s": disabled(again=True),
    "top up a bucket": administer(lambda admin: admin.top_up("key-1", "gpt-4", {"tpm": 500})),
    "a page of the audit": administer(lambda admin: admin.list_audit("entity:key-1")),
}
"""Everything that is not an acquire that was allowed to spend."""


def measure(table: Table, call: Callable[[], object]) -> Meter:
    """Make a call, refused or not, and return what it cost."""
    table.meter.reset()
    with suppress(RateLimitExceeded, Disabled):
        call()
    return table.meter


def measure_situation(situation: str, table: Table) -> Row:
    """Bring an empty table into a situation, make the call, and return what that cost."""
    meter = measure(table, (SITUATIONS | ADMINISTRATION)[situation](table))
    return Row(situation, meter.round_trips, meter.calls, meter.write_units, meter.read_units)


def fullest_bucket(count: int) -> Item:
    """Build a bucket as big as it gets: names of 16 characters, ids of 64, no round numbers, every slot taken."""
    limits = index_limits(
        Limit(f"limit-{number:02}-of-many", MAX_TOKENS - 1, MAX_TOKENS - 1, MAX_PERIOD_MS - 1)
        for number in range(count)
    )
    amounts = dict.fromkeys(limits, MAX_TOKENS - 1)
    request = Request("x" * 16, 0, START_MS)
    state = newborn(Resolved(f"e:{START_MS}", limits), "p" * 64, amounts, request)
    reading = EntityReading(schema.Entity(parent_id="p" * 64), None, None)
    bucket = create("e" * 64, "r" * 64, state, amounts, reading, request)[0]
    assert isinstance(bucket, Put)
    slots = {schema.request_attribute(slot): request.id for slot in range(schema.REQUEST_SLOTS)}
    return {**bucket.item, **slots}


def fullest_size(count: int) -> int:
    """Return the size in bytes of :func:`fullest_bucket`."""
    return item_size(schema.bucket_key("e" * 64, "r" * 64), fullest_bucket(count))


def render_situations(title: str, situations: Iterable[str]) -> str:
    """Render the round trips as a Markdown table."""
    lines = [f"| {title} | round trips | calls | write units | read units |", "|---|---|---|---|---|"]
    rows = [measure_situation(situation, Table.in_memory()) for situation in situations]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join(lines)


def render_sizes() -> str:
    """Render the write units of the fullest buckets as a Markdown table."""
    lines = ["| limits of a bucket | its largest size | write units of a grant |", "|---|---|---|"]
    for units, counts in groupby(range(1, MAX_LIMITS + 1), lambda count: -(-fullest_size(count) // 1024)):
        group = list(counts)
        lines.append(f"| {group[0]} to {group[-1]} | {fullest_size(group[-1]):,} bytes | {units} |")
    return "\n".join(lines)


def render_readme(text: str) -> str:
    """Return a README with all tables, each between its markers, as they are measured now."""
    tables = {
        "situations": render_situations("an acquire", SITUATIONS),
        "administration": render_situations("to", ADMINISTRATION),
        "sizes": render_sizes(),
    }
    for name, table in tables.items():
        before, start, rest = text.partition(f"<!-- costs: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not (start and end):
            raise ValueError(f"README.md has no markers for {name}")
        text = f"{before}{start}{table}\n{end}{after}"
    return text


if __name__ == "__main__":
    README.write_text(rendered := render_readme(README.read_text()))
    print(
        *[part.partition(" -->\n")[2].partition("<!-- end")[0] for part in rendered.split("<!-- costs: ")[1:]],
        sep="\n",
    )
