"""The acquire function on moto: idempotency keys, durable leases, batches and adjustments, and whose they are."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from http_sfv.list import List

from leasegate import Limit, Limiter
from leasegate.http.routes import SPENDING
from leasegate.session import ANSWER_MARGIN_MS
from tests.contract import check_reply
from tests.fixtures.functions import TABLE_NAME, Launch
from tests.functions import OPERATOR, Context, Function, Load, Response, counts, lines, request

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

RPM = {"name": "rpm", "amount": 60, "period": "minute"}
RPD = {"name": "rpd", "amount": 1, "period": "day", "burst": 100}
STREAMS = {"name": "streams", "concurrent": 2, "lease_seconds": 60}
ASK: dict[str, Any] = {"entity_id": "key-1", "resource": "gpt-4", "consume": {"rpd": 10}, "limits": [RPD]}

KEY = {"Idempotency-Key": '"8e03978e-40d5-43e8-bc93-6894a57f9324"'}
SOMEBODY_ELSE = "arn:aws:iam::123456789012:user/somebody-else"


@pytest.fixture
def start(launch: Launch) -> Load:
    """Start processes of the function."""
    return lambda: launch("acquire")


@pytest.fixture
def function(moto_client: DynamoDBClient, start: Load) -> Function:
    """A cold process of the function, and its table."""
    return start()


class Clock:
    """The time of all processes: it goes on by itself, and further where a test says so."""

    def __init__(self) -> None:
        self.ahead_ns = 0
        self._time_ns = time.time_ns

    def __call__(self) -> int:
        return self._time_ns() + self.ahead_ns

    def wait(self, seconds: int) -> None:
        self.ahead_ns += seconds * 10**9


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time_ns", clock)
    return clock


def text_of(function: Function, body: object, path: str = "/acquire") -> str:
    """Send a request under the key and return the body of the answer as it is, to the byte."""
    answer = function.module.handler(request("POST", path, json.dumps(body), KEY), Context())
    assert answer["statusCode"] == 200
    text: str = answer["body"]
    return text


def left(limiter: Limiter, name: str = "rpd", entity_id: str = "key-1") -> int:
    """Return what is left of a limit now."""
    limits = [Limit.per_day("rpd", 1, burst=100), Limit.concurrent("streams", 2, 60)]
    return limiter.available(entity_id, "gpt-4", limits=limits)[name].available


def acquired(function: Function, **fields: object) -> str:
    """Acquire a durable lease and return its id."""
    response = function.post({**ASK, "durable": True, **fields})
    assert response.status == 200
    lease_id: str = response.body["lease"]["id"]
    return lease_id


def end(
    function: Function,
    lease_id: str,
    how: str = "settle",
    body: object = None,
    context: Context | None = None,
    **options: Any,  # noqa: ANN401 - those of Function.post
) -> Response:
    """Settle, release or renew a lease."""
    return function.post(body, context, path=f"/leases/{lease_id}/{how}", **options)


def test_every_route_has_an_operation_and_no_operation_is_without(function: Function) -> None:
    assert set(function.module.OPERATIONS) == {route.operation for route in SPENDING}


# --- idempotency keys ------------------------------------------------------------------------------


def test_under_one_key_it_is_spent_once_and_answered_the_same(function: Function, limiter: Limiter) -> None:
    first, again = [function.post(ASK, headers=KEY) for _ in range(2)]
    assert (first.status, again.status) == (200, 200)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert first.headers["RateLimit"] == again.headers["RateLimit"]
    assert again.body == first.body
    assert first.body["lease"]["id"]
    assert left(limiter) == 90


def test_a_replay_is_the_first_answer_to_the_byte_whoever_gives_it_and_whatever_has_changed(
    start: Load, function: Function, limiter: Limiter
) -> None:
    limiter.set_limits("key-1", [Limit.per_day("rpd", 1, burst=100)], resource="gpt-4")
    first = text_of(function, ASK)
    limiter.acquire("key-1", "gpt-4", {"rpd": 7})
    limiter.set_limits("key-1", [Limit.per_day("rpd", 1, burst=5)], resource="gpt-4")
    assert text_of(function, ASK) == first
    assert text_of(start(), ASK) == first
    limiter.disable_entity("key-1")
    assert text_of(function, ASK) == first
    assert text_of(start(), ASK) == first


def test_a_replay_of_places_held_is_the_first_answer_to_the_byte(start: Load, function: Function) -> None:
    ask = {**ASK, "consume": {"rpd": 1, "streams": 1}, "limits": [RPD, STREAMS]}
    assert function.post({**ask, "entity_id": "key-1"}).status == 200
    first = text_of(function, ask)
    assert text_of(function, ask) == first
    assert text_of(start(), ask) == first


def test_what_was_granted_under_a_key_stays_granted_while_a_refusal_is_remembered(function: Function) -> None:
    first = text_of(function, {**ASK, "consume": {"rpd": 100}})
    refused = [function.post(ASK) for _ in range(2)]
    assert [response.headers["Leasegate-Round-Trips"] for response in refused] == ["1", "0"]
    assert text_of(function, {**ASK, "consume": {"rpd": 100}}) == first


def test_a_refusal_is_not_remembered_under_the_key(function: Function, limiter: Limiter, clock: Clock) -> None:
    assert function.post({**ASK, "consume": {"rpd": 100}}).status == 200
    assert function.post(ASK, headers=KEY).status == 429
    limiter.reset("key-1", "gpt-4")
    clock.wait(2)
    granted = function.post(ASK, headers=KEY)
    assert (granted.status, "Idempotent-Replayed" in granted.headers) == (200, False)


@pytest.mark.parametrize(
    "other", [{"consume": {"rpd": 11}}, {"entity_id": "key-2"}, {"expires_in": 60}, {"cascade": False}]
)
def test_one_key_for_something_else_is_unprocessable(other: dict[str, object], function: Function) -> None:
    assert function.post(ASK, headers=KEY).status == 200
    response = function.post({**ASK, **other}, headers=KEY)
    assert response.status == 422
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "RateLimit" not in response.headers


def test_an_adjustment_under_the_key_of_an_acquire_is_unprocessable(function: Function) -> None:
    assert function.post(ASK, headers=KEY).status == 200
    asked = {"entity_id": "key-1", "resource": "gpt-4", "adjust": {"rpd": 10}}
    assert function.post(asked, headers=KEY, path="/adjust").status == 422


@pytest.mark.parametrize("spelling", ["Idempotency-Key", "idempotency-key", "IDEMPOTENCY-KEY"])
def test_a_key_is_the_same_bare_or_as_a_string_under_any_spelling_of_the_header(
    spelling: str, function: Function
) -> None:
    assert "Idempotent-Replayed" not in function.post(ASK, headers={"Idempotency-Key": "a b"}).headers
    assert "Idempotent-Replayed" in function.post(ASK, headers={spelling: '"a b"'}).headers


@pytest.mark.parametrize("value", ["", '""', '"a', '"a" b', "k" * 256, "ключ"])
def test_a_key_that_cannot_be_names_its_header(value: str, function: Function) -> None:
    response = function.post(ASK, headers={"Idempotency-Key": value})
    assert (response.status, response.body["field"]) == (400, "Idempotency-Key")
    assert response.headers["Leasegate-Round-Trips"] == "0"


@pytest.mark.parametrize(
    "headers",
    [
        {"Idempotency-Key": ["a", "b"]},
        {"Idempotency-Key": ["a", "a"]},
        {"Idempotency-Key": ["a"], "idempotency-key": ["a"]},
    ],
)
def test_a_key_given_twice_names_its_header(headers: dict[str, list[str]], function: Function) -> None:
    event = request("POST", "/acquire", json.dumps(ASK)) | {"multiValueHeaders": headers}
    response = function.invoke(event)
    assert (response.status, response.body["field"]) == (400, "Idempotency-Key")
    assert "twice" in response.body["detail"]


def test_an_event_written_by_hand_may_have_the_simple_headers_alone(function: Function) -> None:
    event = request("POST", "/acquire", json.dumps(ASK), KEY)
    del event["multiValueHeaders"]
    assert "lease" in function.invoke(event).body


def test_keys_of_two_callers_do_not_meet(function: Function, limiter: Limiter) -> None:
    first = function.post(ASK, headers=KEY)
    second = function.post({**ASK, "consume": {"rpd": 11}}, headers=KEY, signer=SOMEBODY_ELSE)
    assert (first.status, second.status) == (200, 200)
    assert "Idempotent-Replayed" not in second.headers
    assert left(limiter) == 79


ROLE = "arn:aws:sts::123456789012:assumed-role"


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        (f"{ROLE}/Gateway/i-0a1", f"{ROLE}/Gateway/i-0a2", True),
        (f"{ROLE}/Gateway/ann@example.com", f"{ROLE}/Gateway/i-0a2", True),
        (f"{ROLE}/Gateway/i-0a1", f"{ROLE}/Gateway2/i-0a1", False),
        (f"{ROLE}/Gateway/i-0a1", f"{ROLE.replace('123456789012', '210987654321')}/Gateway/i-0a1", False),
        (f"{ROLE}/Gateway/i-0a1", f"{ROLE.replace('arn:aws:', 'arn:aws-cn:')}/Gateway/i-0a1", False),
        ("arn:aws-us-gov:sts::1:assumed-role/R/a", "arn:aws-us-gov:sts::1:assumed-role/R/b", True),
        ("arn:aws:iam::1:user/team/ann", "arn:aws:iam::1:user/team/bob", False),
        ("arn:aws:sts::1:federated-user/ann", "arn:aws:sts::1:federated-user/bob", False),
    ],
)
def test_sessions_of_one_role_are_one_caller_and_nobody_else_is(
    first: str, second: str, is_one: bool, function: Function
) -> None:
    assert function.post(ASK, headers=KEY, signer=first).status == 200
    response = function.post(ASK, headers=KEY, signer=second)
    assert response.status == 200
    assert ("Idempotent-Replayed" in response.headers) is is_one


# --- durable leases --------------------------------------------------------------------------------


def test_a_lease_is_settled_with_what_was_really_used(function: Function, start: Load, limiter: Limiter) -> None:
    lease_id = acquired(function)
    settled = end(start(), lease_id, body={"actual": {"rpd": 3}})
    assert settled.status == 200
    assert settled.body.pop("ended_at_ms") == pytest.approx(time.time_ns() // 10**6, abs=60_000)
    assert settled.body == {"lease_id": lease_id, "outcome": "settled", "consumed": {"rpd": 3}}
    assert settled.headers["Leasegate-Round-Trips"] == "1"
    assert left(limiter) == 97


@pytest.mark.parametrize("body", [None, {}])
def test_a_lease_settled_without_a_word_keeps_what_it_acquired(
    body: object, function: Function, limiter: Limiter
) -> None:
    assert end(function, acquired(function), body=body).body["consumed"] == {"rpd": 10}
    assert left(limiter) == 90


@pytest.mark.parametrize("body", [None, {}])
def test_a_released_lease_gives_everything_back(body: object, function: Function, limiter: Limiter) -> None:
    released = end(function, acquired(function), "release", body)
    assert (released.body["outcome"], released.body["consumed"]) == ("released", {"rpd": 0})
    assert left(limiter) == 100


def test_a_lease_ends_once_and_a_repetition_says_how(function: Function, start: Load, limiter: Limiter) -> None:
    lease_id = acquired(function)
    first = end(function, lease_id, body={"actual": {"rpd": 3}})
    again = [
        end(function, lease_id, body={"actual": {"rpd": 3}}),
        end(start(), lease_id, body={"actual": {"rpd": 7}}),
        end(start(), lease_id, "release"),
    ]
    assert "Idempotent-Replayed" not in first.headers
    for response in again:
        assert response.status == 200
        assert response.headers["Idempotent-Replayed"] == "true"
        assert response.body == first.body
    assert left(limiter) == 97


def test_a_lease_answers_to_its_name_without_the_ticket_too(function: Function, limiter: Limiter) -> None:
    name = acquired(function).partition(".")[0]
    settled = end(function, name, body={"actual": {"rpd": 3}})
    assert (settled.status, settled.body["lease_id"]) == (200, name)
    assert left(limiter) == 97


@pytest.mark.parametrize("how", ["settle", "release", "renew"])
def test_a_lease_is_nobody_elses(how: str, function: Function, limiter: Limiter) -> None:
    lease_id = acquired(function)
    response = end(function, lease_id, how, signer=SOMEBODY_ELSE)
    assert (response.status, response.headers["Content-Type"]) == (404, "application/problem+json")
    assert left(limiter) == 90
    assert end(function, lease_id, how).status == 200


def test_a_session_of_the_same_role_may_end_a_lease(function: Function) -> None:
    response = function.post({**ASK, "durable": True}, signer=f"{ROLE}/Gateway/i-0a1")
    assert end(function, response.body["lease"]["id"], signer=f"{ROLE}/Gateway/i-0a2").status == 200


@pytest.mark.parametrize("how", ["settle", "release", "renew"])
@pytest.mark.parametrize("lease_id", ["x" * 22, "x" * 22 + ".eJw", "x", "x" * 2_000, "x" * 21 + "."])
def test_a_lease_that_does_not_exist_is_not_found(lease_id: str, how: str, function: Function) -> None:
    assert end(function, lease_id, how).status == 404


@pytest.mark.parametrize("how", ["settle", "release", "renew"])
def test_a_lease_whose_time_is_over_is_a_conflict(how: str, function: Function, clock: Clock) -> None:
    lease_id = acquired(function, expires_in=60)
    clock.wait(61)
    response = end(function, lease_id, how)
    assert (response.status, response.headers["Content-Type"]) == (409, "application/problem+json")
    assert "expired" in response.body["detail"]


def test_a_renewed_lease_lives_on(function: Function, clock: Clock) -> None:
    lease_id = acquired(function, expires_in=60)
    clock.wait(40)
    now_ms = time.time_ns() // 10**6
    renewed = end(function, lease_id, "renew", {"expires_in": 300})
    assert renewed.status == 200
    assert renewed.body == {
        "lease_id": lease_id,
        "expires_at_ms": pytest.approx(now_ms + 300_000, abs=60_000),
        "held_until_ms": None,
    }
    clock.wait(200)
    by_itself = end(function, lease_id, "renew").body["expires_at_ms"]
    assert by_itself == pytest.approx(time.time_ns() // 10**6 + 60_000, abs=30_000)
    assert end(function, lease_id).status == 200


def test_a_lease_that_ended_cannot_be_renewed(function: Function) -> None:
    lease_id = acquired(function, expires_in=60)
    end(function, lease_id)
    assert end(function, lease_id, "renew").status == 409


def test_a_lease_that_holds_places_can_be_ended_though_nobody_asked_for_that(
    function: Function, start: Load, limiter: Limiter
) -> None:
    ask = {**ASK, "consume": {"streams": 1}, "limits": [STREAMS, RPD]}
    first, second = function.post(ask), function.post(ask)
    assert function.post(ask).status == 429
    lease = first.body["lease"]
    assert lease["held_until_ms"] == pytest.approx(time.time_ns() // 10**6 + 60_000, abs=30_000)
    assert lease["id"] != second.body["lease"]["id"]
    renewed = end(start(), lease["id"], "renew")
    assert renewed.body["held_until_ms"] >= lease["held_until_ms"]
    assert end(start(), lease["id"]).status == 200
    assert start().post(ask).status == 200


def test_a_lease_that_is_told_not_to_be_durable_is_not(function: Function) -> None:
    ask = {**ASK, "consume": {"streams": 1}, "limits": [STREAMS]}
    assert "lease" not in function.post({**ask, "durable": False}).body
    assert "lease" not in function.post(ASK).body


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("expires_in", {"expires_in": 60}),
        ("expires_in", {"expires_in": 60, "durable": False}),
        ("on_expiry", {"durable": True, "on_expiry": "keep"}),
        ("durable", {"durable": "yes"}),
    ],
)
def test_terms_that_cannot_be_are_named(field: str, body: dict[str, object], function: Function) -> None:
    response = function.post({**ASK, **body})
    assert (response.status, response.body["field"]) == (400, field)


def test_a_key_makes_the_lease_durable_so_that_it_may_expire(function: Function) -> None:
    assert function.post({**ASK, "expires_in": 60, "on_expiry": "keep"}, headers=KEY).status == 200


@pytest.mark.parametrize(
    ("how", "field", "body"),
    [
        ("settle", "actual.tpm", {"actual": {"tpm": 1}}),
        ("settle", "actual.rpd", {"actual": {"rpd": -1}}),
        ("settle", "body", []),
        ("release", "actual", {"actual": {"rpd": 1}}),
        ("renew", "expires_in", {"expires_in": 0}),
        ("renew", "expires_in", {"expires_in": 60}),  # it does not expire at all
    ],
)
def test_a_mistake_about_a_lease_names_the_field_and_leaves_it_open(
    how: str, field: str, body: object, function: Function
) -> None:
    lease_id = acquired(function)
    response = end(function, lease_id, how, body)
    assert (response.status, response.body["field"]) == (400, field)
    assert "Idempotent-Replayed" not in end(function, lease_id).headers


@pytest.mark.parametrize("how", ["settle", "release", "renew"])
def test_a_key_is_welcome_where_nothing_happens_twice_anyway(how: str, function: Function) -> None:
    lease_id = acquired(function)
    assert end(function, lease_id, how, headers={"Idempotency-Key": '"not even a string'}).status == 200


# --- batches ---------------------------------------------------------------------------------------


def batch(function: Function, *asked: object, **options: Any) -> Response:  # noqa: ANN401 - those of Function.post
    """Send a batch; hold each verdict to what the document says of POST /acquire."""
    response = function.post({"requests": asked}, path="/acquire/batch", **options)
    assert response.status == 200
    assert len(response.body["results"]) == len(asked)
    for result in response.body["results"]:
        kind = "json" if result["status"] == 200 else "problem+json"
        headers = {**result["headers"], "Content-Type": f"application/{kind}"}
        check_reply("POST", "/acquire", result["status"], headers, json.dumps(result["body"]))
    return response


def test_each_of_a_batch_gets_its_own_verdict_in_its_place(
    function: Function, limiter: Limiter, capsys: pytest.CaptureFixture[str]
) -> None:
    limiter.create_entity("off")
    limiter.disable_entity("off")
    function.post({**ASK, "consume": {"rpd": 0}})
    capsys.readouterr()
    response = batch(
        function,
        ASK,
        {**ASK, "consume": {"rpd": 91}},
        {**ASK, "consume": {"rpd": -1}},
        {**ASK, "entity_id": "key-2", "limits": [RPM], "consume": {"rpm": 1}, "durable": True},
        {**ASK, "entity_id": "unknown", "limits": None},
        "nothing",
        {"entity_id": "unknown", "resource": "gpt-4", "consume": {"rpd": 1}},
        {**ASK, "consume": {"rpd": 101}},
        {**ASK, "entity_id": "off"},
        {**ASK, "expires_in": 60},
        ASK,
    )
    results = response.body["results"]
    assert [result["status"] for result in results] == [200, 429, 400, 200, 400, 400, 404, 422, 403, 400, 200]
    fields = {place: result["body"]["field"] for place, result in enumerate(results) if "field" in result["body"]}
    assert fields == {2: "consume.rpd", 4: "limits", 5: "body", 7: "consume.rpd", 9: "expires_in"}
    assert int(results[1]["headers"]["Retry-After"]) > 0
    assert results[3]["body"]["lease"]["id"]
    assert left(limiter) == 80
    assert counts(capsys) == {
        "Granted": 3,
        "GuessesMissed": 2,  # of two buckets that are not as this instance took them to be
        "Refused": 1,
        "Invalid": 6,
        "Disabled": 1,
        "RoundTrips": float(response.headers["Leasegate-Round-Trips"]),
    }


def test_a_verdict_of_a_batch_is_what_it_would_be_alone(function: Function) -> None:
    function.post(ASK)
    alone = function.post({**ASK, "entity_id": "key-2"})
    (result,) = batch(function, {**ASK, "entity_id": "key-3"}).body["results"]
    expected = {name: value for name, value in alone.headers.items() if name.startswith("RateLimit")}
    assert result["headers"] == expected
    assert {**result["body"], "entity_id": "key-2"} == alone.body


def test_the_known_buckets_of_a_batch_are_one_round_trip(function: Function) -> None:
    asked = [{**ASK, "entity_id": f"key-{number}"} for number in range(3)]
    batch(function, *asked)
    assert batch(function, *asked, *asked).headers["Leasegate-Round-Trips"] == "1"


def test_what_cannot_be_read_costs_no_round_trip(function: Function) -> None:
    response = batch(function, {}, [], {**ASK, "more": 1})
    assert [result["body"]["field"] for result in response.body["results"]] == ["entity_id", "body", "more"]
    assert response.headers["Leasegate-Round-Trips"] == "0"


def test_keys_of_a_batch_are_those_of_the_header(
    function: Function, limiter: Limiter, capsys: pytest.CaptureFixture[str]
) -> None:
    first = function.post(ASK, headers=KEY)
    capsys.readouterr()
    keyed = {**ASK, "idempotency_key": KEY["Idempotency-Key"].strip('"')}
    replayed, conflict, bad = batch(
        function, keyed, {**keyed, "consume": {"rpd": 11}}, {**ASK, "idempotency_key": ""}
    ).body["results"]
    assert replayed["body"] == first.body
    assert replayed["headers"]["Idempotent-Replayed"] == "true"
    assert conflict["status"] == 422
    assert (bad["status"], bad["body"]["field"]) == (400, "idempotency_key")
    assert left(limiter) == 90
    counted = counts(capsys)
    assert (counted["Granted"], counted["Replayed"], counted["Invalid"]) == (1, 1, 2)


def test_leases_of_a_batch_are_the_callers(function: Function) -> None:
    (result,) = batch(function, {**ASK, "durable": True}).body["results"]
    lease_id = result["body"]["lease"]["id"]
    assert end(function, lease_id, signer=SOMEBODY_ELSE).status == 404
    assert end(function, lease_id).status == 200


def test_a_batch_takes_no_key_for_the_whole_of_it(function: Function) -> None:
    response = function.post({"requests": [ASK]}, path="/acquire/batch", headers=KEY)
    assert (response.status, response.body["field"]) == (400, "Idempotency-Key")
    assert "idempotency_key" in response.body["detail"]


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("requests", {}),
        ("requests", {"requests": []}),
        ("requests", {"requests": [ASK] * 26}),
        ("body", [ASK]),
        ("body", None),
        ("idempotency_key", {"requests": [ASK], "idempotency_key": "a"}),
    ],
)
def test_what_is_no_batch_is_a_problem_as_a_whole(field: str, body: object, function: Function) -> None:
    response = function.post(body, path="/acquire/batch")
    assert (response.status, response.body["field"]) == (400, field)


def test_failures_in_a_batch_are_logged_whole_and_told_not_at_all(
    moto_client: DynamoDBClient, function: Function, capsys: pytest.CaptureFixture[str]
) -> None:
    moto_client.delete_table(TableName=TABLE_NAME)
    response = batch(function, ASK, {}, {**ASK, "entity_id": "key-2"})
    assert [result["status"] for result in response.body["results"]] == [500, 400, 500]
    assert TABLE_NAME not in json.dumps(response.body)
    logged = [line for line in lines(capsys) if line.get("level") == "ERROR"]
    assert len(logged) == 2
    assert all("ResourceNotFoundException" in line["exception"] for line in logged)


# --- adjustments -----------------------------------------------------------------------------------


def family(limiter: Limiter) -> None:
    """Store a key and its project, both with limits."""
    limiter.create_entity("project-1")
    limiter.create_entity("key-1", "project-1")
    for entity_id in ("project-1", "key-1"):
        limiter.set_limits(entity_id, [Limit.per_day("rpd", 1, burst=100)], resource="gpt-4")


def adjustment(amount: int, **fields: object) -> dict[str, object]:
    return {"entity_id": "key-1", "resource": "gpt-4", "adjust": {"rpd": amount}, **fields}


def test_an_adjustment_reaches_the_ancestors_unless_told_not_to(function: Function, limiter: Limiter) -> None:
    family(limiter)
    response = function.post(adjustment(30), path="/adjust")
    assert response.status == 200
    assert response.body == {
        "entity_id": "key-1",
        "resource": "gpt-4",
        "limits": {"rpd": {"available": 70, "capacity": 100, "retry_after_ms": 0}},
        "ancestors": [
            {
                "entity_id": "project-1",
                "limits": {"rpd": {"available": 70, "capacity": 100, "retry_after_ms": 0}},
            }
        ],
    }
    assert response.headers["RateLimit"].startswith('"rpd";r=70;t=')
    assert function.post(adjustment(-10, cascade=False), path="/adjust").status == 200
    assert (left(limiter), left(limiter, entity_id="project-1")) == (80, 70)


def test_an_adjustment_beyond_what_is_there_is_debt(function: Function, limiter: Limiter) -> None:
    family(limiter)
    response = function.post(adjustment(130), path="/adjust")
    assert response.body["limits"]["rpd"]["available"] == -30
    assert response.headers["RateLimit"].startswith('"rpd";r=0;t=')


def test_an_adjustment_counts_each_time_but_under_one_key_once(
    function: Function, start: Load, limiter: Limiter
) -> None:
    family(limiter)
    for _ in range(2):
        function.post(adjustment(1), path="/adjust")
    first = text_of(function, adjustment(30), "/adjust")
    function.post(adjustment(1), path="/adjust")
    assert text_of(function, adjustment(30), "/adjust") == first
    assert text_of(start(), adjustment(30), "/adjust") == first
    again = function.post(adjustment(30), path="/adjust", headers=KEY)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert function.post(adjustment(31), path="/adjust", headers=KEY).status == 422
    assert function.post(adjustment(30), path="/adjust", headers=KEY, signer=SOMEBODY_ELSE).status == 200
    assert left(limiter) == 100 - 3 - 30 - 30


@pytest.mark.parametrize(
    ("status", "field", "body"),
    [
        (400, "adjust", adjustment(1, adjust={})),
        (400, "adjust.tpm", adjustment(1, adjust={"tpm": 1})),
        (400, "adjust.rpd", adjustment(1, adjust={"rpd": 1.5})),
        (400, "cascade", adjustment(1, cascade="transaction")),
        (400, "limits", adjustment(1, limits=[RPD])),
        (404, None, adjustment(1, entity_id="unknown")),
    ],
)
def test_an_adjustment_that_cannot_be_names_the_field(
    status: int, field: str | None, body: object, function: Function, limiter: Limiter
) -> None:
    family(limiter)
    response = function.post(body, path="/adjust")
    assert (response.status, response.body.get("field")) == (status, field)


# --- the edge --------------------------------------------------------------------------------------


def spend_on_all_routes(function: Function) -> list[Response]:
    """Ask every route that tells of limits, refusals among them; those of a batch as if they were alone."""
    refused = {**ASK, "consume": {"rpd": 99}}
    answers = [
        function.post({**ASK, "limits": [RPD, STREAMS]}),
        function.post(refused),
        function.post(adjustment(1), path="/adjust"),
    ]
    results = batch(function, ASK, refused).body["results"]
    return [*answers, *(Response(result["status"], result["headers"], result["body"]) for result in results)]


def parsed(field: str) -> dict[str, dict[str, Any]]:
    """Parse a List of Strings with parameters, as RFC 9651 has it."""
    members = List()
    members.parse(field.encode("ascii"))
    return {member.value: dict(member.params) for member in members}


@pytest.mark.parametrize("style", ["", "standard", "legacy", "both"])
def test_every_answer_that_tells_of_limits_does_so_in_the_style_of_the_stack(
    style: str, moto_client: DynamoDBClient, start: Load, limiter: Limiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter.set_limits("key-1", [Limit.per_day("rpd", 1, burst=100)], resource="gpt-4")
    monkeypatch.setenv("RATE_LIMIT_HEADERS", style)
    answers = spend_on_all_routes(start())
    assert [answer.status for answer in answers] == [200, 429, 200, 200, 429]
    for answer in answers:
        left = answer.body["limits"]["rpd"]["available"]
        standard = {name for name in answer.headers if name.startswith("RateLimit")}
        legacy = {name: value for name, value in answer.headers.items() if name.startswith("X-RateLimit-")}
        if style == "legacy":
            assert not standard
        else:
            assert parsed(answer.headers["RateLimit-Policy"])["rpd"] == {"q": 100, "w": 8_640_000}
            assert parsed(answer.headers["RateLimit"])["rpd"]["r"] == left
        if style in ("legacy", "both"):
            assert {int(value) for value in legacy.values()} > {100, left}
            assert len(legacy) == 3
        else:
            assert not legacy


@pytest.mark.parametrize("name", ["acquire", "admin"])
def test_a_style_that_there_is_not_ends_the_function_at_its_start(
    name: str, moto_client: DynamoDBClient, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATE_LIMIT_HEADERS", "Legacy")
    with pytest.raises(ValueError, match="RATE_LIMIT_HEADERS must be one of standard, legacy, both, not Legacy"):
        launch(name)


def test_without_time_left_the_table_is_not_asked(function: Function, limiter: Limiter) -> None:
    family(limiter)
    lease_id = acquired(function)
    in_a_hurry = Context(left_ms=ANSWER_MARGIN_MS)
    for how in ("settle", "release", "renew"):
        assert end(function, lease_id, how, None, in_a_hurry).status == 503
    assert function.post(adjustment(1), in_a_hurry, path="/adjust").status == 503
    other = {**ASK, "entity_id": "key-2", "durable": True}
    results = batch(function, ASK, other, context=in_a_hurry).body["results"]
    assert [result["status"] for result in results] == [503, 503]
    assert left(limiter) == 90


def test_every_end_and_adjustment_is_counted(
    function: Function, limiter: Limiter, capsys: pytest.CaptureFixture[str]
) -> None:
    family(limiter)
    settled, released = acquired(function), acquired(function)
    capsys.readouterr()
    seen = []
    for how, lease_id in (("settle", settled), ("settle", settled), ("renew", released), ("release", released)):
        end(function, lease_id, how)
        seen.append(counts(capsys))
    function.post(adjustment(1), path="/adjust")
    seen.append(counts(capsys))
    end(function, "x" * 22)
    seen.append(counts(capsys))
    assert [{name for name in counted if name != "RoundTrips"} for counted in seen] == [
        {"Settled"},
        {"Settled", "Replayed"},
        {"Renewed"},
        {"Released"},
        {"Adjusted"},
        {"Invalid"},
    ]


@pytest.mark.parametrize("route", SPENDING, ids=lambda route: route.operation)
def test_other_methods_end_at_the_admin_function_with_those_that_there_are(
    route: Any,  # noqa: ANN401 - pytest's
    moto_client: DynamoDBClient,
    launch: Launch,
) -> None:
    path = route.path.replace("{lease_id}", "x" * 22)
    event = request("GET", "/entities") | {"path": path, "pathParameters": {"proxy": path.removeprefix("/")}}
    response = launch("admin").invoke(event)
    assert (response.status, response.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("path", ["{}", "{}/", "{}/end", "/settle", "{}/y/settle", "{}/settle/"])
def test_other_paths_of_leases_are_not_found(path: str, function: Function) -> None:
    response = function.post({}, path=f"/leases/{path.format('x' * 22)}")
    assert (response.status, response.body["detail"]) == (404, "There is no such path.")


def test_a_gateway_leads_to_leases_by_a_path_of_their_own(function: Function) -> None:
    event = request("POST", f"/leases/{acquired(function)}/settle")
    assert event["resource"] == "/leases/{proxy+}"
    assert event["pathParameters"]["proxy"].endswith("/settle")
    assert function.invoke(event).status == 200
    assert event["requestContext"]["identity"]["userArn"] == OPERATOR
