"""The acquire function on moto: every sample, every refusal, and what the metrics see of it."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from leasegate import Limit, Limiter
from leasegate.session import ANSWER_MARGIN_MS
from tests.fixtures.functions import TABLE_NAME, Launch
from tests.functions import Context, Function, Load, counts, lines, request
from tests.samples import ACQUIRE, EVENTS, load_event, seed

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ASK = {"entity_id": "key-1", "resource": "gpt-4", "consume": {"rpm": 1}}
RPM = {"name": "rpm", "amount": 60, "period": "minute"}
SLOW = {"name": "rpm", "amount": 1, "period": "day"}


@pytest.fixture
def start(launch: Launch) -> Load:
    """Start processes of the function, in the environment that the template gives it."""
    return lambda: launch("acquire")


@pytest.fixture
def function(moto_client: DynamoDBClient, start: Load) -> Function:
    """A cold process of the function, and its table."""
    return start()


# --- samples ---------------------------------------------------------------------------------------


def test_every_event_has_its_row_of_expectations() -> None:
    assert {path.stem for path in EVENTS.glob("acquire_*.json")} == set(ACQUIRE)


@pytest.mark.parametrize("name", ACQUIRE)
def test_a_sample_shows_its_case_as_often_as_it_runs(name: str, function: Function, limiter: Limiter) -> None:
    for _ in range(2):
        seed(limiter)
        response = function.invoke(load_event(name))
        assert response.status == ACQUIRE[name].status
        policies = [member.split(";")[0] for member in response.headers.get("RateLimit", "").split(",") if member]
        assert policies == [f'"{policy}"' for policy in ACQUIRE[name].policies]


WITHOUT_SEED = {
    "acquire_refused": (200, 429),
    "acquire_adjust": (404, 404),
    "acquire_settle": (404, 404),
    "acquire_release": (404, 404),
    "acquire_renew": (404, 404),
}


@pytest.mark.parametrize("name", ACQUIRE)
def test_without_the_seed_only_samples_of_what_it_stores_differ(name: str, function: Function) -> None:
    first, second = (function.invoke(load_event(name)).status for _ in range(2))
    assert (first, second) == WITHOUT_SEED.get(name, (ACQUIRE[name].status, ACQUIRE[name].status))


# --- answers ---------------------------------------------------------------------------------------


def test_a_grant_carries_what_is_left_and_what_it_cost(function: Function) -> None:
    first = function.post({**ASK, "limits": [RPM]})
    assert first.status == 200
    assert first.headers == {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "Leasegate-Round-Trips": "2",
        "RateLimit-Policy": '"rpm";q=60;w=60',
        "RateLimit": '"rpm";r=59;t=1',
    }
    assert first.body["granted"] is True
    assert first.body["limits"]["rpm"]["capacity"] == 60
    assert function.post({**ASK, "limits": [RPM]}).headers["Leasegate-Round-Trips"] == "1"


def test_a_refusal_says_when_to_come_back_and_costs_nothing_while_it_is_remembered(function: Function) -> None:
    ask = {**ASK, "limits": [SLOW]}
    assert function.post(ask).status == 200
    refused = [function.post(ask) for _ in range(2)]
    for response in refused:
        assert response.status == 429
        assert response.headers["Content-Type"] == "application/problem+json"
        assert response.headers["RateLimit-Policy"] == '"rpm";q=1;w=86400'
        assert response.headers["RateLimit"].startswith('"rpm";r=0;t=86')
        assert 86_390 <= int(response.headers["Retry-After"]) <= 86_400
        assert response.body["violated-policies"] == ["rpm"]
        assert response.body["granted"] is False
    assert [response.headers["Leasegate-Round-Trips"] for response in refused] == ["1", "0"]


def test_a_binary_body_is_read_too(function: Function) -> None:
    body = base64.b64encode(json.dumps({**ASK, "limits": [RPM]}).encode()).decode()
    event = request("POST", "/acquire", body) | {"isBase64Encoded": True}
    assert function.invoke(event).status == 200


def test_what_was_spent_over_http_is_spent_in_the_library(function: Function, limiter: Limiter) -> None:
    limiter.set_limits("key-1", [Limit.per_day("rpm", 10)], resource="gpt-4")
    function.post({**ASK, "consume": {"rpm": 7}})
    assert limiter.available("key-1", "gpt-4")["rpm"].available == 3


@pytest.mark.parametrize(
    ("status", "field", "body"),
    [
        (400, "body", "not JSON"),
        (400, "body", ""),
        (400, "tokens", {**ASK, "tokens": 1}),
        (400, "entity_id", {**ASK, "entity_id": 7}),
        (400, "consume", {**ASK, "consume": {}}),
        (400, "consume.rpm", {**ASK, "consume": {"rpm": -1}}),
        (400, "consume.rpm", {**ASK, "consume": {"rpm": 0.5}}),
        (400, "consume.rpm", {**ASK, "consume": {"rpm": 1.0}}),
        (422, "consume.rpm", {**ASK, "consume": {"rpm": 61}, "limits": [RPM]}),
        (400, "consume.tpm", {**ASK, "consume": {"tpm": 1}, "limits": [RPM]}),
        (400, "limits", {**ASK, "limits": [{**RPM, "name": f"limit-{number}"} for number in range(17)]}),
        (400, "limits", {**ASK, "limits": [RPM, RPM]}),
        (400, "limits", {**ASK, "limits": []}),
        (400, "entity_id", {**ASK, "entity_id": "key#1"}),
        (400, "consume", {**ASK, "consume": {"r#m": 1}}),
        (400, "entity_id", {**ASK, "entity_id": "k" * 257}),
        (400, "resource", {**ASK, "resource": "k" * 257}),
        (400, "parent_id", {**ASK, "parent_id": "key-1", "limits": [RPM]}),
        (400, "cascade", {**ASK, "cascade": "sometimes"}),
    ],
)
def test_a_mistake_is_a_problem_that_names_the_field(
    status: int, field: str, body: object, function: Function
) -> None:
    response = function.post(body)
    assert (response.status, response.body["field"]) == (status, field)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.body["detail"]
    assert "Retry-After" not in response.headers


def test_an_entity_without_limits_is_not_found(function: Function) -> None:
    response = function.post(ASK)
    assert response.status == 404
    assert "key-1" in response.body["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/acquire", 405), ("DELETE", "/acquire", 405), ("POST", "/", 404), ("POST", "/acquires", 404)],
)
def test_other_paths_and_methods_are_problems(method: str, path: str, status: int, function: Function) -> None:
    response = function.invoke(request(method, path, json.dumps(ASK)))
    assert (response.status, response.body["status"]) == (status, status)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers.get("Allow") == ("POST" if status == 405 else None)


def test_an_unexpected_failure_is_logged_whole_and_told_not_at_all(
    moto_client: DynamoDBClient, function: Function, capsys: pytest.CaptureFixture[str]
) -> None:
    moto_client.delete_table(TableName=TABLE_NAME)
    response = function.post(ASK)
    assert response.status == 500
    assert response.body == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "The request could not be answered. The cause was logged.",
    }
    (logged,) = [line for line in lines(capsys) if line.get("level") == "ERROR"]
    assert "ResourceNotFoundException" in logged["exception"]
    assert logged["correlation_id"] == "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"


# --- a table that does not answer ------------------------------------------------------------------


@pytest.fixture
def unreachable(start: Load, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Processes of the function whose table is at a port where nobody listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        monkeypatch.setenv("DYNAMODB_ENDPOINT", f"http://127.0.0.1:{reserved.getsockname()[1]}")
        yield start


IN_A_HURRY = Context(left_ms=ANSWER_MARGIN_MS + 200)


def test_no_answer_of_the_table_is_503_by_default(unreachable: Load, capsys: pytest.CaptureFixture[str]) -> None:
    response = unreachable().post(ASK, IN_A_HURRY)
    assert response.status == 503
    assert response.headers["Retry-After"] == "1"
    assert "Leasegate-Degraded" not in response.headers
    assert counts(capsys) == {"Failed": 1, "Unavailable": 1, "RoundTrips": 1}
    assert "127.0.0.1" not in json.dumps(response.body)


def test_no_answer_of_the_table_may_be_a_visible_grant(
    unreachable: Load,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("ON_UNAVAILABLE", "allow")
    response = unreachable().post(ASK, IN_A_HURRY)
    assert response.status == 200
    assert response.headers["Leasegate-Degraded"] == "true"
    assert response.body["degraded"] is True
    assert counts(capsys) == {"Granted": 1, "Degraded": 1, "RoundTrips": 1}
    (warning,) = [record for record in caplog.records if record.name == "leasegate"]
    assert warning.getMessage().startswith("allow gpt-4 for key-1 without the table: ")


def test_no_answer_of_the_table_may_be_a_refusal(
    unreachable: Load,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("ON_UNAVAILABLE", "refuse")
    response = unreachable().post(ASK, IN_A_HURRY)
    assert response.status == 503
    assert response.body["type"].endswith("#temporary-reduced-capacity")
    assert response.headers["Retry-After"] == "1"
    assert response.headers["Leasegate-Degraded"] == "true"
    assert (response.body["granted"], response.body["degraded"]) == (False, True)
    assert counts(capsys) == {"Refused": 1, "Degraded": 1, "RoundTrips": 1}
    (warning,) = [record for record in caplog.records if record.name == "leasegate"]
    assert warning.getMessage().startswith("refuse gpt-4 for key-1 without the table: ")


@pytest.mark.parametrize(("choice", "status", "name"), [("allow", 200, "Granted"), ("refuse", 503, "Refused")])
def test_what_is_answered_without_the_table_says_so_in_each_place_of_a_batch(
    unreachable: Load,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    choice: str,
    status: int,
    name: str,
) -> None:
    monkeypatch.setenv("ON_UNAVAILABLE", choice)
    asked = {"requests": [ASK, {**ASK, "entity_id": "key-2"}]}
    response = unreachable().post(asked, IN_A_HURRY, path="/acquire/batch")
    results = response.body["results"]
    assert [result["status"] for result in results] == [status] * 2
    assert [result["headers"]["Leasegate-Degraded"] for result in results] == ["true"] * 2
    assert [result["body"]["degraded"] for result in results] == [True] * 2
    assert counts(capsys) == {name: 2, "Degraded": 2, "RoundTrips": 1}


def test_without_time_left_the_table_is_not_asked(function: Function) -> None:
    response = function.post({**ASK, "limits": [RPM]}, Context(left_ms=ANSWER_MARGIN_MS))
    assert response.status == 503
    assert response.headers["Leasegate-Round-Trips"] == "1"  # which asked nothing


def test_a_snapshot_holds_the_client_but_nothing_drawn_at_random(
    moto_client: DynamoDBClient, start: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    module = start().module
    assert (module.client.cache_info().currsize, module.spender.cache_info().currsize) == (1, 0)


def test_the_stack_says_how_long_memory_answers(
    moto_client: DynamoDBClient, start: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {**ASK, "limits": [SLOW]}
    for age_ms, round_trips in (("1000", "0"), ("0", "1")):
        monkeypatch.setenv("REFUSAL_MAX_AGE_MS", age_ms)
        function = start()
        answers = [function.post(asked) for _ in range(3)]
        assert answers[2].status == 429
        assert answers[2].headers["Leasegate-Round-Trips"] == round_trips


# --- metrics ---------------------------------------------------------------------------------------


def test_every_verdict_is_counted_with_its_round_trips(
    function: Function, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    for body in ({**ASK, "limits": [SLOW]}, {**ASK, "limits": [SLOW]}, {**ASK, "limits": [SLOW]}, {}):
        function.post(body)
        seen.append(counts(capsys))
    function.invoke(request("GET", "/acquire"))
    seen.append(counts(capsys))
    assert seen == [
        {"Granted": 1, "RoundTrips": 2},
        {"Refused": 1, "RoundTrips": 1},
        {"Refused": 1, "CachedRefusals": 1, "RoundTrips": 0},
        {"Invalid": 1, "RoundTrips": 0},
        {"Invalid": 1, "RoundTrips": 0},
    ]
