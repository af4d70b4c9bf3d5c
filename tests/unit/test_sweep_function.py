"""The sweep function: when it sweeps again, when it stops, what it reports. Its waits take no time here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from leasegate import Limit, Limiter, StoreError, schema
from leasegate.operations import Set, Update
from leasegate.records import SweepReport
from leasegate.repository.dynamodb import DynamoRepository
from leasegate.session import wall_clock_ms
from leasegate.sweeper import STEP_MS, Sweeper
from tests.fixtures.functions import TABLE_NAME, Launch
from tests.fixtures.tables import MemoryTable
from tests.functions import Context, Function, counts, lines
from tests.samples import EVENTS, SWEEP, load_event

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LIMITS = [Limit.per_day("rpd", 1, burst=100)]
LIMIT_MS = 60_000
"""The time that an invocation has, as template.yaml sets it."""


@dataclass
class Invocation:
    """One invocation on a table in memory, at whose clock a wait takes no time.

    ``sweeps`` has the times of its sweeps since its start, each of which takes ``step_ms``; ``meanwhile`` is what
    others do when it wakes up.
    """

    table: MemoryTable
    function: Function
    sweeps: list[int] = field(default_factory=list)
    meanwhile: Callable[[], object] = lambda: None
    step_ms: int = 0

    def __post_init__(self) -> None:
        self.start_ms = self.table.now_ms

    def run(self) -> SweepReport:
        report: SweepReport = self.function.module.keep_sweeping(
            Sweeper(self.table, clock=self.read_clock),
            self.time_left_ms,
            clock=lambda: self.table.now_ms,
            sleep=self.sleep,
        )
        return report

    def read_clock(self) -> int:
        """Tell the time to a sweep that begins, which then takes ``step_ms``."""
        now_ms = self.table.now_ms
        self.sweeps.append(now_ms - self.start_ms)
        self.table.now_ms += self.step_ms
        return now_ms

    def time_left_ms(self) -> int:
        return self.start_ms + LIMIT_MS - self.table.now_ms

    def sleep(self, seconds: float) -> None:
        self.table.now_ms += round(seconds * 1_000)
        self.meanwhile()


@pytest.fixture
def function(moto_client: DynamoDBClient, launch: Launch) -> Function:
    return launch("sweep")


@pytest.fixture
def table() -> MemoryTable:
    table = MemoryTable()
    table.process().set_limits("key", LIMITS)
    return table


@pytest.fixture
def invocation(table: MemoryTable, launch: Launch) -> Invocation:
    return Invocation(table, launch("sweep"))


def acquire(table: MemoryTable, expires_in: int, tokens: int = 10, **options: Any) -> str:  # noqa: ANN401 - as given
    """Acquire a lease; return its name."""
    lease = table.process().acquire(
        "key", "gpt-4", {"rpd": tokens}, durable=True, expires_in=expires_in, **options
    )
    return str(lease.id).partition(".")[0]


def used(table: MemoryTable) -> object:
    return table.item(schema.bucket_key("key", "gpt-4"))["u.rpd"]


# --- when it sweeps ----------------------------------------------------------------------------------


def test_where_no_lease_expires_it_ends_at_once(invocation: Invocation) -> None:
    assert invocation.run() == SweepReport()
    assert invocation.sweeps == [0]


def test_a_lease_that_it_saw_ends_at_its_very_time(table: MemoryTable, invocation: Invocation) -> None:
    acquire(table, 20)
    assert invocation.run() == SweepReport(released=1)
    assert invocation.sweeps == [0, 20_000]
    assert used(table) == 0


def test_it_waits_for_one_lease_after_the_other(table: MemoryTable, invocation: Invocation) -> None:
    for expires_in in (55, 3, 30):
        acquire(table, expires_in)
    acquire(table, 40, on_expiry="keep")
    assert invocation.run() == SweepReport(released=3, kept=1)
    assert invocation.sweeps == [0, 3_000, 30_000, 40_000, 55_000]


def test_a_lease_that_expires_later_is_left_to_the_next_invocation(
    table: MemoryTable, invocation: Invocation
) -> None:
    acquire(table, 56)
    assert invocation.run() == SweepReport(next_at_ms=table.now_ms + 56_000)
    assert invocation.sweeps == [0]
    table.now_ms += LIMIT_MS
    later = Invocation(table, invocation.function)
    assert later.run() == SweepReport(released=1)


def test_no_sweep_begins_that_would_not_end_in_time(table: MemoryTable, invocation: Invocation) -> None:
    invocation.step_ms = STEP_MS
    for expires_in in range(1, 120, 2):
        acquire(table, expires_in, tokens=1)
    report = invocation.run()
    assert max(invocation.sweeps) <= LIMIT_MS - STEP_MS
    assert report.released == sum(2_000 * number + 1_000 <= max(invocation.sweeps) for number in range(60))


def test_it_sweeps_once_a_second_at_most(table: MemoryTable, invocation: Invocation) -> None:
    for _ in range(50):
        table.now_ms += 20
        acquire(table, 20, tokens=1)
    invocation.start_ms = table.now_ms
    assert invocation.run() == SweepReport(released=50)
    assert invocation.sweeps == [0, 19_020, 20_020]


def test_a_lease_that_is_acquired_under_its_waits_ends_too(table: MemoryTable, invocation: Invocation) -> None:
    acquire(table, 10)
    others = iter([5])

    def acquire_another() -> None:
        for expires_in in others:
            acquire(table, expires_in)

    invocation.meanwhile = acquire_another
    assert invocation.run() == SweepReport(released=2)
    assert invocation.sweeps == [0, 10_000, 15_000]


def test_a_lease_that_is_renewed_under_its_waits_is_waited_for_anew(
    table: MemoryTable, invocation: Invocation
) -> None:
    lease = table.process().acquire("key", "gpt-4", {"rpd": 1}, durable=True, expires_in=10)
    late = Limiter(table, clock=lambda: table.now_ms - 1)

    def renew_once() -> None:
        if invocation.sweeps == [0]:
            late.lease(str(lease.id)).renew()

    invocation.meanwhile = renew_once
    assert invocation.run() == SweepReport(released=1)
    assert invocation.sweeps == [0, 10_000, 19_999]


# --- failures ----------------------------------------------------------------------------------------


def spoil(table: MemoryTable, lease: str) -> None:
    """Let nobody understand what a lease was granted."""
    change = Update(schema.lease_key(lease), (Set(schema.LEASE_GRANT, "of-another-release"),))
    table.memory.execute((change,), timeout_ms=0)


def test_a_lease_that_fails_is_counted_and_the_others_end(table: MemoryTable, invocation: Invocation) -> None:
    spoil(table, acquire(table, 5, tokens=3))
    acquire(table, 5)
    acquire(table, 7)
    report = invocation.run()
    assert report == SweepReport(released=2, failed=1)
    assert used(table) == 3


def test_a_lease_that_failed_is_met_again_every_few_seconds(table: MemoryTable, invocation: Invocation) -> None:
    name = acquire(table, 5)
    grant = table.item(schema.lease_key(name))[schema.LEASE_GRANT]
    spoil(table, name)

    def mend() -> None:
        if len(invocation.sweeps) == 4:
            mended = Update(schema.lease_key(name), (Set(schema.LEASE_GRANT, grant),))
            table.memory.execute((mended,), timeout_ms=0)

    invocation.meanwhile = mend
    assert invocation.run() == SweepReport(released=1)
    assert invocation.sweeps == [0, 5_000, 10_000, 15_000, 20_000]


# --- the handler -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Deadline(Context):
    """A context whose time really passes."""

    until_s: float = field(default_factory=lambda: time.monotonic() + 60)

    def get_remaining_time_in_millis(self) -> int:
        return round((self.until_s - time.monotonic()) * 1_000)


@pytest.fixture
def ago(moto_client: DynamoDBClient) -> Iterator[Limiter]:
    """The library as it was a minute ago."""
    with DynamoRepository(moto_client, TABLE_NAME) as repository:
        limiter = Limiter(repository, clock=lambda: wall_clock_ms() - 60_000)
        limiter.set_limits("key", LIMITS)
        yield limiter


def let_expire(ago: Limiter) -> None:
    """Acquire three leases whose time is over by now, one of which keeps its tokens."""
    for on_expiry in ("release", "release", "keep"):
        ago.acquire("key", "gpt-4", {"rpd": 10}, durable=True, expires_in=30, on_expiry=on_expiry)


def invoke(function: Function, event: object, context: Context | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = function.module.handler(event, context or Context(left_ms=60_000))
    return answer


def test_every_event_has_its_row_of_expectations() -> None:
    assert {path.stem for path in EVENTS.glob("sweep_*.json")} == set(SWEEP)


@pytest.mark.parametrize("event", [*map(load_event, SWEEP), {}, None], ids=[*SWEEP, "by hand", "nothing"])
def test_whatever_the_event_expired_leases_end(event: object, function: Function, ago: Limiter) -> None:
    let_expire(ago)
    assert invoke(function, event) == {
        "released": 2,
        "kept": 1,
        "failed": 0,
        "is_complete": True,
        "next_at_ms": None,
    }
    assert ago.available("key", "gpt-4")["rpd"].available == 90
    assert invoke(function, event)["released"] == 0


def test_it_really_waits_for_a_lease_that_is_about_to_expire(function: Function, limiter: Limiter) -> None:
    limiter.set_limits("key", LIMITS)
    limiter.acquire("key", "gpt-4", {"rpd": 10}, durable=True, expires_in=1)
    assert invoke(function, {}, Deadline())["released"] == 1


def test_metrics_count_what_was_done(function: Function, ago: Limiter, capsys: pytest.CaptureFixture[str]) -> None:
    let_expire(ago)
    invoke(function, {})
    assert counts(capsys) == {"SweepRoundTrips": 3, "LeasesReleased": 2, "LeasesKept": 1, "LeasesFailed": 0}


def test_the_log_tells_what_was_done(function: Function, ago: Limiter, capsys: pytest.CaptureFixture[str]) -> None:
    let_expire(ago)
    answer = invoke(function, {})
    (record,) = [line for line in lines(capsys) if line.get("message") == "sweep"]
    assert {name: record.get(name) for name in answer} == answer


def test_without_time_it_touches_nothing(
    function: Function, ago: Limiter, capsys: pytest.CaptureFixture[str]
) -> None:
    let_expire(ago)
    answer = invoke(function, {}, Context(left_ms=STEP_MS - 1))
    assert (answer["released"], answer["is_complete"]) == (0, False)
    assert counts(capsys)["SweepRoundTrips"] == 0


def test_a_table_that_does_not_answer_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
    moto_client: DynamoDBClient,
    launch: Launch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TABLE_NAME", "another-table")
    function = launch("sweep")
    with pytest.raises(StoreError):
        invoke(function, {})
    assert counts(capsys) == {"SweepFailed": 1, "SweepRoundTrips": 1}


def test_the_client_is_built_in_the_init_phase(
    monkeypatch: pytest.MonkeyPatch, moto_client: DynamoDBClient, launch: Launch
) -> None:
    assert launch("sweep").module.client.cache_info().currsize == 0
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    assert launch("sweep").module.client.cache_info().currsize == 1
