"""What nobody who reads logs, metrics, traces or errors may learn: keys, signatures, tickets, bodies.

A lease's id is no bearer token: only the caller who acquired it can end it, whoever else knows it, and the ticket
in it is believed only where the table says the same. Still it is treated like one here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import boto3
import pytest

from leasegate import Limit, Limiter
from tests.fixtures.functions import TABLE_NAME, Launch
from tests.functions import Context, Function, Response
from tests.samples import REQUESTS, load_event, seed

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.fixtures.recorded import Recorded

MARK: Final = "s3cr3t"
HEADERS: Final = {
    "Authorization": f"AWS4-HMAC-SHA256 Credential={MARK}-credential/x, Signature={MARK}-signature",
    "X-Amz-Security-Token": f"{MARK}-session-token",
    "Cookie": f"session={MARK}-cookie",
    "X-Api-Key": f"{MARK}-api-key",
    "User-Agent": f"{MARK}-agent",
}
KEY: Final = {"Idempotency-Key": f"{MARK}-idempotency-key"}
ENVIRONMENT: Final = {
    "AWS_ACCESS_KEY_ID": f"{MARK}ACCESSKEY",
    "AWS_SECRET_ACCESS_KEY": f"{MARK}-secret-access-key",
    "AWS_SESSION_TOKEN": f"{MARK}-token-of-the-role",
}
RPM: Final = Limit.per_day("rpm", 1_000)
ASK: Final = {"entity_id": "key-1", "resource": "gpt-4", "consume": {"rpm": 1}}
GOOD: Final = {**ASK, "limits": [RPM.describe()]}


@pytest.fixture
def start(
    moto_client: DynamoDBClient, launch: Launch, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Function]:
    """Start functions that are traced, with marked credentials, and log as much as they can without the event."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "DEBUG")
    monkeypatch.delenv("POWERTOOLS_LOGGER_LOG_EVENT", raising=False)
    return launch


def written(capsys: pytest.CaptureFixture[str], recorded: Recorded) -> str:
    """Return all that was written since: logs and metrics, whatever went to standard error, and traces."""
    captured = capsys.readouterr()
    documents = json.dumps(recorded.documents)
    recorded.forget()
    return captured.out + captured.err + documents


def post(function: Function, body: object, path: str = "/acquire") -> Response:
    return function.post(body, path=path, headers={**HEADERS, **KEY})


def test_a_grant_a_repetition_and_a_settlement_tell_nothing(
    start: Callable[[str], Function], recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    function = start("acquire")
    granted, repeated = post(function, GOOD), post(function, GOOD)
    lease_id: str = granted.body["lease"]["id"]
    _, ticket = lease_id.split(".")
    settled = function.post({"actual": {"rpm": 1}}, path=f"/leases/{lease_id}/settle", headers=HEADERS)
    again = post(function, {**GOOD, "consume": {"rpm": 2}})
    assert [answer.status for answer in (granted, repeated, settled, again)] == [200, 200, 200, 422]
    text = written(capsys, recorded)
    assert "Granted" in text
    assert '"type": "subsegment"' in text
    assert MARK not in text
    assert ticket not in text
    assert MARK not in json.dumps([granted.body, settled.body, again.body])


MISTAKES: Final[Mapping[str, Any]] = {
    "an unknown value": {**ASK, "entity_id": f"{MARK}/entity"},
    "an unknown period": {**ASK, "limits": [{"name": "rpm", "amount": 1, "period": MARK}]},
    "a string for a number": {**ASK, "consume": {"rpm": MARK}},
    "a string for a flag": {**ASK, "durable": MARK},
    "a string for a cascade": {**ASK, "cascade": MARK},
    "text that is no JSON": f'{{"password": "{MARK}',
    "no object": f'"{MARK}"',
    "a field that is missing": {"entity_id": f"{MARK}", "consume": {"rpm": 1}},
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_not_repeated(
    name: str, start: Callable[[str], Function], recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    response = post(start("acquire"), MISTAKES[name])
    assert response.status == 400
    assert MARK not in json.dumps([response.body, response.headers])
    assert MARK not in written(capsys, recorded)


def test_a_failure_tells_its_cause_and_no_secret(
    start: Callable[[str], Function],
    moto_client: DynamoDBClient,
    recorded: Recorded,
    capsys: pytest.CaptureFixture[str],
) -> None:
    function = start("acquire")
    moto_client.delete_table(TableName=TABLE_NAME)
    response = post(function, GOOD)
    assert response.status == 500
    text = written(capsys, recorded)
    assert "ResourceNotFoundException" in text
    assert MARK not in text
    assert MARK not in json.dumps([response.body, response.headers])


def test_what_an_administrator_stores_is_not_logged(
    start: Callable[[str], Function],
    moto_client: DynamoDBClient,
    recorded: Recorded,
    capsys: pytest.CaptureFixture[str],
) -> None:
    function = start("admin")
    body = {"name": f"{MARK} name", "metadata": {f"{MARK}-key": f"{MARK}-value"}}
    assert function.send("PUT", "/entities/key-1", body, headers=HEADERS).status == 201
    assert function.send("GET", "/audit?scope=entity:key-1", headers=HEADERS).status == 200
    cursor = base64.urlsafe_b64encode(f"{MARK}-cursor".encode()).decode()
    assert function.send("GET", f"/entities?cursor={cursor}", headers=HEADERS).body["field"] == "cursor"
    moto_client.delete_table(TableName=TABLE_NAME)
    assert function.send("PUT", "/entities/key-1", body, headers=HEADERS).status == 500
    text = written(capsys, recorded)
    assert "ResourceNotFoundException" in text
    assert MARK not in text
    assert cursor not in text


@pytest.mark.parametrize("logical_id", REQUESTS)
def test_no_sample_of_a_request_is_told(
    logical_id: str,
    start: Callable[[str], Function],
    limiter: Limiter,
    recorded: Recorded,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seed(limiter)
    function = start(logical_id.removesuffix("Function").lower())
    for name in REQUESTS[logical_id]:
        event = load_event(name)
        for place in ("headers", "multiValueHeaders"):
            more = {key: [value] if place.startswith("multi") else value for key, value in HEADERS.items()}
            event[place] = {**(event.get(place) or {}), **more}
        response = function.invoke(event)
        assert MARK not in json.dumps([response.body, response.headers])
    text = written(capsys, recorded)
    assert "RoundTrips" in text
    assert MARK not in text


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("backfill", {"segments": MARK}),
        ("backfill", {"dry_run": True}),
        ("sweep", {"password": MARK}),
        ("aggregator", {"Records": []}),
    ],
    ids=["backfill refused", "backfill", "sweep", "aggregator"],
)
@pytest.mark.parametrize("is_broken", [False, True], ids=["", "without a table"])
def test_the_functions_behind_the_scenes_tell_nothing_either(
    name: str,
    event: dict[str, Any],
    is_broken: bool,
    start: Callable[[str], Function],
    moto_client: DynamoDBClient,
    recorded: Recorded,
    capsys: pytest.CaptureFixture[str],
) -> None:
    function = start(name)
    if is_broken:
        moto_client.delete_table(TableName=TABLE_NAME)
    told = ""
    try:
        told = json.dumps(function.module.handler(event, Context()))
    except Exception as error:  # noqa: BLE001 - whatever it is, Lambda logs it
        told = repr(error)
    assert MARK not in told
    assert MARK not in written(capsys, recorded)


def test_the_secrets_of_these_tests_would_be_found(
    start: Callable[[str], Function], recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    function = start("acquire")
    assert boto3.Session().get_credentials().secret_key == ENVIRONMENT["AWS_SECRET_ACCESS_KEY"]
    function.module.logger.info({"headers": HEADERS, "key": KEY})
    with function.module.tracer.provider.in_subsegment("## test") as subsegment:
        subsegment.put_annotation("entity", MARK)
    assert written(capsys, recorded).count(MARK) >= len(HEADERS) + len(KEY)
