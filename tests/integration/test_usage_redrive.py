"""Dead letters of the deployed stack, replayed by the command: from its queue and its stream, by its function."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from leasegate.deadletters import DeadRecord, write_dead_record
from scripts.deployment import STACK_NAME, client
from tests.contract import checked
from tests.samples import load_event

if TYPE_CHECKING:
    from scripts.stack import Stack

LEASEGATE = str(Path(sys.executable).with_name("leasegate"))
TPM = {"name": "tpm", "amount": 1_000, "period": "day"}


class Redrive:
    """The command on the stack, and what it finds there."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.api = stack.api()
        self.sqs = client("sqs", stack.endpoint_url)
        self.streams = client("dynamodbstreams", stack.endpoint_url)

    def __call__(self, *arguments: str, exit_code: int = 0) -> Any:  # noqa: ANN401 - a JSON document
        run = subprocess.run(
            [LEASEGATE, "usage", "redrive", "--stack", STACK_NAME, "--json", *arguments],
            env={
                **os.environ,
                "LEASEGATE_ENDPOINT_URL": self._stack.endpoint_url,
                "AWS_REGION": self._stack.region,
                "AWS_ACCESS_KEY_ID": self._stack.access_key_id,
                "AWS_SECRET_ACCESS_KEY": self._stack.secret_access_key,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert run.returncode == exit_code, run.stderr
        return json.loads(run.stdout)

    def bury(self, letter: str) -> None:
        self.sqs.send_message(QueueUrl=self._stack.usage_dead_letters_url, MessageBody=letter)

    def usage(self, entity_id: str) -> list[dict[str, Any]]:
        """Return what the API says that an entity spent, hour by hour, from before the first of them on."""
        path = f"/entities/{entity_id}/usage?resource=gpt-4&from=2026-01-01T00:00Z&to=9999-12-31"
        answer = checked("GET", path.partition("?")[0], self.api.get(path))
        assert answer.status == 200
        items: list[dict[str, Any]] = json.loads(answer.body)["items"]
        return items

    def ranking(self, at_ms: int) -> list[str]:
        """Return who the API says spent in an hour, most first."""
        path = f"/resources/gpt-4/usage?window=hour&at={at_ms}&limit_name=tpm"
        answer = checked("GET", path.partition("?")[0], self.api.get(path))
        assert answer.status == 200
        return [item["entity_id"] for item in json.loads(answer.body)["items"]]

    def records(self, entity_id: str) -> tuple[str, str, list[str]]:
        """Return where the records of an entity's bucket stand: the stream, the shard, their sequence numbers."""
        (stream,) = self.streams.list_streams(TableName=self._stack.table_name)["Streams"]
        arn = stream["StreamArn"]
        for shard in self.streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
            iterator = self.streams.get_shard_iterator(
                StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            numbers: list[str] = []
            while iterator:
                page = self.streams.get_records(ShardIterator=iterator)
                numbers += [
                    record["dynamodb"]["SequenceNumber"]
                    for record in page["Records"]
                    if record["dynamodb"]["Keys"]["PK"]["S"].startswith(f"BUCKET#{entity_id}#")
                ]
                iterator = page.get("NextShardIterator") if page["Records"] else None
            if numbers:
                return arn, shard["ShardId"], numbers
        raise AssertionError(f"the stream has nothing of {entity_id}")


@pytest.fixture
def redrive(stack: Stack) -> Redrive:
    """The command, where there is no letter yet: other tests of this stack leave theirs."""
    redrive = Redrive(stack)
    redrive.sqs.purge_queue(QueueUrl=stack.usage_dead_letters_url)
    return redrive


def test_a_record_in_the_queue_is_counted_and_its_letter_deleted(redrive: Redrive) -> None:
    record = load_event("aggregator_first_acquire")["Records"][0]
    renamed = json.loads(json.dumps(record).replace("sample-first", "redriven-record"))
    redrive.bury(write_dead_record(DeadRecord(renamed, "it could not be read")))
    assert redrive.usage("redriven-record") == []

    assert redrive("--dry-run")["left"] == 1
    assert redrive.usage("redriven-record") == []
    report = redrive()
    assert (report["replayed"], report["left"]) == (1, 0)
    (window,) = redrive.usage("redriven-record")
    assert (window["grants"], window["limits"]["tpm"]["tokens"]) == (1, 500)
    assert redrive()["seen"] == 0
    assert "redriven-record" in redrive.ranking(window["start_ms"])


def test_a_batch_is_read_from_the_stream_and_what_was_counted_is_not_counted_twice(redrive: Redrive) -> None:
    for _ in range(3):
        body = {"entity_id": "redriven-batch", "resource": "gpt-4", "consume": {"tpm": 7}, "limits": [TPM]}
        assert redrive.api.post("/acquire", body).status == 200
    deadline = time.monotonic() + 60
    while sum([window["grants"] for window in redrive.usage("redriven-batch")]) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    arn, shard, numbers = redrive.records("redriven-batch")
    batch = {
        "streamArn": arn,
        "shardId": shard,
        "startSequenceNumber": numbers[0],
        "endSequenceNumber": numbers[-1],
        "batchSize": len(numbers),
    }
    condition = {"condition": "RetryAttemptsExhausted"}
    redrive.bury(json.dumps({"requestContext": condition, "DDBStreamBatchInfo": batch}))

    report = redrive()
    assert (report["replayed"], report["left"]) == (1, 0)
    assert report["letters"][0]["records"] == len(numbers)
    assert sum([window["limits"]["tpm"]["tokens"] for window in redrive.usage("redriven-batch")]) == 21


def test_what_is_no_letter_stays_and_the_command_says_so(redrive: Redrive, stack: Stack) -> None:
    redrive.bury("?")

    assert redrive(exit_code=5)["left"] == 1
    assert redrive("--dry-run")["seen"] == 1
    redrive.sqs.purge_queue(QueueUrl=stack.usage_dead_letters_url)
