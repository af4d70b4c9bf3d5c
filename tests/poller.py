"""What Lambda does with one shard of a DynamoDB stream, as its guide documents it.

The emulator ignores partial answers, bisection and the number of attempts for these streams, so they are played
here. Records go to the function in batches and in their order, and the next batch waits for this one:

- An invocation that fails is repeated with each half of its batch by itself, and that is no attempt. One record
  alone is repeated until its attempts are used up.
- An answer that names failures moves the checkpoint to the first of them: what stands before it is done, and all
  from there on is sent again. It is an attempt where the checkpoint did not move.
- An answer without failures ends a batch. One that names what is no record of the batch fails it.
- What has used up its attempts goes to the destination for failures: where it stands, not what it says.

How long Lambda waits between attempts, and the age at which it gives records up, have no place here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import batched
from typing import Any

from leasegate.stream import StreamRecord, sequence_number

type Invoke = Callable[[dict[str, Any]], Mapping[str, Any]]
"""Invokes the function: returns its answer, or raises what it raised."""

SHARD = "shardId-00000001790000000000-abcdef12"


@dataclass
class Poller:
    """Sends records to a function.

    Attributes:
        invoke: the function. bury: takes a message for the destination of failures.
        batch_size: the most records of an invocation.
        retries: how often a batch is repeated.
        batches: how many records each invocation had, so far.
    """

    invoke: Invoke
    bury: Callable[[str], object]
    batch_size: int = 100
    retries: int = 3
    batches: list[int] = field(default_factory=list)

    def run(self, records: Sequence[StreamRecord]) -> None:
        """Bring a shard to its end."""
        for batch in batched(records, self.batch_size, strict=False):
            self._process(batch)

    def _process(self, batch: Sequence[StreamRecord]) -> None:
        attempts = 0
        while True:
            self.batches.append(len(batch))
            failed = self._send(batch)
            if failed is None and len(batch) > 1:
                self._process(batch[: len(batch) // 2])
                self._process(batch[len(batch) // 2 :])
                return
            if failed == len(batch):
                return
            if failed:
                batch, attempts = batch[failed:], 0
                continue
            attempts += 1
            if attempts > self.retries:
                self.bury(json.dumps(_where(batch, attempts)))
                return

    def _send(self, batch: Sequence[StreamRecord]) -> int | None:
        """Return the place of the first failure, the length where there is none; None if the invocation failed."""
        try:
            answer = self.invoke({"Records": list(batch)})
        except Exception:  # noqa: BLE001 - Lambda does not ask which
            return None
        places = {sequence_number(record): place for place, record in enumerate(batch)}
        named = [failure["itemIdentifier"] for failure in answer.get("batchItemFailures") or ()]
        if not all(name in places for name in named):
            return None
        return min([places[name] for name in named], default=len(batch))


def _where(batch: Sequence[StreamRecord], attempts: int) -> dict[str, Any]:
    first, last = batch[0], batch[-1]
    return {
        "requestContext": {
            "requestId": "7a1b3c5d-0000-4000-8000-000000000000",
            "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:AggregatorFunction:live",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": attempts,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "1", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2026-11-21T22:00:00.000Z",
        "DDBStreamBatchInfo": {
            "shardId": SHARD,
            "startSequenceNumber": sequence_number(first),
            "endSequenceNumber": sequence_number(last),
            "approximateArrivalOfFirstRecord": "2026-11-21T22:00:00Z",
            "approximateArrivalOfLastRecord": "2026-11-21T22:00:00Z",
            "batchSize": len(batch),
            "streamArn": first["eventSourceARN"],
        },
    }
