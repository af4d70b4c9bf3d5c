"""What a stack has besides its table: the queue, the stream and the function for dead letters, and its traces.

The clients of the SDK come in from outside; :mod:`leasegate.cli.connection` makes them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ..deadletters import DeadBatch
from ..errors import InvalidRequest
from ..stream import StreamRecord, sequence_number
from .xray import XRay

type Client = Any
"""The SDK's client of a service; its types are not among those that are installed."""

_LETTERS_AT_ONCE: Final = 10
_HIDDEN_S: Final = 900
"""For how long a letter that was received is hidden from others, and from the next call."""
_WAIT_S: Final = 1
"""A call that waits asks all the servers of the queue: only then does no letter mean that there is none."""
_RECORDS_AT_ONCE: Final = 1_000
_GONE: Final = ("TrimmedDataAccessException", "ResourceNotFoundException", "ValidationException")
"""What a stream answers that has dropped the place, or never had it."""
_EMPTY_PAGES: Final = 100
"""A stream may answer with nothing and still lead on."""


class RecordsLost(Exception):
    """The stream does not have the records any more."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message of the queue: its id, what deletes it, when it was sent, and its text."""

    id: str
    receipt: str
    sent_at_ms: int
    body: str


class Services:
    """Everything that is spoken to; ``client`` makes the client of a service, by its name."""

    def __init__(self, client: Callable[[str], Client]) -> None:
        """Make no client before it is needed."""
        self._client = client

    def outputs(self, stack: str) -> Mapping[str, str]:
        """Return what a stack says of itself. Raises :class:`InvalidRequest` where there is none of this name."""
        client = self._client("cloudformation")
        try:
            found = client.describe_stacks(StackName=stack)["Stacks"]
        except client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            raise InvalidRequest("--stack", str(error)) from error
        return {output["OutputKey"]: output["OutputValue"] for output in found[0].get("Outputs", ())}

    def queue(self, url: str) -> Queue:
        """Return a queue."""
        return Queue(self._client("sqs"), url)

    def stream(self) -> Stream:
        """Return whatever stream a letter names."""
        return Stream(self._client("dynamodbstreams"))

    def function(self, name: str) -> Function:
        """Return a function."""
        return Function(self._client("lambda"), name)

    def xray(self) -> XRay:
        """Return what has the traces."""
        return XRay(self._client("xray"))


class Queue:
    """The queue of dead letters."""

    def __init__(self, client: Client, url: str) -> None:
        """Speak to the queue at this address."""
        self._client = client
        self._url = url

    def size(self) -> int:
        """Return how many letters there are, more or less."""
        answer = self._client.get_queue_attributes(
            QueueUrl=self._url, AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])

    def receive(self) -> tuple[Letter, ...]:
        """Take some letters, which are hidden from then on; none where there are no more."""
        answer = self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=_LETTERS_AT_ONCE,
            VisibilityTimeout=_HIDDEN_S,
            WaitTimeSeconds=_WAIT_S,
            AttributeNames=["SentTimestamp"],
        )
        return tuple(
            [
                Letter(
                    message["MessageId"],
                    message["ReceiptHandle"],
                    int(message["Attributes"]["SentTimestamp"]),
                    message["Body"],
                )
                for message in answer.get("Messages", ())
            ]
        )

    def delete(self, letter: Letter) -> None:
        """Take a letter out."""
        self._client.delete_message(QueueUrl=self._url, ReceiptHandle=letter.receipt)

    def release(self, letter: Letter) -> None:
        """Show a letter to others again, at once."""
        self._client.change_message_visibility(
            QueueUrl=self._url, ReceiptHandle=letter.receipt, VisibilityTimeout=0
        )


class Stream:
    """The table's stream, which keeps its records for a day."""

    def __init__(self, client: Client) -> None:
        """Speak to the streams of an account."""
        self._client = client

    def read(self, batch: DeadBatch) -> Iterator[StreamRecord]:
        """Read the records of a batch, and what stands between them, as Lambda would deliver it.

        Raises :class:`RecordsLost` where the stream does not have all of them any more.
        """
        has_begun = False
        try:
            first, last = int(batch.first), int(batch.last)
            for record in self._read_on(batch):
                number = int(sequence_number(record))
                has_begun = has_begun or number == first
                if not has_begun or number > last:
                    break
                yield {**record, "eventSourceARN": batch.stream_arn}
                if number == last:
                    return
        except self._client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in _GONE:
                raise
            raise RecordsLost(str(error)) from error
        except ValueError as error:
            raise RecordsLost(f"a sequence number is none: {error}") from error
        raise RecordsLost(f"not all from {batch.first} to {batch.last} are in {batch.shard_id}")

    def _read_on(self, batch: DeadBatch) -> Iterator[StreamRecord]:
        """Read a shard from the first record of a batch to its end, which an open shard does not have."""
        iterator = self._client.get_shard_iterator(
            StreamArn=batch.stream_arn,
            ShardId=batch.shard_id,
            ShardIteratorType="AT_SEQUENCE_NUMBER",
            SequenceNumber=batch.first,
        )["ShardIterator"]
        empty = 0
        while iterator is not None and empty < _EMPTY_PAGES:
            page = self._client.get_records(ShardIterator=iterator, Limit=_RECORDS_AT_ONCE)
            yield from page["Records"]
            empty = 0 if page["Records"] else empty + 1
            iterator = page.get("NextShardIterator")


class Function:
    """The aggregator, which counts records that were dead letters and says which it did not."""

    def __init__(self, client: Client, name: str) -> None:
        """Speak to the function of this name."""
        self._client = client
        self._name = name

    def count(self, records: Collection[StreamRecord]) -> Mapping[str, str]:
        """Let records be counted; return why some were not, by their sequence numbers.

        Raises :class:`InvalidRequest` where the function is no aggregator.
        """
        event = {"Records": list(records), "redrive": True}
        answer = self._client.invoke(FunctionName=self._name, Payload=write_json(event).encode())
        text = answer["Payload"].read()
        if "FunctionError" in answer:
            return dict.fromkeys(map(sequence_number, records), f"the function failed: {_message(text)}")
        try:
            report = json.loads(text)
            if report["records"] != len(records):
                raise ValueError(f"{report['records']} records of {len(records)}")
            failed = [failure["itemIdentifier"] for failure in report["batchItemFailures"]]
            unreadable: dict[str, str] = dict(report["unreadable"])
        except (KeyError, TypeError, ValueError) as error:
            reason = f"{self._name} does not answer as the aggregator: {type(error).__name__}: {error}"
            raise InvalidRequest("--function", reason) from error
        return dict.fromkeys(failed, "the table did not answer; repeat it later") | unreadable


def write_json(value: object) -> str:
    """Write what the SDK read as Lambda would write it: times in seconds, bytes in base64."""
    return json.dumps(value, separators=(",", ":"), default=_plain)


def _plain(value: object) -> object:
    match value:
        case datetime():
            return value.timestamp()
        case bytes():
            return base64.b64encode(value).decode()
    raise TypeError(f"no JSON: {value!r}")


def _message(text: bytes) -> str:
    try:
        return str(json.loads(text)["errorMessage"])
    except (KeyError, TypeError, ValueError):
        return text.decode(errors="replace")[:200]
