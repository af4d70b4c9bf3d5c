"""Replaying dead letters: what they hold is counted by the aggregator, and only then are they deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from .. import schema
from ..changes import UnreadableChange
from ..deadletters import DeadBatch, UnreadableLetter, read_dead_letter
from ..errors import StoreError
from ..repository.wire import decode_key
from ..stream import StreamRecord, is_named, read_record, sequence_number
from .services import RecordsLost, write_json

if TYPE_CHECKING:
    from .output import Count
    from .services import Function, Letter, Queue, Stream

_PART_BYTES: Final = 5_000_000
"""An invocation takes 6 MB."""
_PART_RECORDS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of a letter.

    Attributes:
        letter: see there.
        reason: why it was put into the queue; empty, where it does not say so.
        records: how many records of buckets it holds, or leads to.
        problem: why it stays in the queue; None where all of it was counted, or could be.
    """

    letter: Letter
    reason: str = ""
    records: int = 0
    problem: str | None = None


def replay(queue: Queue, stream: Stream, function: Function | None, progress: Count) -> list[Replayed]:
    """Let all letters of a queue be counted; without a function only say whether each could be.

    Those that were counted are deleted. The others are hidden until the end, so that none is received twice, and
    then shown to others again, be it that the run is interrupted.
    """
    total = queue.size()
    seen: set[str] = set()
    held: dict[str, Letter] = {}
    replayed: list[Replayed] = []
    try:
        while letters := queue.receive():
            held |= {letter.id: letter for letter in letters}
            new = [letter for letter in letters if letter.id not in seen]
            if not new:
                break  # they were hidden for so long that they come again
            seen.update(held)
            for done in _replay_some(new, stream, function):
                if done.problem is None and function is not None:
                    queue.delete(done.letter)
                    del held[done.letter.id]
                replayed.append(done)
            progress(len(replayed), max(total, len(replayed)))
    finally:
        for letter in held.values():
            queue.release(letter)
    return replayed


@dataclass(slots=True)
class _Parts:
    """Records in parts, each short enough for an invocation and without two of one sequence number."""

    parts: list[dict[str, StreamRecord]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def add(self, record: StreamRecord) -> tuple[int, str]:
        """Put a record into a part, unless it is there; return which part, and its sequence number."""
        number = sequence_number(record)
        length = len(write_json(record)) + 1
        for place, part in enumerate(self.parts):
            if part.get(number) == record:
                return place, number
            has_room = len(part) < _PART_RECORDS and self.sizes[place] + length <= _PART_BYTES
            if number not in part and has_room:
                part[number] = record
                self.sizes[place] += length
                return place, number
        self.parts.append({number: record})
        self.sizes.append(length)
        return len(self.parts) - 1, number


def _replay_some(letters: Sequence[Letter], stream: Stream, function: Function | None) -> list[Replayed]:
    opened = [_open(letter, stream) for letter in letters]
    if function is None:
        return [replace(one, problem=one.problem or _unreadable(records)) for one, records in opened]
    parts = _Parts()
    places = [[parts.add(record) for record in records] for _, records in opened]
    answers = [function.count(part.values()) for part in parts.parts]
    done = []
    for (one, _), numbers in zip(opened, places, strict=True):
        problems = [answers[place][number] for place, number in numbers if number in answers[place]]
        done.append(replace(one, problem=one.problem or next(iter(problems), None)))
    return done


def _open(letter: Letter, stream: Stream) -> tuple[Replayed, list[StreamRecord]]:
    """Return what a letter says, and the records of buckets that it leads to; without records, what is wrong."""
    try:
        dead = read_dead_letter(letter.body)
    except UnreadableLetter as error:
        return Replayed(letter, problem=str(error)), []
    if not isinstance(dead, DeadBatch):
        if not is_named(dead.record):
            return Replayed(letter, dead.reason, 1, "its record has no sequence number"), []
        return Replayed(letter, dead.reason, 1), [dead.record]
    try:
        # What the aggregator's filter leaves out stands between them.
        records = [record for record in stream.read(dead) if _is_counted(record)]
    except RecordsLost as error:
        return Replayed(letter, dead.reason, dead.size, f"lost, the stream does not have it any more: {error}"), []
    return Replayed(letter, dead.reason, len(records)), records


def _is_counted(record: StreamRecord) -> bool:
    try:
        schema.bucket_of(decode_key(record["dynamodb"]["Keys"]))
    except (KeyError, TypeError, ValueError, StoreError):
        return False
    return bool(record["eventName"] != "REMOVE")


def _unreadable(records: Iterable[StreamRecord]) -> str | None:
    for record in records:
        try:
            read_record(record)
        except UnreadableChange as error:
            return str(error)
    return None
