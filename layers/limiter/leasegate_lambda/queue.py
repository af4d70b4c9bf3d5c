"""The queue of dead letters: what cannot be counted is put there, so that what follows can be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from leasegate.deadletters import MAX_BYTES

type SQSClient = Any
"""The SDK's client; its types are not among those that are installed."""

SEND_MS: Final = 8_000
"""The most that one call takes, with its repetition."""
_AT_ONCE: Final = 10


def connect_queue() -> SQSClient:
    """Build the SQS client, which only a record that cannot be read needs."""
    config = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 2, "mode": "standard"})
    return boto3.client("sqs", endpoint_url=os.environ.get("SQS_ENDPOINT") or None, config=config)


class DeadLetters:
    """Puts letters into a queue, in their order."""

    def __init__(self, client: SQSClient, url: str) -> None:
        """Send to the queue at this address."""
        self._client = client
        self._url = url

    def send(self, letters: Sequence[str], time_left_ms: Callable[[], int]) -> dict[int, str]:
        """Send letters, 10 at a time; return why some are not in the queue, by their place.

        What comes after the first of these is not tried any more, except within the same call: the stream
        brings it once more, for it goes on from the first record that is reported as failed.
        """
        for places in _calls(letters):
            refused = self._send(letters, places, time_left_ms)
            if refused:
                waiting = range(places[-1] + 1, len(letters))
                return refused | dict.fromkeys(waiting, "an earlier letter could not be sent")
        return {}

    def _send(self, letters: Sequence[str], places: range, time_left_ms: Callable[[], int]) -> dict[int, str]:
        if len(letters[places[0]]) > MAX_BYTES:
            return {places[0]: f"a letter of {len(letters[places[0]])} bytes is too long for the queue"}
        if time_left_ms() < SEND_MS:
            return dict.fromkeys(places, "no time was left to send it")
        entries = [{"Id": str(place), "MessageBody": letters[place]} for place in places]
        try:
            answer = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
        except (BotoCoreError, ClientError) as error:
            return dict.fromkeys(places, str(error))
        return {int(entry["Id"]): f"{entry['Code']}: {entry.get('Message')}" for entry in answer.get("Failed", ())}


def _calls(letters: Sequence[str]) -> Iterator[range]:
    """Divide letters into calls: each of at most 10, and together no longer than one letter may be.

    A letter is ASCII, so it has as many bytes as characters. One that is too long stands alone.
    """
    start = total = 0
    for place, letter in enumerate(letters):
        if place > start and (place - start == _AT_ONCE or total + len(letter) > MAX_BYTES):
            yield range(start, place)
            start, total = place, 0
        total += len(letter)
    if letters:
        yield range(start, len(letters))
