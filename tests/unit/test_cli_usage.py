"""`leasegate usage`: windows and rankings as tables, JSON and CSV; dead letters, replayed and left."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.config import Config

from leasegate import Limit, Limiter
from leasegate.aggregator import Aggregator
from leasegate.cli.connection import connect_services
from leasegate.cli.replay import _Parts
from leasegate.cli.services import Client, write_json
from leasegate.cli.session import Settings
from leasegate.deadletters import DeadRecord, write_dead_record
from leasegate.errors import InvalidRequest, StoreUnavailable
from leasegate.http.times import read_time
from leasegate.repository.dynamodb import DynamoRepository
from leasegate.repository.memory import MemoryRepository
from leasegate.stream import StreamRecord, sequence_number
from scripts import template
from tests.command import NOON_MS, Command
from tests.metered import count_all, spent

HOUR_MS = 3_600_000


@pytest.fixture
def leasegate() -> Command:
    """Provide a table with three hours of key-1 at noon, and three entities of the day."""
    memory = MemoryRepository()
    count_all(
        memory,
        spent("key-1", NOON_MS - 2 * HOUR_MS, {"rpm": 10, "tpm": 5_000}, grants=10, peaks={"rpm": 4, "tpm": 900}),
        spent("key-1", NOON_MS - HOUR_MS, {"rpm": 5, "tpm": 2_500}, grants=5, refused={"tpm": 7}),
        spent("key-1", NOON_MS, {"rpm": 1, "tpm": -20}),
        spent("key-2", NOON_MS, {"rpm": 2, "tpm": 9_000}, grants=2),
        spent("key-3", NOON_MS, {"rpm": 100}, grants=3, refused={"rpm": 1}),
    )
    return Command(memory)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# --- windows -------------------------------------------------------------------------------------------


def test_an_entitys_windows_are_a_table_with_bars(leasegate: Command) -> None:
    assert leasegate.lines("usage", "show", "key-1", "gpt-4") == [
        "start               grants   limit   tokens   refused   peak   tokens",
        "───────────────────────────────────────────────────────────────────────────────────",
        "2026-01-01 10:00Z       10   rpm         10         0      4   ████████████████████",
        "                             tpm       5000         0    900   ████████████████████",
        "2026-01-01 11:00Z        5   rpm          5         0      5   ██████████",
        "                             tpm       2500         7   2500   ██████████",
        "2026-01-01 12:00Z        1   rpm          1         0      1   ██",
        "                             tpm        -20         0      0",
    ]
    assert leasegate.lines("usage", "show", "key-1", "gpt-4", "--window", "day")[2].startswith("2026-01-01   ")


def test_of_what_was_not_spent_there_is_no_usage(leasegate: Command) -> None:
    assert leasegate("usage", "show", "key-1", "gpt-3").stdout == "No usage.\n"
    assert leasegate("usage", "top", "gpt-3").stdout == "No usage.\n"
    assert leasegate("usage", "top", "gpt-3", "--csv").stdout.count("\n") == 1
    assert leasegate.json("usage", "show", "key-9", "gpt-4") == {"items": [], "complete": True}


def test_usage_is_shown_to_programs_as_over_http(leasegate: Command) -> None:
    shown = leasegate.json("usage", "show", "key-1", "gpt-4", "--limit", "1")

    assert shown == {
        "items": [
            {
                "entity_id": "key-1",
                "resource": "gpt-4",
                "window": "hour",
                "start": "2026-01-01T10:00:00Z",
                "end": "2026-01-01T11:00:00Z",
                "start_ms": NOON_MS - 2 * HOUR_MS,
                "end_ms": NOON_MS - HOUR_MS,
                "grants": 10,
                "limits": {
                    "rpm": {"tokens": 10, "refused": 0, "peak": 4},
                    "tpm": {"tokens": 5_000, "refused": 0, "peak": 900},
                },
                "counted_at_ms": NOON_MS - 2 * HOUR_MS,
            }
        ],
        "complete": False,
    }


@pytest.mark.parametrize(
    ("arguments", "hours"),
    [
        ((), [10, 11, 12]),
        (("--from", "2026-01-01T11:59Z"), [11, 12]),
        (("--to", "2026-01-01T12:00Z"), [10, 11]),
        (("--from", "2026-01-01T12:30+01:00", "--to", str(NOON_MS)), [11]),
        (("--from", "2026-01-01", "--to", "2026-01-02"), [10, 11, 12]),
        (("--last", "1h"), [11, 12]),
        (("--last", "90 minutes"), [10, 11, 12]),
        (("--last", "59m"), [11, 12]),
        (("--last", "0h"), [12]),
        (("--last", "999999999 days"), [10, 11, 12]),
        (("--limit", "2"), [10, 11]),
    ],
)
def test_windows_are_chosen_by_time(leasegate: Command, arguments: tuple[str, ...], hours: list[int]) -> None:
    shown = leasegate.json("usage", "show", "key-1", "gpt-4", *arguments)
    assert [int(item["start"][11:13]) for item in shown["items"]] == hours


def test_all_pages_are_followed_and_what_is_left_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leasegate.cli.listing._PAGE_SIZE", 4)
    memory = MemoryRepository()
    count_all(memory, *[spent("key-1", NOON_MS - hour * HOUR_MS, {"rpm": 1}) for hour in range(10)])
    count_all(memory, *[spent(f"key-{number}", NOON_MS, {"rpm": number}) for number in range(20, 48)])
    leasegate = Command(memory)

    assert len(rows(leasegate("usage", "show", "key-1", "gpt-4", "--csv").stdout)) == 10
    cut = leasegate("usage", "show", "key-1", "gpt-4", "--limit", "3")
    assert cut.stderr == "Only the first 3 are shown; leave out --limit for all.\n"
    first = leasegate("usage", "top", "gpt-4", "--csv")
    assert [row["entity_id"] for row in rows(first.stdout)] == [f"key-{47 - place}" for place in range(20)]
    assert first.stderr == "Only the first 20 are shown; --limit shows more.\n"
    every = leasegate("usage", "top", "gpt-4", "--csv", "--limit", "1000")
    assert (len(rows(every.stdout)), every.stderr) == (29, "")


def test_who_spent_the_most_is_a_table_with_bars(leasegate: Command) -> None:
    assert leasegate.lines("usage", "top", "gpt-4") == [
        "entity   grants   limit   tokens   refused   peak   tokens",
        "────────────────────────────────────────────────────────────────────────",
        "key-2         2   rpm          2         0      2   ▍",
        "                  tpm       9000         0   9000   ████████████████████",
        "key-1        16   rpm         16         0      5   ███▏",
        "                  tpm       7480         7   2500   ████████████████▌",
        "key-3         3   rpm        100         1    100   ████████████████████",
    ]


def test_one_limit_may_be_what_counts(leasegate: Command) -> None:
    assert leasegate.lines("usage", "top", "gpt-4", "--by", "refused", "--limit-name", "tpm") == [
        "entity   grants   limit   tokens   refused   peak   refused",
        "────────────────────────────────────────────────────────────────────────",
        "key-1        16   tpm       7480         7   2500   ████████████████████",
        "key-2         2   tpm       9000         0   9000",
        "key-3         3   tpm          0         0      0",
    ]
    grants = leasegate.json("usage", "top", "gpt-4", "--by", "grants")["items"]
    assert [item["entity_id"] for item in grants] == ["key-1", "key-3", "key-2"]
    assert "█" in leasegate("usage", "top", "gpt-4", "--by", "grants").stdout


def test_a_ranking_is_of_the_window_in_which_a_time_lies(leasegate: Command) -> None:
    def names(*arguments: str) -> list[str]:
        shown = leasegate.json("usage", "top", "gpt-4", *arguments)
        return [item["entity_id"] for item in shown["items"]]

    assert names("--window", "hour") == ["key-2", "key-3", "key-1"]
    assert names("--window", "hour", "--at", "2026-01-01T11:30Z") == ["key-1"]
    assert names("--at", "2025-12-31") == []


def test_csv_has_a_row_for_each_window_and_limit(leasegate: Command) -> None:
    text = leasegate("usage", "show", "key-1", "gpt-4", "--last", "1h", "--csv").stdout

    assert text == (
        "entity_id,resource,window,start,end,grants,limit,tokens,refused,peak\n"
        "key-1,gpt-4,hour,2026-01-01T11:00:00Z,2026-01-01T12:00:00Z,5,rpm,5,0,5\n"
        "key-1,gpt-4,hour,2026-01-01T11:00:00Z,2026-01-01T12:00:00Z,5,tpm,2500,7,2500\n"
        "key-1,gpt-4,hour,2026-01-01T12:00:00Z,2026-01-01T13:00:00Z,1,rpm,1,0,1\n"
        "key-1,gpt-4,hour,2026-01-01T12:00:00Z,2026-01-01T13:00:00Z,1,tpm,-20,0,0\n"
    )
    one = rows(leasegate("usage", "top", "gpt-4", "--limit-name", "rpm", "--csv").stdout)
    assert [(row["entity_id"], row["limit"], row["tokens"]) for row in one] == [
        ("key-3", "rpm", "100"),
        ("key-1", "rpm", "16"),
        ("key-2", "rpm", "2"),
    ]


def test_usage_of_no_limit_at_all_is_a_row_too() -> None:
    memory = MemoryRepository()
    count_all(memory, spent("key-1", NOON_MS, {}, grants=3, peaks={}))
    leasegate = Command(memory)

    assert leasegate.lines("usage", "show", "key-1", "gpt-4")[2].split() == ["2026-01-01", "12:00Z", *"3000"]
    (row,) = rows(leasegate("usage", "show", "key-1", "gpt-4", "--csv").stdout)
    assert (row["grants"], row["limit"], row["tokens"]) == ("3", "", "0")


@pytest.mark.parametrize(
    ("named", "arguments"),
    [
        ("--from", ("show", "key-1", "gpt-4", "--from", "yesterday")),
        ("--from", ("show", "key-1", "gpt-4", "--from", "2026-01-01T10:00")),
        ("--to", ("show", "key-1", "gpt-4", "--to", "2026-02-30")),
        ("--to", ("show", "key-1", "gpt-4", "--from", "2026-01-02", "--to", "2026-01-01")),
        ("--last", ("show", "key-1", "gpt-4", "--last", "a while")),
        ("--last", ("show", "key-1", "gpt-4", "--last", "1h", "--to", "2026-01-01")),
        ("--window", ("show", "key-1", "gpt-4", "--window", "week")),
        ("entity_id", ("show", "a/b", "gpt-4")),
        ("--csv", ("show", "key-1", "gpt-4", "--csv", "--json")),
        ("--at", ("top", "gpt-4", "--at", "1969-12-31")),
        ("--by", ("top", "gpt-4", "--by", "peak")),
        ("limit_name", ("top", "gpt-4", "--limit-name", "RPM")),
        ("limit_name", ("top", "gpt-4", "--limit-name", "rpm", "--by", "grants")),
        ("--limit", ("top", "gpt-4", "--limit", "0")),
        ("--queue-url", ("redrive",)),
        ("--function", ("redrive", "--queue-url", "https://queue")),
    ],
)
def test_what_cannot_be_is_named(leasegate: Command, named: str, arguments: tuple[str, ...]) -> None:
    leasegate.clients = {"sqs": None}
    assert named in leasegate.refused("usage", *arguments)


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026", "2026-1-1", "2026-01-01T10", "2026-01-01T10:00 01:00", "20260101T100000Z", "2026-W01-1"],
)
def test_a_time_that_is_none_is_refused_with_one_that_is(text: str) -> None:
    if text == "2026":
        assert read_time("from", text) == 2_026
        return
    with pytest.raises(InvalidRequest, match="2026-11-21T22:00Z") as caught:
        read_time("from", text)
    assert caught.value.field == "from"


# --- dead letters ----------------------------------------------------------------------------------------

URL = "https://sqs.us-east-1.amazonaws.com/123456789012/dead-letters"


class Invoked:
    """The aggregator function behind Lambda's client: it counts on a table, and answers as the function does."""

    def __init__(self, limiter: Aggregator) -> None:
        self.batches: list[list[StreamRecord]] = []
        self.out_of_order: Mapping[str, Any] | None = None
        self.failing: set[str] = set()
        self._aggregator = limiter

    def invoke(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - the client's
        assert request["FunctionName"] == "aggregator"
        event = json.loads(request["Payload"])
        assert event["redrive"] is True
        records = event["Records"]
        self.batches.append(records)
        if self.out_of_order is not None:
            return {"Payload": io.BytesIO(json.dumps(self.out_of_order).encode()), **self._fault()}
        report = self._aggregator.count([one for one in records if sequence_number(one) not in self.failing])
        unreadable = {sequence_number(records[place]): reason for place, reason in report.unreadable.items()}
        failed = [*unreadable, *[n for n in map(sequence_number, records) if n in self.failing]]
        answer = {
            "batchItemFailures": [{"itemIdentifier": number} for number in failed],
            "unreadable": unreadable,
            "records": len(records),
        }
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}

    def _fault(self) -> dict[str, str]:
        return {"FunctionError": "Unhandled"} if self.out_of_order and "errorMessage" in self.out_of_order else {}


class Stack:
    """A table with its stream, a queue and the aggregator, simulated, and the command on them."""

    def __init__(self) -> None:
        self.dynamodb: Client = boto3.client("dynamodb")
        template.create_table(self.dynamodb, "table")
        self.sqs: Client = boto3.client("sqs")
        self.url: str = self.sqs.create_queue(QueueName="dead-letters")["QueueUrl"]
        # moto does not know the endpoints of accounts.
        config = Config(account_id_endpoint_mode="disabled")
        self.streams: Client = boto3.client("dynamodbstreams", config=config)
        self.repository = DynamoRepository(self.dynamodb, "table")
        self.limiter = Limiter(self.repository, clock=lambda: NOON_MS)
        self.function = Invoked(Aggregator(self.repository, clock=lambda: NOON_MS))
        self.leasegate = Command(self.repository)
        self.leasegate.clients = {
            "sqs": self.sqs,
            "dynamodbstreams": self.streams,
            "lambda": self.function,
            "cloudformation": Outputs(AggregatorFunctionName="aggregator", UsageDeadLettersUrl=self.url),
        }

    def redrive(self, *arguments: str, exit_code: int = 0) -> Any:  # noqa: ANN401 - a JSON document
        return self.leasegate.json("usage", "redrive", "--stack", "leasegate", *arguments, exit_code=exit_code)

    def spend(self, times: int) -> None:
        """Write a bucket so many times; other items change with the first."""
        for _ in range(times):
            self.limiter.acquire("key-1", "gpt-4", {"rpm": 1}, limits=[Limit.per_day("rpm", 1_000)])

    @property
    def stream_arn(self) -> str:
        arn: str = self.dynamodb.describe_table(TableName="table")["Table"]["LatestStreamArn"]
        return arn

    def records(self) -> list[dict[str, Any]]:
        """Return all records of the stream, as the SDK gives them."""
        shard = self.streams.describe_stream(StreamArn=self.stream_arn)["StreamDescription"]["Shards"][0]
        iterator = self.streams.get_shard_iterator(
            StreamArn=self.stream_arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        found: list[dict[str, Any]] = self.streams.get_records(ShardIterator=iterator)["Records"]
        return found

    def of_buckets(self) -> list[dict[str, Any]]:
        return [one for one in self.records() if one["dynamodb"]["Keys"]["PK"]["S"].startswith("BUCKET#")]

    def bury_batch(self, records: list[dict[str, Any]], **other: str) -> None:
        """Put the letter into the queue that Lambda writes for a batch."""
        shard = self.streams.describe_stream(StreamArn=self.stream_arn)["StreamDescription"]["Shards"][0]
        batch = {
            "shardId": shard["ShardId"],
            "startSequenceNumber": sequence_number(records[0]),
            "endSequenceNumber": sequence_number(records[-1]),
            "approximateArrivalOfFirstRecord": "2026-01-01T12:00:00Z",
            "approximateArrivalOfLastRecord": "2026-01-01T12:00:00Z",
            "batchSize": len(records),
            "streamArn": self.stream_arn,
            **other,
        }
        letter = {
            "requestContext": {
                "requestId": "316aa6d0-8154-xmpl-9af7-85d5f4a6bc81",
                "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:aggregator",
                "condition": "RetryAttemptsExhausted",
                "approximateInvokeCount": 1,
            },
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
            "version": "1.0",
            "timestamp": "2026-01-01T12:00:00.000Z",
            "DDBStreamBatchInfo": batch,
        }
        self.send(json.dumps(letter))

    def bury(self, record: StreamRecord, reason: str = "KeyError: 'v'") -> None:
        """Put the letter into the queue that the function writes for a record."""
        self.send(write_dead_record(DeadRecord(json.loads(write_json(record)), reason)))

    def send(self, body: str) -> None:
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body)

    def letters(self) -> int:
        """Return how many letters anybody could receive now."""
        attributes = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=attributes)["Attributes"]
        assert found["ApproximateNumberOfMessagesNotVisible"] == "0"
        return int(found["ApproximateNumberOfMessages"])

    def spent(self) -> int:
        """Return what was counted of key-1."""
        items = self.limiter.usage("key-1", "gpt-4", end_ms=NOON_MS + HOUR_MS).items
        return sum([record.limits["rpm"].tokens for record in items])


class Outputs:
    """CloudFormation's client, for a stack that has outputs."""

    def __init__(self, **outputs: str) -> None:
        self._outputs = outputs
        self.exceptions: Any = boto3.client("cloudformation").exceptions

    def describe_stacks(self, **request: str) -> dict[str, Any]:
        if request["StackName"] != "leasegate":
            answer: Any = {"Error": {"Code": "ValidationError", "Message": "Stack with id other does not exist"}}
            raise self.exceptions.ClientError(answer, "DescribeStacks")
        return {"Stacks": [{"Outputs": [{"OutputKey": k, "OutputValue": v} for k, v in self._outputs.items()]}]}


@pytest.fixture
def stack(simulated_aws: None, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setattr("leasegate.cli.services._WAIT_S", 0)
    return Stack()


def test_a_batch_that_failed_is_read_from_the_stream_and_counted(stack: Stack) -> None:
    stack.spend(5)
    buckets = stack.of_buckets()
    stack.bury_batch(buckets[1:4])

    report = stack.redrive()
    assert (report["seen"], report["replayed"], report["left"]) == (1, 1, 0)
    assert report["letters"][0]["records"] == 3
    assert report["letters"][0]["reason"] == "RetryAttemptsExhausted"
    assert (stack.spent(), stack.letters()) == (3, 0)


def test_records_are_passed_on_as_lambda_delivers_them(stack: Stack) -> None:
    stack.spend(1)
    (bucket,) = stack.of_buckets()
    stack.bury_batch([bucket])
    stack.redrive()

    assert isinstance(bucket["dynamodb"]["ApproximateCreationDateTime"], datetime)
    ((passed_on,),) = stack.function.batches
    time_s = passed_on["dynamodb"]["ApproximateCreationDateTime"]
    assert datetime.fromtimestamp(time_s, UTC) == bucket["dynamodb"]["ApproximateCreationDateTime"]
    assert passed_on["eventSourceARN"] == stack.stream_arn
    assert {name: passed_on[name] for name in ("eventName", "eventID")} == {
        name: bucket[name] for name in ("eventName", "eventID")
    }
    assert passed_on["dynamodb"]["NewImage"] == bucket["dynamodb"]["NewImage"]


def test_what_the_aggregators_filter_leaves_out_is_left_out(stack: Stack) -> None:
    stack.spend(2)
    everything = stack.records()
    stack.dynamodb.delete_item(TableName="table", Key=stack.of_buckets()[0]["dynamodb"]["Keys"])
    everything = stack.records()
    assert {one["eventName"] for one in everything} == {"INSERT", "MODIFY", "REMOVE"}
    assert len(everything) > 3
    stack.bury_batch(everything)

    assert stack.redrive()["letters"][0]["records"] == 2
    assert stack.spent() == 2


def test_records_that_could_not_be_read_are_counted_when_they_can(stack: Stack) -> None:
    stack.spend(3)
    for record in stack.of_buckets():
        stack.bury(record)

    assert stack.redrive()["replayed"] == 3
    assert (stack.spent(), stack.letters()) == (3, 0)
    assert len(stack.function.batches) == 1


def test_to_replay_what_was_counted_changes_nothing(stack: Stack) -> None:
    stack.spend(3)
    buckets = stack.of_buckets()
    stack.bury_batch(buckets)
    stack.bury_batch(buckets[:2])
    stack.bury(buckets[2])
    stack.bury(buckets[2])

    assert stack.redrive()["replayed"] == 4
    stack.bury_batch(buckets)
    assert stack.redrive()["replayed"] == 1
    assert (stack.spent(), stack.letters()) == (3, 0)


def test_what_still_cannot_be_counted_stays_with_the_reason(stack: Stack) -> None:
    stack.spend(3)
    first, second, third = stack.of_buckets()
    stack.bury({**first, "dynamodb": {**first["dynamodb"], "NewImage": {"v": {"N": "1"}}}}, "KeyError: 'cfg'")
    stack.bury(second)
    stack.bury(third)
    stack.function.failing = {sequence_number(third)}
    stack.send("no letter")
    stack.send('{"record": {"dynamodb": {}}, "reason": "?"}')
    stack.send('{"record": 1, "reason": "?"}')

    report = stack.redrive(exit_code=5)
    assert (report["seen"], report["replayed"], report["left"]) == (6, 1, 5)
    problems = [letter["problem"] for letter in report["letters"]]
    assert problems[0].startswith("KeyError")
    assert problems[1] is None
    assert problems[2] == "the table did not answer; repeat it later"
    assert problems[3].startswith("no dead letter of the aggregator")
    assert problems[4:] == ["its record has no sequence number"] * 2
    assert report["letters"][0]["reason"] == "KeyError: 'cfg'"
    assert (stack.letters(), stack.spent()) == (5, 1)

    stack.function.failing = set()
    assert stack.redrive(exit_code=5)["replayed"] == 1
    assert stack.spent() == 2


@pytest.mark.parametrize(
    "gone",
    [
        {"startSequenceNumber": "?"},
        {"endSequenceNumber": "1"},
        {"endSequenceNumber": "9" * 40},
        {"shardId": "shardId-00000000000000000000000000000000"},
    ],
    ids=repr,
)
def test_records_that_the_stream_has_no_more_are_lost_and_said_to_be(
    stack: Stack, gone: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leasegate.cli.services._EMPTY_PAGES", 3)
    stack.spend(3)
    stack.bury_batch(stack.of_buckets(), **gone)
    if "shardId" in gone:
        stack.leasegate.clients["dynamodbstreams"] = Trimmed(stack.streams)

    report = stack.redrive(exit_code=5)
    assert report["letters"][0]["problem"].startswith("lost, the stream does not have it any more: ")
    assert report["letters"][0]["records"] == 3
    assert (stack.letters(), stack.spent(), stack.function.batches) == (1, 0, [])


class Trimmed:
    """A stream that has dropped what it is asked for, as it does after a day."""

    def __init__(self, client: Client) -> None:
        self.exceptions: Any = client.exceptions

    def get_shard_iterator(self, **_request: str) -> dict[str, str]:
        answer: Any = {"Error": {"Code": "TrimmedDataAccessException", "Message": "The operation ..."}}
        raise self.exceptions.TrimmedDataAccessException(answer, "GetShardIterator")


def test_a_batch_of_which_the_stream_has_the_end_alone_is_lost(stack: Stack) -> None:
    stack.spend(3)
    buckets = stack.of_buckets()
    stack.bury_batch(buckets)
    stack.leasegate.clients["dynamodbstreams"] = Late(stack.streams, sequence_number(buckets[1]))

    assert "not all from" in stack.redrive(exit_code=5)["letters"][0]["problem"]
    assert (stack.letters(), stack.spent()) == (1, 0)


class Late:
    """A stream that begins with a later record than it is asked for."""

    def __init__(self, client: Client, number: str) -> None:
        self.exceptions: Any = client.exceptions
        self.get_records: Any = client.get_records
        self._client = client
        self._number = number

    def get_shard_iterator(self, **request: str) -> Any:  # noqa: ANN401 - the client's
        return self._client.get_shard_iterator(**{**request, "SequenceNumber": self._number})


def test_a_dry_run_shows_what_is_there_and_changes_nothing(stack: Stack) -> None:
    stack.spend(3)
    buckets = stack.of_buckets()
    stack.bury_batch(buckets[:2])
    stack.bury({**buckets[2], "eventName": "TRUNCATE"})

    report = stack.redrive("--dry-run")
    assert (report["seen"], report["replayed"], report["left"]) == (2, 0, 2)
    assert report["letters"][0]["problem"] is None
    assert "TRUNCATE" in report["letters"][1]["problem"]
    assert (stack.letters(), stack.spent(), stack.function.batches) == (2, 0, [])


def test_people_are_shown_a_table_and_a_sentence(stack: Stack) -> None:
    stack.spend(2)
    first, second = stack.of_buckets()
    stack.bury_batch([first])
    stack.bury({**second, "eventName": "TRUNCATE"}, "ValueError: ?")

    def lines(*arguments: str, exit_code: int = 0) -> list[str]:
        return stack.leasegate.lines("usage", "redrive", "--stack", "leasegate", *arguments, exit_code=exit_code)

    dry = lines("--dry-run")
    assert dry[0].split() == ["letter", "since", "records", "why", "now"]
    assert dry[2].endswith("Z         1   RetryAttemptsExhausted   can be counted")
    assert dry[-1] == "2 dead letters: 1 can be counted, 1 cannot. Nothing was changed."
    assert lines(exit_code=5)[-1] == "2 dead letters: 1 replayed, 1 left in the queue."
    stack.sqs.purge_queue(QueueUrl=stack.url)
    assert lines() == ["No dead letters."]


def test_a_queue_of_many_letters_is_emptied_each_received_once(stack: Stack) -> None:
    stack.spend(25)
    for record in stack.of_buckets():
        stack.bury(record)

    assert stack.redrive()["replayed"] == 25
    assert (stack.letters(), stack.spent()) == (0, 25)
    assert [len(batch) for batch in stack.function.batches] == [10, 10, 5]


def test_letters_that_come_again_while_they_are_hidden_too_shortly_end_the_run(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leasegate.cli.services._HIDDEN_S", 0)
    stack.send("no letter")

    assert stack.redrive(exit_code=5)["seen"] == 1


@pytest.mark.parametrize(
    ("answer", "exit_code"),
    [
        ({"errorMessage": "Task timed out after 60.00 seconds"}, 5),
        ({"status": "complete"}, 2),
        ({"records": 7, "batchItemFailures": [], "unreadable": {}}, 2),
        ({"records": 1, "batchItemFailures": []}, 2),
        ([], 2),
        (None, 2),
    ],
)
def test_nothing_is_deleted_unless_the_aggregator_says_that_it_is_counted(
    stack: Stack, answer: Mapping[str, Any] | None, exit_code: int
) -> None:
    stack.spend(1)
    stack.bury(stack.of_buckets()[0])
    stack.function.out_of_order = {} if answer is None else answer

    result = stack.leasegate("usage", "redrive", "--stack", "leasegate", exit_code=exit_code)
    said = "the function failed: Task timed out after 60.00 seconds" if exit_code == 5 else "--function"
    assert said in result.output
    assert stack.letters() == 1


def test_what_was_received_is_shown_to_others_again_when_the_run_breaks_off(stack: Stack) -> None:
    stack.spend(1)
    stack.bury(stack.of_buckets()[0])

    def interrupt(**_request: object) -> dict[str, Any]:
        raise KeyboardInterrupt

    stack.function.invoke = interrupt  # type: ignore[method-assign]
    assert "interrupted" in stack.leasegate("usage", "redrive", "--stack", "leasegate", exit_code=130).stderr
    assert stack.letters() == 1


def test_the_stack_says_where_the_queue_and_the_function_are_unless_they_are_given(stack: Stack) -> None:
    def refused(*arguments: str) -> str:
        return stack.leasegate.refused("usage", "redrive", *arguments)

    assert "does not exist" in refused("--stack", "other")
    stack.leasegate.clients["cloudformation"] = Outputs()
    assert "--stack: leasegate has no output UsageDeadLettersUrl; give --queue-url" in refused(
        "--stack", "leasegate"
    )
    given = ("--queue-url", stack.url)
    assert "no output AggregatorFunctionName; give --function" in refused("--stack", "leasegate", *given)
    assert stack.leasegate.json("usage", "redrive", *given, "--dry-run")["seen"] == 0
    assert stack.leasegate.json("usage", "redrive", *given, "--function", "aggregator")["seen"] == 0


def record_of(number: int, text: str = "") -> StreamRecord:
    return {"eventName": "MODIFY", "dynamodb": {"SequenceNumber": str(number), "text": text}}


def test_records_are_divided_so_that_each_part_fits_an_invocation() -> None:
    parts = _Parts()
    for number in range(2_500):
        parts.add(record_of(number))
    assert [len(part) for part in parts.parts] == [1_000, 1_000, 500]

    heavy = _Parts()
    for number in range(20):
        heavy.add(record_of(number, "x" * 600_000))
    sizes = [len(write_json(list(part.values()))) for part in heavy.parts]
    assert max(sizes) < 6_000_000
    assert [len(part) for part in heavy.parts] == [8, 8, 4]


def test_records_of_two_shards_that_share_a_number_are_not_taken_for_one() -> None:
    parts = _Parts()
    assert parts.add(record_of(1, "here")) == (0, "1")
    assert parts.add(record_of(1, "there")) == (1, "1")
    assert parts.add(record_of(1, "here")) == (0, "1")
    assert parts.add(record_of(2)) == (0, "2")
    assert [len(part) for part in parts.parts] == [2, 1]


# --- connections ------------------------------------------------------------------------------------------


def settings(**given: str | None) -> Settings:
    values: dict[str, Any] = {"table": None, "endpoint_url": None, "region": "eu-west-1", "profile": None}
    return Settings(**{**values, **given}, actor="me", json=False)


def test_all_services_are_reached_where_the_endpoint_says(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoints = []
    with connect_services(settings(endpoint_url="http://127.0.0.1:9")) as services:
        for name in ("sqs", "dynamodbstreams", "lambda", "cloudformation"):
            client = services._client(name)
            endpoints.append((client.meta.endpoint_url, client.meta.region_name))
    assert endpoints == [("http://127.0.0.1:9", "eu-west-1")] * 4


def test_a_service_that_does_not_answer_is_an_error_in_one_line() -> None:
    def receive() -> None:
        with connect_services(settings(endpoint_url="http://127.0.0.1:9")) as services:
            services.queue(URL).receive()

    with pytest.raises(StoreUnavailable, match=r"http://127\.0\.0\.1:9"):
        receive()


@pytest.mark.parametrize(
    "given", [{"profile": "no-such-profile"}, {"endpoint_url": "nowhere"}, {"region": "eu west"}]
)
def test_settings_that_lead_nowhere_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest) as refused, connect_services(settings(**given)) as services:
        services.queue(URL)
    assert refused.value.field == "connection"
