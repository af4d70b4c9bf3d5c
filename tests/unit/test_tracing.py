"""What is read out of X-Ray's documents: calls, their steps, and where the time went."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leasegate import InvalidRequest
from leasegate.tracing import Document, Trace, read_traces

TRACE_ID = "1-5759e988-bd862e3fe1be46a994272793"
HANDLER_ID = "00000000000000ff"
BEGAN_S = 1_795_258_923.0


def call(operation: str, start_ms: float, end_ms: float, *, number: int = 0, **fields: object) -> dict[str, Any]:
    """Return the subsegment of a call, as the SDK sends it; times in ms since the request began."""
    return {
        "id": f"{hash((operation, start_ms, end_ms, number)) & (1 << 64) - 1:016x}",
        "name": "dynamodb",
        "type": "subsegment",
        "namespace": "aws",
        "trace_id": TRACE_ID,
        "parent_id": HANDLER_ID,
        "start_time": BEGAN_S + start_ms / 1_000,
        "end_time": BEGAN_S + end_ms / 1_000,
        "in_progress": False,
        "http": {"response": {"status": 200}},
        "aws": {"operation": operation, "region": "us-east-1"},
        **fields,
    }


def handler(start_ms: float, end_ms: float, **fields: object) -> dict[str, Any]:
    """Return the subsegment of Powertools around a handler."""
    return {
        "id": HANDLER_ID,
        "name": "## handler",
        "type": "subsegment",
        "trace_id": TRACE_ID,
        "parent_id": "53995c3f42cd8ad8",
        "start_time": BEGAN_S + start_ms / 1_000,
        "end_time": BEGAN_S + end_ms / 1_000,
        **fields,
    }


def read(*documents: Document | str) -> Trace:
    (trace,) = read_traces(documents)
    return trace


CASCADE = (
    handler(0, 50),
    call("BatchGetItem", 1, 20),
    call("UpdateItem", 21, 40, number=1),
    call("UpdateItem", 22, 45, number=2),
)


# --- order -----------------------------------------------------------------------------------------


def test_calls_are_in_order_and_side_by_side() -> None:
    trace = read(*reversed(CASCADE))
    assert trace.operations == ("BatchGetItem", "UpdateItem", "UpdateItem")
    assert trace.depth == 2
    assert [[call.operation for call in step] for step in trace.steps] == [
        ["BatchGetItem"],
        ["UpdateItem", "UpdateItem"],
    ]
    assert [call.step for call in trace.calls] == [1, 2, 2]


def test_calls_one_after_the_other_are_as_deep_as_they_are_many() -> None:
    trace = read(*[call("GetItem", 10 * number, 10 * number + 10) for number in range(7)])
    assert trace.depth == len(trace.calls) == 7


def test_a_long_call_beside_two_short_ones_does_not_hide_that_these_waited() -> None:
    trace = read(call("UpdateItem", 0, 100), call("GetItem", 1, 10), call("GetItem", 20, 30))
    assert [call.step for call in trace.calls] == [1, 1, 2]


def test_a_trace_without_calls_is_of_no_depth() -> None:
    trace = read(handler(0, 5))
    assert (trace.operations, trace.steps, trace.depth, trace.dynamodb_s) == ((), (), 0, 0)
    assert round(1_000 * trace.code_s) == 5


def longest_chain(intervals: Sequence[tuple[int, int]]) -> int:
    """Try every choice of calls."""
    return max(
        size
        for size in range(len(intervals) + 1)
        for chosen in combinations(sorted(intervals), size)
        if all(first[1] <= second[0] for first, second in pairwise(chosen))
    )


intervals = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 12)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=9
)


@given(intervals)
def test_the_depth_is_the_longest_chain_of_calls(drawn: list[tuple[int, int]]) -> None:
    documents = [call("GetItem", start, end, number=number) for number, (start, end) in enumerate(drawn)]
    trace = read(handler(0, 50), *documents)
    assert trace.depth == longest_chain(drawn)
    for step in trace.steps:
        assert max(call.start_s for call in step) < min(call.end_s for call in step), "side by side"


@given(intervals)
def test_the_time_in_dynamodb_counts_no_moment_twice(drawn: list[tuple[int, int]]) -> None:
    documents = [call("GetItem", start, end, number=number) for number, (start, end) in enumerate(drawn)]
    trace = read(handler(0, 50), *documents)
    busy_ms = {moment for start, end in drawn for moment in range(start, end)}
    assert round(1_000 * trace.dynamodb_s) == len(busy_ms)
    assert round(1_000 * trace.code_s) == 50 - len(busy_ms)


# --- what is no further call -------------------------------------------------------------------------


def test_nested_documents_read_as_those_that_came_one_by_one() -> None:
    nested = {**CASCADE[0], "subsegments": [{**part} for part in CASCADE[1:]]}
    for part in nested["subsegments"]:
        del part["trace_id"], part["parent_id"]
    assert read(nested) == read(*CASCADE) == read(json.dumps(nested))


def test_a_document_that_comes_twice_counts_once() -> None:
    nested = {**CASCADE[0], "subsegments": list(CASCADE[1:])}
    assert read(*CASCADE, nested, *CASCADE) == read(*CASCADE)


def test_an_unfinished_copy_gives_way_to_the_finished_one() -> None:
    begun = {name: value for name, value in CASCADE[1].items() if name != "end_time"} | {"in_progress": True}
    assert read(*CASCADE, begun) == read(begun, *CASCADE) == read(*CASCADE)
    assert read(*CASCADE).is_complete


def test_what_has_not_ended_is_left_out_and_said_to_be_missing() -> None:
    begun = {**call("UpdateItem", 21, 40, number=3), "in_progress": True}
    del begun["end_time"]
    trace = read(*CASCADE, begun)
    assert len(trace.calls) == 3
    assert not trace.is_complete


def test_segments_that_are_inferred_of_calls_are_none() -> None:
    inferred = [
        {
            "id": f"{number:016x}",
            "name": "leasegate-Table-1",
            "trace_id": TRACE_ID,
            "parent_id": part["id"],
            "start_time": part["start_time"],
            "end_time": part["end_time"],
            "origin": "AWS::DynamoDB::Table",
            "inferred": True,
            "aws": part["aws"],
        }
        for number, part in enumerate(CASCADE[1:])
    ]
    assert read(*CASCADE, *inferred) == read(*CASCADE)


def test_calls_of_other_services_are_spans() -> None:
    trace = read(*CASCADE, {**call("SendMessageBatch", 46, 48), "name": "sqs"})
    assert len(trace.calls) == 3
    assert [span.name for span in trace.spans] == ["## handler", "sqs"]


def test_an_sdk_of_another_name_is_read_as_well() -> None:
    trace = read({**call("GetItem", 0, 5), "name": "DynamoDB", "aws": {"operation": "GetItem", "retries": 2}})
    assert [(call.operation, call.attempts) for call in trace.calls] == [("GetItem", 3)]


def test_a_repeated_attempt_belongs_to_the_call_that_failed() -> None:
    trace = read(
        handler(0, 60),
        call("UpdateItem", 0, 10, number=1),
        call("UpdateItem", 0, 12, number=2, throttle=True, error=True),
        call("UpdateItem", 20, 30, annotations={"attempt": 2}, fault=True),
        call("UpdateItem", 40, 50, annotations={"attempt": 3}),
        call("GetItem", 51, 59),
    )
    assert [(call.operation, call.attempts, call.verdict, call.step) for call in trace.calls] == [
        ("UpdateItem", 1, "answered", 1),
        ("UpdateItem", 3, "answered", 1),
        ("GetItem", 1, "answered", 2),
    ]
    assert (trace.depth, trace.attempts) == (2, 5)
    assert round(1_000 * trace.dynamodb_s) == 58, "with its pauses: it was waited for"


def test_calls_side_by_side_are_each_repeated_by_themselves() -> None:
    failed = [call("UpdateItem", 0, 10, number=number, throttle=True) for number in range(2)]
    again = [call("UpdateItem", 20, 30, number=number, annotations={"attempt": 2}) for number in range(2, 4)]
    trace = read(handler(0, 60), *failed, *again)
    assert [(call.attempts, call.verdict) for call in trace.calls] == [(2, "answered")] * 2
    assert trace.depth == 1


def test_an_attempt_whose_first_is_not_there_is_a_call_of_its_own() -> None:
    trace = read(call("UpdateItem", 0, 10), call("UpdateItem", 20, 30, annotations={"attempt": 2}))
    assert [call.attempts for call in trace.calls] == [1, 1]


# --- verdicts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({}, "answered"),
        ({"annotations": {"refused": True}}, "refused"),
        (
            {
                "error": True,
                "fault": True,
                "cause": {"exceptions": [{"type": "ConditionalCheckFailedException", "message": "no"}]},
            },
            "refused",
        ),
        ({"error": True, "cause": {"exceptions": [{"type": "ValidationException"}]}}, "failed"),
        ({"fault": True, "cause": "8f2b3c4d5e6f7a8b"}, "failed"),
        ({"throttle": True}, "failed"),
    ],
)
def test_a_refused_condition_is_an_answer(fields: Mapping[str, Any], verdict: str) -> None:
    trace = read(handler(0, 10), call("UpdateItem", 0, 5, **fields))
    assert [call.verdict for call in trace.calls] == [verdict]
    assert trace.is_failed == (verdict == "failed")


def test_a_handler_that_failed_is_seen() -> None:
    assert read(handler(0, 10, fault=True)).is_failed
    assert not read(handler(0, 10)).is_failed


def test_a_gateway_that_passes_a_refusal_on_has_not_failed() -> None:
    assert not read(handler(0, 10, error=True, throttle=True)).is_failed


# --- traces -----------------------------------------------------------------------------------------


def test_documents_of_several_traces_are_told_apart() -> None:
    later = {**call("GetItem", 900, 950), "trace_id": "1-5759e989-000000000000000000000001"}
    first, second = read_traces([later, *CASCADE])
    assert (first.trace_id, second.trace_id) == (TRACE_ID, later["trace_id"])
    assert (first.depth, second.depth) == (2, 1)
    assert read_traces([]) == ()


def test_annotations_are_those_of_the_functions_and_not_of_their_calls() -> None:
    documents = [
        handler(0, 10, annotations={"verdict": "granted", "round_trips": 1}),
        call("UpdateItem", 0, 5, annotations={"refused": True}),
    ]
    assert read(*documents).annotations == {"verdict": "granted", "round_trips": 1}


def test_without_a_handler_the_function_is_where_code_runs() -> None:
    function = {**handler(0, 30), "name": "leasegate-Acquire", "origin": "AWS::Lambda::Function"}
    gateway = {
        **handler(-10, 45),
        "id": "00000000000000aa",
        "name": "leasegate/v1",
        "origin": "AWS::ApiGateway::Stage",
    }
    trace = read(gateway, function, call("UpdateItem", 5, 15))
    assert [span.name for span in trace.handlers] == ["leasegate-Acquire"]
    assert round(1_000 * trace.code_s) == 20
    assert round(1_000 * (trace.end_s - trace.start_s)) == 55


# --- bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", r"documents\[1\]: is no JSON"),
        ("[]", r"documents\[1\]: must be an object"),
        ({}, r"documents\[1\].trace_id: is missing"),
        ({**CASCADE[1], "id": 7}, r"documents\[1\].id: .*7"),
        ({**CASCADE[1], "name": None}, r"documents\[1\].name"),
        ({**CASCADE[1], "start_time": "now"}, r"documents\[1\].start_time: .*'now'"),
        ({**CASCADE[1], "end_time": True}, r"documents\[1\].end_time"),
        (
            {**CASCADE[0], "subsegments": [CASCADE[1], {**CASCADE[2], "id": None}]},
            r"documents\[1\].subsegments\[1\].id",
        ),
        ({**CASCADE[0], "subsegments": ["x"]}, r"documents\[1\].subsegments\[0\]: must be an object"),
    ],
)
def test_what_x_ray_cannot_have_written_is_named(document: Document | str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        read_traces([CASCADE[0], document])
