"""``leasegate usage redrive``: count what the aggregator could not count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import click

from ..errors import InvalidRequest
from .exits import Exit
from .output import plain, table
from .rendering import moment
from .replay import Replayed, replay
from .session import Command, Session

if TYPE_CHECKING:
    from rich.table import Table

    from ..http.documents import Document

_FUNCTION: Final = "AggregatorFunctionName"
_QUEUE: Final = "UsageDeadLettersUrl"


@click.command("redrive", cls=Command)
@click.option("--stack", metavar="NAME", help="The stack, whose outputs name the queue and the function.")
@click.option("--queue-url", metavar="URL", help="The queue of dead letters, in place of the stack's.")
@click.option("--function", "function_name", metavar="NAME", help="The aggregator, in place of the stack's.")
@click.option("--dry-run", is_flag=True, help="Only show what is there, and what is wrong with it.")
@click.pass_obj
def redrive(
    session: Session, stack: str | None, queue_url: str | None, function_name: str | None, dry_run: bool
) -> None:
    """Count usage that the aggregator could not count, from its queue of dead letters.

    leasegate usage redrive --stack leasegate

    A letter is deleted when all that it holds is counted; to count it once more changes nothing. The others stay
    in the queue, and the command ends with 5. A letter may say only where in the table's stream its records are:
    the stream keeps them for a day.
    """
    output = session.output
    with session.services() as services:
        outputs: Mapping[str, str] = {} if stack is None else services.outputs(stack)
        queue = services.queue(_chosen("--queue-url", queue_url, stack, outputs, _QUEUE))
        function = None
        if not dry_run:
            function = services.function(_chosen("--function", function_name, stack, outputs, _FUNCTION))
        with output.counting("Replaying dead letters") as count:
            replayed = replay(queue, services.stream(), function, count)
    wrong = len([one for one in replayed if one.problem is not None])
    left = len(replayed) if dry_run else wrong
    document = {
        "letters": [_document(one) for one in replayed],
        "seen": len(replayed),
        "replayed": len(replayed) - left,
        "left": left,
    }
    summary = _summary(len(replayed), wrong, dry_run=dry_run)
    output.answer(document, *([_table(replayed, dry_run=dry_run)] if replayed else []), summary)
    if wrong and not dry_run:
        session.end(Exit.INCOMPLETE)


def _chosen(option: str, given: str | None, stack: str | None, outputs: Mapping[str, str], name: str) -> str:
    if given is not None:
        return given
    if stack is None:
        raise InvalidRequest(option, "is required, unless --stack says which stack's")
    if name not in outputs:
        raise InvalidRequest("--stack", f"{stack} has no output {name}; give {option}")
    return outputs[name]


def _table(replayed: Sequence[Replayed], *, dry_run: bool) -> Table:
    made = table("letter", "since", "records#", "why", "now")
    for one in replayed:
        now = plain("can be counted" if dry_run else "counted")
        if one.problem is not None:
            now = plain(one.problem, "red")
        made.add_row(plain(one.letter.id), moment(one.letter.sent_at_ms), str(one.records), plain(one.reason), now)
    return made


def _document(one: Replayed) -> Document:
    return {
        "id": one.letter.id,
        "sent_at_ms": one.letter.sent_at_ms,
        "records": one.records,
        "reason": one.reason,
        "problem": one.problem,
    }


def _summary(seen: int, wrong: int, *, dry_run: bool) -> str:
    letters = f"{seen} dead letter{'' if seen == 1 else 's'}"
    if not seen:
        return "No dead letters."
    if dry_run:
        return f"{letters}: {seen - wrong} can be counted, {wrong} cannot. Nothing was changed."
    return f"{letters}: {seen - wrong} replayed, {wrong} left in the queue."
