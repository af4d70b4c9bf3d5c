"""When the direct path steps aside: for an SDK that it does not know, and for whoever looks into requests."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
import pytest
from botocore.client import BaseClient
from botocore.config import Config
from botocore.stub import Stubber

from leasegate.operations import Add, Applied, Key, Update
from leasegate.repository.client import SWITCH
from leasegate.repository.direct import DirectCalls
from leasegate.repository.direct.trust import ATTRIBUTES, METHODS
from leasegate.repository.dynamodb import DynamoRepository, dynamodb_client
from tests.direct.plays import Stage
from tests.unmocked import unmocked

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

WRITE = Update(Key("a", "s"), (Add("n", 1),))


def direct(client: DynamoDBClient) -> DirectCalls:
    assert isinstance(client, DirectCalls)
    return client


def applied(client: DynamoDBClient, times: int = 1) -> None:
    """Write through a repository; whichever way it goes, it goes well."""
    with DynamoRepository(client, "leasegate") as repository:
        for _ in range(times):
            (outcome,) = repository.execute((WRITE,), timeout_ms=5_000)
            assert isinstance(outcome, Applied), outcome
    client.close()


def obstacle(client: DynamoDBClient) -> str | None:
    return direct(unmocked(client)).direct.obstacle("UpdateItem")


def test_the_path_is_open_and_all_calls_take_it(endpoint: str) -> None:
    client = unmocked(dynamodb_client(endpoint_url=endpoint))
    assert obstacle(client) is None
    applied(client, times=3)
    assert direct(client).direct.take_detours() == 0


@pytest.mark.parametrize("name", METHODS)
def test_a_method_that_is_gone_or_takes_something_else_closes_the_path_and_is_told(
    endpoint: str, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    method = getattr(BaseClient, name)

    def changed(client: Any, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever it takes
        return method(client, *arguments, **named)

    monkeypatch.setattr(BaseClient, name, changed)
    client = unmocked(dynamodb_client(endpoint_url=endpoint))
    assert obstacle(client) == name
    assert direct(client).direct.take_detours() == 1
    applied(client, times=2)
    assert direct(client).direct.take_detours() == 2
    (warning,) = [record for record in caplog.records if record.name == "leasegate.direct"]
    assert name in warning.getMessage()
    assert warning.levelno == logging.WARNING


@pytest.mark.parametrize("path", ATTRIBUTES)
def test_an_attribute_that_is_gone_closes_the_path(
    endpoint: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tuple(f"{each}_x" if each == path else each for each in ATTRIBUTES)
    monkeypatch.setattr("leasegate.repository.direct.trust.ATTRIBUTES", changed)
    client = unmocked(dynamodb_client(endpoint_url=endpoint))
    assert obstacle(client) == f"{path}_x"
    applied(client)


@pytest.mark.parametrize(
    "event",
    [
        "provide-client-params.dynamodb",
        "before-parameter-build.dynamodb.UpdateItem",
        "request-created",
        "choose-signer.dynamodb.*",
        "before-sign.dynamodb",
        "before-send.dynamodb.UpdateItem",
        "before-parse.dynamodb",
        "response-received.dynamodb",
        "needs-retry.dynamodb.UpdateItem",
    ],
)
def test_whoever_listens_on_the_way_is_asked_from_then_on_and_until_it_leaves(endpoint: str, event: str) -> None:
    client = unmocked(dynamodb_client(endpoint_url=endpoint))
    repository = DynamoRepository(client, "leasegate")
    heard: list[object] = []

    def listen(**event: object) -> None:
        heard.append(event)

    repository.execute((WRITE,), timeout_ms=5_000)
    client.meta.events.register(event, listen)
    repository.execute((WRITE,), timeout_ms=5_000)
    assert len(heard) == 1
    assert "listen" in (direct(client).direct.obstacle("UpdateItem") or "")
    client.meta.events.unregister(event, listen)
    repository.execute((WRITE,), timeout_ms=5_000)
    assert len(heard) == 1
    assert direct(client).direct.obstacle("UpdateItem") is None
    client.close()


def test_listeners_around_a_call_are_asked_without_closing_the_path(endpoint: str) -> None:
    client = unmocked(dynamodb_client(endpoint_url=endpoint))
    heard: list[str] = []
    client.meta.events.register("before-call.dynamodb", lambda params, **_: heard.append(params["url"]))
    client.meta.events.register("after-call.dynamodb", lambda http_response, **_: heard.append(http_response.text))
    applied(client)
    assert heard[0] == f"{endpoint}/"
    assert "Attributes" in heard[1]
    assert direct(client).direct.take_detours() == 0


def test_what_a_listener_changes_is_sent(endpoint: str, stage: Stage) -> None:
    client = unmocked(dynamodb_client(endpoint_url=endpoint))

    def change(params: dict[str, Any], **_event: object) -> None:
        params["headers"]["X-Custom"] = "yes"

    client.meta.events.register("before-call.dynamodb", change)
    applied(client)
    assert b"x-custom: yes" in stage.last_request.lower()
    assert b"x-custom" in stage.last_request.partition(b"SignedHeaders=")[2].partition(b",")[0]
    assert direct(client).direct.take_detours() == 1


def test_an_answer_of_a_listener_is_the_answer() -> None:
    client = unmocked(dynamodb_client(endpoint_url="http://127.0.0.1:1", region_name="us-east-1"))
    with Stubber(client) as stubber:
        stubber.add_response("update_item", {"Attributes": {"n": {"N": "7"}}})
        (outcome,) = DynamoRepository(client, "leasegate").execute((WRITE,), timeout_ms=1_000)
        assert outcome == Applied({"n": 7})


@pytest.mark.parametrize(
    "config",
    [
        Config(retries={"mode": "adaptive"}),
        Config(proxies={"http": "http://127.0.0.1:1"}),
        Config(signature_version=botocore.UNSIGNED),
    ],
    ids=["adaptive retries", "a proxy", "unsigned"],
)
def test_settings_that_the_direct_path_does_not_know_are_botocores(config: Config) -> None:
    client = unmocked(dynamodb_client(endpoint_url="http://dynamodb.test", config=config))
    (outcome,) = DynamoRepository(client, "leasegate").execute((WRITE,), timeout_ms=50)
    assert not isinstance(outcome, Applied)
    assert not direct(client).direct.connections


@pytest.mark.parametrize("session", [boto3.Session, botocore.session.Session])
def test_a_session_of_ones_own_makes_other_clients_as_it_did(session: Any) -> None:  # noqa: ANN401 - two kinds of session
    own = session()
    assert isinstance(dynamodb_client(session=own), DirectCalls)
    create = own.create_client if isinstance(own, botocore.session.Session) else own.client
    assert not isinstance(create("dynamodb"), DirectCalls)


def test_a_table_by_its_arn_may_be_of_another_account_and_is_botocores(endpoint: str) -> None:
    client = unmocked(dynamodb_client(endpoint_url=endpoint))
    arn = "arn:aws:dynamodb:us-east-1:123456789012:table/leasegate"
    (outcome,) = DynamoRepository(client, arn).execute((WRITE,), timeout_ms=5_000)
    assert isinstance(outcome, Applied)
    assert not direct(client).direct.connections
    client.close()


def test_the_switch_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not isinstance(dynamodb_client(direct=False), DirectCalls)
    monkeypatch.setenv(SWITCH, "off")
    assert not isinstance(dynamodb_client(), DirectCalls)
    assert isinstance(dynamodb_client(direct=True), DirectCalls)
    monkeypatch.setenv(SWITCH, "on")
    assert isinstance(dynamodb_client(), DirectCalls)


def test_without_credentials_botocore_says_so(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    client = unmocked(dynamodb_client(endpoint_url=endpoint))
    with pytest.raises(Exception, match="Unable to locate credentials") as raised:
        client.update_item(TableName="leasegate", Key={})
    (outcome,) = DynamoRepository(client, "leasegate").execute((WRITE,), timeout_ms=5_000)
    assert type(outcome.error.__cause__) is raised.type  # type: ignore[union-attr] # it failed
