"""The demonstration's own judgement of what it saw."""

import json
from collections.abc import Sequence

from leasegate.tracing import Document, Trace, read_traces
from scripts.api import Answer
from scripts.demo import LIMITS, Asked, check, spent
from scripts.ledger import Counted, Spent, await_counts
from scripts.traces.witness import witness

GRANTED = Answer(200, {}, json.dumps({"granted": True}).encode())
REFUSED = Answer(429, {}, json.dumps({"violated-policies": ["tpm"]}).encode())
FORBIDDEN = Answer(403, {}, b"{}")

# 10,000 tokens at 500 a request; a minute's refill is as much again.
CAPACITY = 20


def asked(*answers: Answer, seconds: float = 0.0) -> list[Asked]:
    return [Asked("ann", 0.0, seconds, answer) for answer in answers]


def test_the_numbers_here_are_those_of_the_demonstration() -> None:
    assert {limit.name: limit.capacity for limit in LIMITS} == {"rpm": 60, "tpm": CAPACITY * 500}


def test_the_capacity_and_a_refusal_pass() -> None:
    assert check(asked(*[GRANTED] * CAPACITY, REFUSED))


def test_one_grant_above_the_capacity_fails() -> None:
    assert not check(asked(*[GRANTED] * (CAPACITY + 1), REFUSED))


def test_what_flowed_back_while_it_ran_is_allowed() -> None:
    assert check(asked(*[GRANTED] * (CAPACITY + 1), REFUSED, seconds=3.0))
    assert not check(asked(*[GRANTED] * (CAPACITY + 2), REFUSED, seconds=3.0))


def test_a_run_without_a_refusal_or_without_a_grant_shows_nothing() -> None:
    assert not check(asked(*[GRANTED] * CAPACITY))
    assert not check(asked(REFUSED))


def test_any_other_answer_fails() -> None:
    assert not check(asked(GRANTED, REFUSED, FORBIDDEN))


# --- what was counted --------------------------------------------------------------------------------

SPENT = Spent("key-1", 2, {"rpm": 2, "tpm": 1_000})


def window(grants: int, rpm: int, tpm: int) -> dict[str, object]:
    return {"grants": grants, "limits": {"rpm": {"tokens": rpm}, "tpm": {"tokens": tpm}}}


class ScriptedApi:
    """Answers with these windows, one list after the other, and the last one for ever."""

    def __init__(self, *answers: Sequence[object]) -> None:
        self._answers = list(answers)
        self.asked = 0

    def get(self, path: str) -> Answer:
        assert path == "/entities/key-1/usage?resource=gpt-4&window=hour"
        self.asked += 1
        windows = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return Answer(200, {}, json.dumps({"items": windows}).encode())


def test_the_clients_spent_what_they_were_granted_together() -> None:
    assert spent(asked(GRANTED, REFUSED, GRANTED)) == SPENT


def test_two_hours_are_counted_together() -> None:
    assert Counted(SPENT, [window(1, 1, 500), window(1, 1, 500)]).is_right


def test_a_token_or_a_grant_too_few_or_too_many_is_wrong() -> None:
    for windows in ([], [window(2, 2, 999)], [window(2, 2, 1_001)], [window(1, 2, 1_000)], [window(2, 3, 1_000)]):
        assert not Counted(SPENT, windows).is_right


def test_it_is_asked_until_all_is_counted() -> None:
    api = ScriptedApi([], [window(1, 1, 500)], [window(2, 2, 1_000)])
    (counted,) = await_counts(api, [SPENT])  # type: ignore[arg-type]  # it only gets
    assert counted.is_right
    assert api.asked == 3


def test_what_is_never_counted_is_shown_as_it_is() -> None:
    api = ScriptedApi([window(1, 1, 500)])
    (counted,) = await_counts(api, [SPENT], deadline_s=0)  # type: ignore[arg-type]  # it only gets
    assert not counted.is_right
    assert counted.tokens("tpm") == 500


# --- what was recorded -------------------------------------------------------------------------------


def recorded(round_trips: int, *calls: tuple[str, int, int], **annotations: object) -> Trace:
    """Return the trace of a request; the times are ms."""
    trace_id = f"1-5759e988-{len(annotations):024x}"
    handler = {"id": "f", "name": "## handler", "trace_id": trace_id, "start_time": 0.0, "end_time": 1.0}
    noted = {"operation": "acquire", "verdict": "granted", "round_trips": round_trips, **annotations}
    documents: list[Document] = [{**handler, "annotations": noted}]
    for number, (operation, start_ms, end_ms) in enumerate(calls):
        times = {"start_time": start_ms / 1_000, "end_time": end_ms / 1_000}
        call = {"id": str(number), "name": "dynamodb", "namespace": "aws", "aws": {"operation": operation}}
        documents.append({**call, "trace_id": trace_id, "parent_id": "f", **times})
    (trace,) = read_traces(documents)
    return trace


def test_requests_that_ended_alike_are_counted_together() -> None:
    once = recorded(1, ("UpdateItem", 0, 5))
    cached = recorded(0, verdict="refused")
    counts = witness([once, once, cached, recorded(1, ("UpdateItem", 0, 5), verdict="refused")])

    assert {(seen.verdict, seen.calls, seen.depth): times for seen, times in counts.items()} == {
        ("granted", "UpdateItem", 1): 2,
        ("refused", "", 0): 1,
        ("refused", "UpdateItem", 1): 1,
    }
    assert all(seen.is_right for seen in counts)


def test_a_trace_that_is_less_deep_than_the_function_says_is_wrong() -> None:
    (one_call,) = witness([recorded(2, ("UpdateItem", 0, 5))])
    (side_by_side,) = witness([recorded(2, ("GetItem", 0, 5), ("UpdateItem", 1, 5))])

    assert not one_call.is_right
    assert not side_by_side.is_right


def test_what_goes_out_side_by_side_may_look_deeper_on_an_emulator() -> None:
    (seen,) = witness([recorded(1, ("UpdateItem", 0, 5), ("BatchGetItem", 6, 9))])

    assert seen.depth == 2
    assert seen.is_right


def test_what_no_request_began_is_not_counted() -> None:
    counting = recorded(1, ("UpdateItem", 0, 5))
    del counting.annotations["operation"]  # type: ignore[attr-defined]  # a dict, in truth
    assert not witness([counting])
