"""What the functions record for X-Ray: refusals as answers, repetitions as such, and whose request it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ReadTimeoutError

from leasegate import Limit, Limiter
from leasegate_lambda.annotations import entity_class, verdict_of
from tests.fixtures.functions import TABLE_NAME, Launch
from tests.fixtures.recorded import Recorded
from tests.functions import Context, Load
from tests.samples import load_event

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ASK = {"entity_id": "key:1", "resource": "gpt-4", "consume": {"rpm": 1}}
RPM = {"name": "rpm", "amount": 60, "period": "minute"}
SLOW = {"name": "rpm", "amount": 1, "period": "day", "burst": 3}


@pytest.fixture
def start(moto_client: DynamoDBClient, recorded: Recorded, launch: Launch) -> Load:
    """Start processes of the acquire function, which are traced."""
    return lambda: launch("acquire")


def family(limiter: Limiter) -> None:
    """Store a key and its project, both with limits."""
    limiter.create_entity("project:1")
    limiter.create_entity("key:1", "project:1")
    for entity_id in ("project:1", "key:1"):
        limiter.set_limits(entity_id, [Limit.per_day("rpm", 10)], resource="gpt-4")


# --- calls -----------------------------------------------------------------------------------------


def test_a_refused_condition_is_an_answer_and_no_fault(start: Load, recorded: Recorded) -> None:
    slow, quick = start(), start()
    slow.post({**ASK, "limits": [SLOW]})
    quick.post({**ASK, "limits": [SLOW], "consume": {"rpm": 2}})
    recorded.forget()
    assert slow.post({**ASK, "limits": [SLOW]}).status == 429
    trace = recorded.trace()
    assert [(call.operation, call.verdict) for call in trace.calls] == [("UpdateItem", "refused")]
    assert not trace.is_failed
    (document,) = [document for document in recorded.documents if document["name"] == "dynamodb"]
    assert document["http"]["response"]["status"] == 400
    assert not document.get("cause")


def test_a_transaction_cancelled_by_its_conditions_is_an_answer_too(
    start: Load, recorded: Recorded, limiter: Limiter
) -> None:
    family(limiter)
    ask = {**ASK, "cascade": "transaction"}
    slow, quick = start(), start()
    assert slow.post(ask).status == 200
    assert quick.post({**ask, "consume": {"rpm": 9}}).status == 200
    recorded.forget()
    assert slow.post(ask).status == 429
    trace = recorded.trace()
    assert [(call.operation, call.verdict) for call in trace.calls] == [("TransactWriteItems", "refused")]
    assert not trace.is_failed


def test_a_real_failure_stays_red(start: Load, recorded: Recorded, moto_client: DynamoDBClient) -> None:
    function = start()
    moto_client.delete_table(TableName=TABLE_NAME)
    recorded.forget()
    assert function.post(ASK).status == 500
    (call,) = recorded.trace().calls
    assert call.verdict == "failed"
    assert recorded.trace().is_failed


def test_a_call_without_an_answer_is_red(start: Load, recorded: Recorded) -> None:
    function = start()
    function.post({**ASK, "limits": [RPM]})
    recorded.forget()

    def hang_up(**_event: object) -> None:
        raise ReadTimeoutError(endpoint_url="the table")

    function.module.client().meta.events.register_first("before-send.dynamodb", hang_up)
    assert function.post({**ASK, "limits": [RPM]}, Context(left_ms=750)).status == 503
    calls = recorded.trace().calls
    assert {call.verdict for call in calls} == {"failed"}
    assert recorded.trace().annotations["verdict"] == "failed"
    assert "ReadTimeoutError" in json.dumps(recorded.documents)


@pytest.mark.parametrize("times", [1, 2])
def test_an_attempt_that_is_repeated_is_no_further_call(start: Load, recorded: Recorded, times: int) -> None:
    function = start()
    function.post({**ASK, "limits": [RPM]})
    recorded.forget()
    function.module.client().meta.events.register("before-call.dynamodb", throttling(times))
    assert function.post({**ASK, "limits": [RPM]}).status == 200
    trace = recorded.trace()
    (call,) = trace.calls
    assert (call.operation, call.verdict, call.attempts) == ("UpdateItem", "answered", 1 + times)
    assert (trace.depth, trace.annotations["round_trips"]) == (1, 1)
    *throttled, answered = [document for document in recorded.documents if document["name"] == "dynamodb"]
    marks = [(one["throttle"], one["error"], one.get("fault", False)) for one in throttled]
    assert marks == [(True, True, False)] * times
    assert not answered.get("throttle")


def throttling(times: int) -> Callable[..., tuple[object, object] | None]:
    """Answer so many requests in DynamoDB's place that there are too many of them."""
    error = {"Code": "ThrottlingException", "Message": "too many"}
    answers = iter([{"Error": error, "ResponseMetadata": {"HTTPStatusCode": 400}}] * times)

    def throttle(**_event: object) -> tuple[object, object] | None:
        answer = next(answers, None)
        return None if answer is None else (SimpleNamespace(status_code=400), answer)

    return throttle


# --- annotations -----------------------------------------------------------------------------------


def test_a_trace_tells_what_was_asked_and_what_became_of_it(start: Load, recorded: Recorded) -> None:
    function = start()
    function.post({**ASK, "limits": [RPM]})
    recorded.forget()
    function.post({**ASK, "limits": [RPM]})
    annotations = dict(recorded.trace().annotations)
    assert annotations.pop("ColdStart") in {True, False}  # Powertools': of this whole process
    assert annotations == {
        "Service": "leasegate",
        "operation": "acquire",
        "entity_class": "key",
        "resource": "gpt-4",
        "verdict": "granted",
        "status": 200,
        "round_trips": 1,
        "guess_missed": False,
    }


def test_a_missed_guess_is_told(start: Load, recorded: Recorded) -> None:
    slow, quick = start(), start()
    for function, tokens in ((slow, 1), (quick, 1_000)):
        recorded.forget()
        limit = {"name": "tpm", "amount": 1_000, "period": "second", "burst": 100_000}
        function.post({**ASK, "limits": [limit], "consume": {"tpm": tokens}})
    recorded.forget()
    # Idle by now for all that this process knows, and busy in truth.
    assert slow.post({**ASK, "limits": [limit], "consume": {"tpm": 1}}).status == 200
    annotations = recorded.trace().annotations
    assert (annotations["guess_missed"], annotations["round_trips"]) == (True, 2)


def test_a_refusal_by_memory_has_no_call_and_says_so(start: Load, recorded: Recorded) -> None:
    function = start()
    for _ in range(2):
        recorded.forget()
        answer = function.post({**ASK, "limits": [SLOW], "consume": {"rpm": 3}})
    recorded.forget()
    assert function.post({**ASK, "limits": [SLOW], "consume": {"rpm": 3}}).status == answer.status == 429
    trace = recorded.trace()
    assert (trace.operations, trace.depth) == ((), 0)
    assert (trace.annotations["verdict"], trace.annotations["round_trips"]) == ("refused", 0)


@pytest.mark.parametrize(("setting", "told"), [("class", "key"), ("", "key"), ("off", None), ("id", "key")])
def test_an_id_is_told_only_where_the_stack_says_so(
    setting: str, told: str | None, start: Load, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACE_ENTITIES", setting)
    function = start()
    for limit in (RPM, SLOW, {"name": "no"}):
        function.post({**ASK, "limits": [limit]})
    written = json.dumps(recorded.documents)
    assert ("key:1" in written) == (setting == "id")
    assert recorded.trace().annotations.get("entity_class") == told


def test_a_setting_that_is_none_keeps_the_function_from_starting(
    start: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACE_ENTITIES", "names")
    with pytest.raises(ValueError, match="TRACE_ENTITIES must be one of class, id, off, not names"):
        start()


def test_administration_tells_whose_limits(start: Load, recorded: Recorded, launch: Launch) -> None:
    launch("admin").send("GET", "/entities/user:7/available?resource=gpt-4")
    annotations = recorded.trace().annotations
    assert annotations["operation"] == "available"
    assert (annotations["entity_class"], annotations["resource"]) == ("user", "gpt-4")
    assert annotations["verdict"] == "invalid"


def test_what_is_too_long_for_a_name_is_cut(
    start: Load, recorded: Recorded, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACE_ENTITIES", "id")
    answer = launch("admin").send("GET", f"/entities/{'e' * 5_000}/available?resource={'r' * 5_000}")
    assert answer.status == 400
    annotations = recorded.trace().annotations
    assert (annotations["entity_id"], annotations["resource"]) == ("e" * 256, "r" * 256)


def test_counting_tells_how_much(start: Load, recorded: Recorded, launch: Launch) -> None:
    answer = launch("aggregator").module.handler(load_event("aggregator_batch"), Context(left_ms=60_000))
    annotations = recorded.trace().annotations
    counted = {name: value for name, value in answer.items() if name != "batchItemFailures"}
    assert counted.items() <= annotations.items()
    assert annotations["round_trips"] == 2


@pytest.mark.parametrize(
    ("entity_id", "named"),
    [
        ("key:7f3a", "key"),
        ("api_key:x:y", "api_key"),
        ("alice@example.com:laptop", "none"),
        ("4711:x", "none"),
        ("Key:1", "none"),
        ("key-1", "none"),
        (":1", "none"),
        (f"{'k' * 33}:1", "none"),
    ],
)
def test_a_class_is_a_word_before_a_colon(entity_id: str, named: str) -> None:
    assert entity_class(entity_id) == named


@pytest.mark.parametrize(
    ("counted", "verdict"),
    [
        (("Granted",), "granted"),
        (("Granted", "Degraded", "Replayed"), "granted"),
        (("Refused", "CachedRefusals"), "refused"),
        (("Granted", "Granted"), "granted"),
        (("Granted", "Refused"), "mixed"),
    ],
)
def test_a_verdict_is_one_word(counted: tuple[str, ...], verdict: str) -> None:
    assert verdict_of(counted) == verdict
