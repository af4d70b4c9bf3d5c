"""The aggregator function: its answer to the stream, its dead letters, its metrics.

How changes are counted is tested with the counting itself; here batches of them reach a table.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from leasegate import InvalidRequest, Limit, Limiter
from leasegate.deadletters import MAX_BYTES, DeadBatch, DeadRecord, read_dead_letter
from leasegate.records import CountReport
from leasegate.session import ANSWER_MARGIN_MS, wall_clock_ms
from leasegate.stream import StreamRecord, sequence_number
from leasegate.windows import DEFAULT_PLAN, UsagePlan
from leasegate_lambda.queue import SEND_MS, DeadLetters
from leasegate_lambda.usage import usage_plan
from tests.fixtures.functions import Launch, Queue
from tests.functions import Context, Function, counts, lines
from tests.poller import Poller
from tests.samples import AGGREGATOR, EVENTS, check_counted, load_event, usage_of
from tests.stream import StreamedMemory

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LIMITS = [Limit.per_day("tpm", 1_000_000)]
START_MS = 4_102_441_170_000
"""Half a minute before 23:00 of the last day of 2099: totals of the past are not kept for ever."""
LIMIT_MS = 60_000
"""The time that an invocation has, as template.yaml sets it."""


@pytest.fixture
def function(moto_client: DynamoDBClient, queue: Queue, launch: Launch) -> Function:
    return launch("aggregator")


class Spending:
    """Buckets that are spent from, and what was: grants and tokens by entity."""

    def __init__(self, start_ms: int = START_MS) -> None:
        self.memory = StreamedMemory()
        self.now_ms = start_ms
        self.spent: dict[str, tuple[int, int]] = {}
        self._limiter = Limiter(self.memory, clock=lambda: self.now_ms)

    def spend(self, entity_id: str, tokens: int = 5, times: int = 1) -> list[StreamRecord]:
        """Acquire some times, once a second, and return what the stream reports of it."""
        start = len(self.memory.records)
        for _ in range(times):
            self.now_ms += 1_000
            self._limiter.acquire(entity_id, "gpt-4", {"tpm": tokens}, limits=LIMITS)
            grants, before = self.spent.get(entity_id, (0, 0))
            self.spent[entity_id] = (grants + 1, before + tokens)
        return self.memory.records[start:]


@pytest.fixture
def spending() -> Spending:
    return Spending()


def poison(record: StreamRecord, number: int = 0, size: int = 0) -> StreamRecord:
    """Return a record of an item that is no bucket, which comes right before another record."""
    name = str(int(sequence_number(record)) * 1_000 + number)
    item = {"PK": {"S": f"BUCKET#by-hand-{number}#gpt-4"}, "SK": {"S": "#STATE"}, "note": {"S": "x" * size}}
    keys = {name: item[name] for name in ("PK", "SK")}
    return {**record, "eventName": "INSERT", "dynamodb": {"Keys": keys, "NewImage": item, "SequenceNumber": name}}


def invoke(function: Function, records: Sequence[StreamRecord], left_ms: int = LIMIT_MS, **more: object) -> Any:  # noqa: ANN401 - a JSON document
    answer = function.module.handler({"Records": list(records), **more}, Context(left_ms=left_ms))
    return json.loads(json.dumps(answer))


def failures(answer: Mapping[str, Any]) -> list[str]:
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def names(records: Sequence[StreamRecord]) -> list[str]:
    return [sequence_number(record) for record in records]


def check_totals(limiter: Limiter, spending: Spending) -> None:
    """Hold the totals of the table to what was spent, to the token, by the hour and by the day."""
    for entity_id, spent in spending.spent.items():
        hours = usage_of(limiter, entity_id, "hour")
        assert (sum(grants for grants, _ in hours), sum(tokens for _, tokens in hours)) == spent
        assert usage_of(limiter, entity_id, "day") == (spent,)


@contextmanager
def outage(function: Function, *, entity_id: str = "", operation: str = "UpdateItem") -> Iterator[None]:
    """Let DynamoDB deny to write the totals of an entity, or of everybody, which nobody repeats."""

    def deny(params: Mapping[str, Any], model: Any, **_event: object) -> None:  # noqa: ANN401 - botocore's model
        if f"#{entity_id}#" in str(params) or not entity_id:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "for now"}}, model.name)

    event = f"before-parameter-build.dynamodb.{operation}"
    function.module.client().meta.events.register(event, deny)
    try:
        yield
    finally:
        function.module.client().meta.events.unregister(event, deny)


# --- counting -----------------------------------------------------------------------------------------


def test_every_sample_has_its_row_of_expectations() -> None:
    assert {path.stem for path in EVENTS.glob("aggregator_*.json")} == set(AGGREGATOR)


@pytest.mark.parametrize("name", AGGREGATOR)
def test_a_sample_comes_to_what_it_is_for_however_often(name: str, function: Function, limiter: Limiter) -> None:
    for _ in range(2):
        check_counted(limiter, name, function.module.handler(load_event(name), Context(left_ms=LIMIT_MS)))


def test_a_batch_is_one_write_for_each_bucket_and_window(
    function: Function, limiter: Limiter, spending: Spending, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [*spending.spend("key", times=19), *spending.spend("other", times=10)]
    answer = invoke(function, records)
    assert answer == {
        "batchItemFailures": [],
        "records": 29,
        "groups": 4,
        "writes": 4,
        "duplicates": 0,
        "expired": 0,
        "dead_letters": 0,
    }
    assert counts(capsys) == {
        "UsageRecords": 29,
        "UsageGroups": 4,
        "UsageWrites": 4,
        "UsageDuplicates": 0,
        "UsageExpired": 0,
        "UsageFailed": 0,
        "UsageDeadLetters": 0,
        "UsageLag": 0,
        "UsageRoundTrips": 2,
    }
    check_totals(limiter, spending)


def test_the_lag_is_that_of_the_oldest_record(function: Function, capsys: pytest.CaptureFixture[str]) -> None:
    late = Spending(wall_clock_ms() - 3_600_000)
    invoke(function, late.spend("key", times=10))
    assert counts(capsys)["UsageLag"] >= 3_599_000


def test_without_records_there_is_no_lag_and_no_round_trip(
    function: Function, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(function, [])["batchItemFailures"] == []
    metrics = counts(capsys)
    assert "UsageLag" not in metrics
    assert metrics["UsageRoundTrips"] == 0


def test_what_comes_again_is_counted_once_and_said_to_be_a_duplicate(
    function: Function, limiter: Limiter, spending: Spending, launch: Launch
) -> None:
    records = spending.spend("key", times=10)
    invoke(function, records[:7])
    assert invoke(function, records)["duplicates"] == 7
    assert invoke(launch("aggregator"), records)["duplicates"] == 10
    check_totals(limiter, spending)


def test_what_is_older_than_anything_that_is_kept_is_said_to_be_expired(function: Function) -> None:
    answer = invoke(function, Spending(1_000_000_000_000).spend("key", times=3))
    assert (answer["expired"], answer["writes"], answer["batchItemFailures"]) == (3, 0, [])


def test_the_log_tells_what_was_counted(
    function: Function, spending: Spending, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = invoke(function, spending.spend("key"))
    (record,) = [line for line in lines(capsys) if line.get("message") == "usage"]
    counted = {name: count for name, count in answer.items() if name != "batchItemFailures"}
    assert {name: record.get(name) for name in counted} == counted


# --- partial failures ---------------------------------------------------------------------------------


def test_records_that_dynamodb_does_not_answer_for_are_the_failures_and_the_others_count(
    function: Function, limiter: Limiter, spending: Spending, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [
        *chain.from_iterable(zip(spending.spend("key", times=5), spending.spend("other", times=5), strict=True))
    ]
    with outage(function, entity_id="other"):
        answer = invoke(function, records)
    assert failures(answer) == names(records[1::2])
    printed = lines(capsys)
    (error,) = [line for line in printed if line.get("level") == "ERROR"]
    assert (error["message"], error["failed"], error["first"]) == ("not counted", 5, names(records)[1])
    assert "for now" in error["reason"]
    assert [line["UsageFailed"] for line in printed if "_aws" in line] == [[5]]
    again = invoke(function, records[1:])
    assert (failures(again), again["duplicates"]) == ([], 4)
    check_totals(limiter, spending)


def test_without_time_every_record_fails_and_nothing_is_asked(
    function: Function, spending: Spending, capsys: pytest.CaptureFixture[str]
) -> None:
    records = spending.spend("key", times=3)
    assert failures(invoke(function, records, left_ms=ANSWER_MARGIN_MS + SEND_MS)) == names(records)
    assert counts(capsys)["UsageFailed"] == 3


def test_a_table_that_is_not_there_fails_record_by_record(
    function: Function, spending: Spending, monkeypatch: pytest.MonkeyPatch, launch: Launch
) -> None:
    monkeypatch.setenv("TABLE_NAME", "another-table")
    records = spending.spend("key", times=3)
    assert failures(invoke(launch("aggregator"), records)) == names(records)


def test_a_crash_fails_the_invocation_and_is_counted(
    function: Function,
    spending: Spending,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    crash_at(function, spending.spend("key")[0], monkeypatch)
    with pytest.raises(ZeroDivisionError):
        invoke(function, spending.memory.records)
    assert counts(capsys) == {"UsageFailed": 1, "UsageRoundTrips": 2}


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({}, "Records"),
        ({"Records": {}}, "Records"),
        ({"Records": [{"dynamodb": {"SequenceNumber": "1"}}, {"dynamodb": {}}]}, "Records[1]"),
        ({"Records": [{"dynamodb": {"SequenceNumber": None}}]}, "Records[0]"),
        ({"Records": ["text"]}, "Records[0]"),
    ],
)
def test_an_event_that_is_none_of_a_stream_says_what_is_wrong(
    function: Function, event: dict[str, Any], field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InvalidRequest) as wrong:
        function.module.handler(event, Context(left_ms=LIMIT_MS))
    assert wrong.value.field == field
    assert counts(capsys) == {"UsageInvalid": 1, "UsageRoundTrips": 0}


# --- dead letters -------------------------------------------------------------------------------------


def test_a_poison_record_among_a_thousand_is_one_dead_letter_and_the_others_count(
    function: Function,
    limiter: Limiter,
    spending: Spending,
    queue: Queue,
    capsys: pytest.CaptureFixture[str],
) -> None:
    good = [*spending.spend("key", times=700), *spending.spend("other", times=300)]
    bad = poison(good[500])
    answer = invoke(function, [*good[:500], bad, *good[500:]])
    assert (answer["batchItemFailures"], answer["records"], answer["dead_letters"]) == ([], 1_001, 1)
    check_totals(limiter, spending)
    (letter,) = queue.bodies()
    dead = read_dead_letter(json.dumps(letter))
    assert isinstance(dead, DeadRecord)
    assert dead.record == bad
    assert "KeyError" in dead.reason
    metrics = counts(capsys)
    assert (metrics["UsageDeadLetters"], metrics["UsageFailed"]) == (1, 0)
    later = invoke(function, spending.spend("key"))
    assert later["batchItemFailures"] == []
    check_totals(limiter, spending)


def test_more_poison_than_one_call_takes_goes_in_several(
    function: Function, spending: Spending, queue: Queue
) -> None:
    (good,) = spending.spend("key")
    bad = [poison(good, number) for number in range(25)]
    answer = invoke(function, [*bad, good])
    assert (answer["batchItemFailures"], answer["dead_letters"]) == ([], 25)
    assert Counter(sequence_number(letter["record"]) for letter in queue.bodies()) == Counter(names(bad))


def test_a_queue_that_fails_makes_the_poison_a_failure_and_the_others_count(
    function: Function,
    limiter: Limiter,
    spending: Spending,
    queue: Queue,
    capsys: pytest.CaptureFixture[str],
) -> None:
    queue.client.delete_queue(QueueUrl=queue.url)
    good = spending.spend("key", times=10)
    bad = [poison(good[5], number) for number in range(2)]
    answer = invoke(function, [*good[:5], *bad, *good[5:]])
    assert (failures(answer), answer["dead_letters"]) == (names(bad), 0)
    check_totals(limiter, spending)
    (error,) = [line for line in lines(capsys) if line.get("level") == "ERROR"]
    assert "NonExistentQueue" in error["reason"] or "does not exist" in error["reason"]


def test_poison_behind_a_failure_is_buried_when_it_comes_again_and_only_then(
    function: Function, limiter: Limiter, spending: Spending, queue: Queue
) -> None:
    good = [*spending.spend("key", times=3), *spending.spend("other", times=3)]
    before, behind = poison(good[0], 1), poison(good[5], 2)
    records = [before, *good[:4], behind, *good[4:]]
    with outage(function, entity_id="other"):
        answer = invoke(function, records)
    assert set(failures(answer)) == set(names([*good[3:], behind]))
    first = min(records.index(record) for record in records if sequence_number(record) in failures(answer))
    assert failures(invoke(function, records[first:])) == []
    assert [letter["record"] for letter in queue.bodies()] == [before, behind]
    check_totals(limiter, spending)


def test_a_record_that_is_too_long_for_the_queue_is_a_failure(
    function: Function, spending: Spending, queue: Queue
) -> None:
    (good,) = spending.spend("key")
    bad, long = poison(good, 1), poison(good, 2, size=MAX_BYTES)
    answer = invoke(function, [bad, long, good])
    assert (failures(answer), answer["dead_letters"]) == (names([long]), 1)
    assert [letter["record"] for letter in queue.bodies()] == [bad]


def test_a_redrive_counts_what_can_be_read_now_and_says_what_is_wrong_with_the_rest(
    function: Function, limiter: Limiter, spending: Spending, queue: Queue
) -> None:
    good = spending.spend("key", times=2)
    bad = poison(good[1])
    answer = invoke(function, [good[0], bad, good[1]], redrive=True)
    assert failures(answer) == names([bad])
    assert list(answer["unreadable"]) == names([bad])
    assert "KeyError" in answer["unreadable"][names([bad])[0]]
    assert (answer["records"], answer["dead_letters"], queue.bodies()) == (3, 0, [])
    check_totals(limiter, spending)
    again = invoke(function, good, redrive=True)
    assert (failures(again), again["unreadable"], again["duplicates"]) == ([], {}, 2)
    check_totals(limiter, spending)


def test_the_queue_is_not_connected_to_before_it_is_needed(function: Function, spending: Spending) -> None:
    (good,) = spending.spend("key")
    invoke(function, [good])
    assert function.module.dead_letters.cache_info().currsize == 0
    invoke(function, [poison(good)])
    assert function.module.dead_letters.cache_info().currsize == 1


def test_the_client_is_built_in_the_init_phase(
    monkeypatch: pytest.MonkeyPatch, moto_client: DynamoDBClient, launch: Launch
) -> None:
    assert launch("aggregator").module.client.cache_info().currsize == 0
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    assert launch("aggregator").module.client.cache_info().currsize == 1


# --- the queue ----------------------------------------------------------------------------------------


class SimulatedQueue:
    """A queue that keeps the calls that reach it, and refuses some letters or all."""

    def __init__(self, refuses: str = "", error: Exception | None = None) -> None:
        self.calls: list[list[str]] = []
        self._refuses = refuses
        self._error = error

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:
        if self._error is not None:
            raise self._error
        assert QueueUrl == "address"
        self.calls.append([entry["MessageBody"] for entry in Entries])
        failed = [entry["Id"] for entry in Entries if self._refuses and entry["MessageBody"] == self._refuses]
        return {"Failed": [{"Id": name, "Code": "InternalError", "SenderFault": False} for name in failed]}


def send(queue: SimulatedQueue, letters: list[str], left_ms: int = LIMIT_MS) -> dict[int, str]:
    return DeadLetters(queue, "address").send(letters, lambda: left_ms)


def test_a_call_has_at_most_ten_letters_and_no_more_bytes_than_one_letter_may_have() -> None:
    queue = SimulatedQueue()
    letters = [*("a" * 12), "b" * (MAX_BYTES - 2), "c" * 2, "d", "e" * MAX_BYTES, "f"]
    assert send(queue, letters) == {}
    assert [len(call) for call in queue.calls] == [10, 3, 2, 1, 1]
    assert list(chain.from_iterable(queue.calls)) == letters
    assert max(sum(map(len, call)) for call in queue.calls) == MAX_BYTES


def test_no_letters_are_no_call() -> None:
    queue = SimulatedQueue()
    assert send(queue, []) == {}
    assert queue.calls == []


def test_behind_a_call_that_left_something_over_nothing_is_sent() -> None:
    queue = SimulatedQueue(refuses="letter-3")
    letters = [f"letter-{number}" for number in range(25)]
    unsent = send(queue, letters)
    assert queue.calls == [letters[:10]]
    assert list(unsent) == [3, *range(10, 25)]
    assert unsent[3].startswith("InternalError")


def test_a_letter_that_is_too_long_is_not_sent_and_those_before_it_are() -> None:
    queue = SimulatedQueue()
    unsent = send(queue, ["a", "b" * (MAX_BYTES + 1), "c"])
    assert queue.calls == [["a"]]
    assert list(unsent) == [1, 2]
    assert "too long" in unsent[1]


def test_no_call_begins_that_would_not_end_in_time() -> None:
    queue = SimulatedQueue()
    assert list(send(queue, ["a", "b"], left_ms=SEND_MS - 1)) == [0, 1]
    assert queue.calls == []
    assert send(queue, ["a", "b"], left_ms=SEND_MS) == {}


def test_a_queue_that_does_not_answer_is_a_reason_and_no_crash() -> None:
    unsent = send(SimulatedQueue(error=ReadTimeoutError(endpoint_url="address")), ["a", "b"])
    assert list(unsent) == [0, 1]
    assert "Read timeout" in unsent[0]


# --- the environment ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("windows", "retention", "plan"),
    [
        ("", "", DEFAULT_PLAN),
        ("hour,day", "minute=3,hour=35,day=400,month=1830", DEFAULT_PLAN),
        ("day", "hour=35,day=500", UsagePlan({"day": 500})),
        ("month, minute", " month = 60 ", UsagePlan({"minute": 3, "month": 60})),
    ],
)
def test_the_environment_says_what_is_counted_and_for_how_long(
    monkeypatch: pytest.MonkeyPatch, windows: str, retention: str, plan: UsagePlan
) -> None:
    monkeypatch.setenv("USAGE_WINDOWS", windows)
    monkeypatch.setenv("USAGE_RETENTION_DAYS", retention)
    assert usage_plan() == plan


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("USAGE_WINDOWS", "hour,week"),
        ("USAGE_WINDOWS", "hour,"),
        ("USAGE_RETENTION_DAYS", "hour"),
        ("USAGE_RETENTION_DAYS", "hour=long"),
        ("USAGE_RETENTION_DAYS", "hour=0"),
        ("USAGE_RETENTION_DAYS", "hour=35,week=9"),
        ("USAGE_RETENTION_DAYS", "minute=40000"),
    ],
)
def test_what_the_environment_says_wrongly_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=f"{variable} is {value!r}: ") as wrong:
        usage_plan()
    assert str(wrong.value)


def test_the_function_counts_by_the_windows_of_its_environment(
    monkeypatch: pytest.MonkeyPatch, function: Function, limiter: Limiter, spending: Spending, launch: Launch
) -> None:
    monkeypatch.setenv("USAGE_WINDOWS", "minute,month")
    invoke(launch("aggregator"), spending.spend("key", tokens=3, times=40))
    assert usage_of(limiter, "key", "minute") == ((29, 87), (11, 33))
    assert usage_of(limiter, "key", "month") == ((40, 120),)
    assert usage_of(limiter, "key", "hour") == usage_of(limiter, "key", "day") == ()


# --- the stream ---------------------------------------------------------------------------------------


def poll(function: Function, queue: Queue, batch_size: int = 20) -> Poller:
    return Poller(lambda event: invoke(function, event["Records"]), queue.put, batch_size)


def crash_at(function: Function, record: StreamRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the function come upon a bug wherever it counts a record."""
    real = function.module.aggregator()

    class Crashing:
        def count(self, records: Sequence[StreamRecord], *, timeout_ms: int) -> CountReport:
            report: CountReport = real.count(records, timeout_ms=timeout_ms)
            if record in records:
                raise ZeroDivisionError
            return report

    monkeypatch.setattr(function.module, "aggregator", lambda: Crashing())


@pytest.mark.parametrize("seed", range(5))
def test_while_dynamodb_comes_and_goes_every_token_counts_once(
    function: Function, limiter: Limiter, spending: Spending, queue: Queue, seed: int
) -> None:
    chance = random.Random(seed)
    entities = [f"key-{number}" for number in range(6)]
    for _ in range(200):
        spending.spend(chance.choice(entities), chance.randint(1, 50))
    event = "dynamodb.UpdateItem"
    client = function.module.client()

    def deny(model: Any, **_event: object) -> None:  # noqa: ANN401 - botocore's model
        if chance.random() < 0.2:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "for now"}}, model.name)

    def lose(model: Any, **_event: object) -> None:  # noqa: ANN401 - botocore's model
        if chance.random() < 0.1:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "it was done"}}, model.name)

    client.meta.events.register(f"before-parameter-build.{event}", deny)
    client.meta.events.register(f"after-call.{event}", lose)
    poller = poll(function, queue)
    poller.retries = 1_000
    poller.run(spending.memory.records)

    assert len(poller.batches) > 10, "something failed"
    assert queue.bodies() == []
    check_totals(limiter, spending)


def test_an_outage_of_everything_ends_with_every_token_counted_once(
    function: Function, limiter: Limiter, spending: Spending, queue: Queue
) -> None:
    spending.spend("key", times=60)
    attempts = iter(range(1_000))

    def invoke_when_it_is_over(event: Mapping[str, Any]) -> Mapping[str, Any]:
        if next(attempts) in range(1, 4):
            with outage(function, operation="*"):
                answer: Mapping[str, Any] = invoke(function, event["Records"])
                return answer
        counted: Mapping[str, Any] = invoke(function, event["Records"])
        return counted

    poller = Poller(invoke_when_it_is_over, queue.put, 20)
    poller.run(spending.memory.records)
    assert poller.batches == [20, 20, 20, 20, 20, 20]
    assert queue.bodies() == []
    check_totals(limiter, spending)


def test_poison_does_not_stop_the_shard_nor_is_anything_sent_again_for_it(
    function: Function, limiter: Limiter, spending: Spending, queue: Queue
) -> None:
    good = spending.spend("key", times=50)
    poller = poll(function, queue)
    poller.run([*good[:7], poison(good[7], 1), *good[7:30], poison(good[30], 2), *good[30:]])
    assert poller.batches == [20, 20, 12]
    assert len(queue.bodies()) == 2
    check_totals(limiter, spending)


def test_a_record_that_crashes_the_function_is_one_dead_letter_and_all_others_count(
    function: Function,
    limiter: Limiter,
    spending: Spending,
    queue: Queue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = spending.spend("key", times=50)
    crashing = poison(good[27])
    crash_at(function, crashing, monkeypatch)
    poller = poll(function, queue)
    poller.run([*good[:27], crashing, *good[27:]])
    assert poller.batches[:7] == [20, 20, 10, 5, 5, 2, 3], "it is looked for by halves"
    letters = [read_dead_letter(json.dumps(letter)) for letter in queue.bodies()]
    (letter,) = [letter for letter in letters if isinstance(letter, DeadBatch)]
    assert (letter.size, letter.first, letter.last) == (1, *names([crashing, crashing]))
    assert letters == [letter]
    check_totals(limiter, spending)


def test_poison_that_the_queue_does_not_take_ends_as_where_it_stands_and_all_others_count(
    function: Function, limiter: Limiter, spending: Spending, queue: Queue
) -> None:
    good = spending.spend("key", times=50)
    too_long = poison(good[27], size=MAX_BYTES)
    poller = poll(function, queue)
    poller.run([*good[:27], too_long, *good[27:]])
    assert poller.batches == [20, 20, 13, 13, 13, 13, 11]
    (letter,) = [read_dead_letter(json.dumps(letter)) for letter in queue.bodies()]
    assert isinstance(letter, DeadBatch)
    assert (letter.first, letter.last, letter.size) == (*names([too_long, good[38]]), 13)
    check_totals(limiter, spending)


def test_a_queue_that_comes_back_gets_every_poison_record_once(
    function: Function, limiter: Limiter, spending: Spending, queue: Queue
) -> None:
    good = spending.spend("key", times=30)
    bad = [poison(good[number], number) for number in range(0, 30, 6)]
    records = sorted([*good, *bad], key=good_order(good))
    attempts = iter(range(1_000))
    client = function.module.dead_letters()._client

    def fail(**_event: object) -> None:
        if next(attempts) < 2:
            raise ReadTimeoutError(endpoint_url="address")

    client.meta.events.register("before-call.sqs.SendMessageBatch", fail)
    poll(function, queue, 40).run(records)
    assert Counter(sequence_number(letter["record"]) for letter in queue.bodies()) == Counter(names(bad))
    check_totals(limiter, spending)


def good_order(good: Sequence[StreamRecord]) -> Callable[[StreamRecord], int]:
    """Return the order of a stream in which poison stands right before the record it was made of."""
    places = {name: 2 * place for place, name in enumerate(names(good))}

    def place(record: StreamRecord) -> int:
        name = sequence_number(record)
        return places[name] if name in places else places[str(int(name) // 1_000)] - 1

    return place
