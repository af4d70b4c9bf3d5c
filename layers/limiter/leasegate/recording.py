"""What X-Ray records of calls to the table: each under the request that waits for it, refusals as answers.

:mod:`leasegate.tracing` reads it.

For programs that trace with aws_xray_sdk, which patches botocore. The SDK is in maintenance, so this module
does not import it: its recorder comes in as an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .repository.dynamodb import Carry, carry_context, repetition
from .repository.failures import is_refusal, is_throttle
from .subsegments import ATTEMPT, REFUSED

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

type Recorder = Any
"""``aws_xray_sdk.core.xray_recorder``; the SDK has no types."""


def carry_segment(recorder: Recorder) -> Carry:
    """Return the ``carry`` of a repository whose workers record under the segment of the thread they work for.

    The SDK keeps the open segment in thread-local storage, so a worker would not find it.
    """

    def carry[**P, T](function: Callable[P, T], /) -> Callable[P, T]:
        run = carry_context(function)
        segment = recorder.get_trace_entity()

        def run_in_segment(*args: P.args, **kwargs: P.kwargs) -> T:
            recorder.set_trace_entity(segment)
            try:
                return run(*args, **kwargs)
            finally:
                recorder.clear_trace_entities()

        return run_in_segment

    return carry


def record_calls(client: DynamoDBClient, recorder: Recorder) -> None:
    """Have a client's calls recorded by a recorder, ``xray_recorder``, as what they are.

    A condition that did not hold is an answer, and to be throttled is no fault. The SDK marks any 4xx as error and
    fault, with the exception as its cause, only after the call. So both are noticed at the reply, by its code, and
    wrong marks come off when the subsegment is sent. Its status stays 400, as DynamoDB said.

    An attempt that repeats another one is annotated with its number, from 2 on. One that got no answer is a fault;
    the SDK leaves it without a mark.
    """

    def note_attempt(**_event: object) -> None:
        if (attempt := repetition.get()) > 1 and (call := recorder.current_subsegment()) is not None:
            call.put_annotation(ATTEMPT, attempt)

    def note_answer(parsed: Mapping[str, Any], **_event: object) -> None:
        if "Error" not in parsed or (call := recorder.current_subsegment()) is None:
            return
        if is_refusal(parsed):
            call.put_annotation(REFUSED, True)
        elif is_throttle(parsed):
            call.add_throttle_flag()

    def note_silence(exception: Exception, **_event: object) -> None:
        if (call := recorder.current_subsegment()) is not None:
            call.add_exception(exception, [], remote=True)

    client.meta.events.register("before-call.dynamodb", note_attempt)
    client.meta.events.register("after-call.dynamodb", note_answer)
    client.meta.events.register("after-call-error.dynamodb", note_silence)
    if not isinstance(recorder.emitter, AnswersAsTheyAre):
        recorder.configure(emitter=AnswersAsTheyAre(recorder.emitter))


class AnswersAsTheyAre:
    """Sends through another emitter of the SDK: refusals without marks of an error, throttling as no fault."""

    def __init__(self, emitter: Any) -> None:  # noqa: ANN401 - the SDK has no types
        """Send through ``emitter``."""
        self._emitter = emitter

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as above
        """Be the other emitter in all else."""
        return getattr(self._emitter, name)

    def send_entity(self, entity: Any) -> None:  # noqa: ANN401 - as above
        """Send a segment or subsegment."""
        if entity.annotations.get(REFUSED) is True:
            entity.error = entity.fault = False
            entity.cause = {}
        elif getattr(entity, "throttle", False):  # the SDK sets it with the mark
            entity.fault = False
        self._emitter.send_entity(entity)
