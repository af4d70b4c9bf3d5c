"""What is derived once is derived once, what has a full key is never queried, and connections are kept."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from botocore import auth, client, endpoint, regions, serialize, useragent
from botocore.config import Config
from botocore.httpsession import URLLib3Session

from leasegate import Limit, Limiter
from leasegate.operations import (
    Add,
    AllOf,
    AtMost,
    BatchGet,
    Equals,
    Get,
    ItemExists,
    Key,
    Operation,
    Set,
    Transact,
    Update,
)
from leasegate.repository import expressions
from leasegate.repository.direct import DirectCalls, signing
from leasegate.repository.dynamodb import DynamoRepository, dynamodb_client
from tests.direct.plays import PLAYS, Stage, message, sends
from tests.unmocked import unmocked

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.fixtures.dynamodb import Table

KEYS = tuple(Key(f"BUCKET#{number}", "#STATE") for number in range(3))


@pytest.fixture
def speaker(endpoint: str) -> Iterator[DynamoDBClient]:
    client = unmocked(dynamodb_client(endpoint_url=endpoint))
    yield client
    client.close()


def counted(monkeypatch: pytest.MonkeyPatch, calls: Counter[str], owner: Any, name: str) -> None:  # noqa: ANN401 - a module or a class
    """Count the calls of a function, which still does what it did."""
    function = getattr(owner, name)

    def count(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever it takes
        calls[name] += 1
        return function(*arguments, **named)

    monkeypatch.setattr(owner, name, count)


def operations_of(number: int) -> Iterator[Operation]:
    """Yield one operation of each kind of an acquire, with values of its own."""
    update = Update(
        KEYS[0], (Add("n", number), Set("at", number)), AllOf((AtMost("n", number), Equals("cfg", "e:1")))
    )
    yield update
    yield Get(KEYS[0])
    yield BatchGet(KEYS)
    yield Transact((update, Update(KEYS[1], (Add("n", number),), ItemExists())), f"token-{number}")


def test_nothing_that_lasts_is_derived_after_the_first_of_a_thousand_operations(
    stage: Stage, speaker: DynamoDBClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Counter[str] = Counter()
    monkeypatch.setattr(signing.time, "time", lambda: 1_800_000_000.0)  # type: ignore[attr-defined] # a second that lasts
    counted(monkeypatch, calls, signing.Signer, "_signing_key")
    counted(monkeypatch, calls, signing.Signer, "_new_form")
    counted(monkeypatch, calls, auth.SigV4Auth, "add_auth")
    counted(monkeypatch, calls, useragent.UserAgentString, "to_string")
    counted(monkeypatch, calls, regions.EndpointRulesetResolver, "construct_endpoint")
    counted(monkeypatch, calls, serialize.JSONSerializer, "serialize_to_request")
    counted(monkeypatch, calls, client.BaseClient, "_convert_to_request_dict")
    counted(monkeypatch, calls, endpoint.Endpoint, "make_request")
    counted(monkeypatch, calls, URLLib3Session, "send")
    counted(monkeypatch, calls, expressions._Compilation, "expressions")

    batch = sends(message(b'{"Responses":{"leasegate":[]}}'))

    def answer(connection: Any) -> bool:  # noqa: ANN401 - a socket
        return (batch if b"BatchGet" in stage.last_request else PLAYS["well"])(connection)

    repository = DynamoRepository(speaker, "leasegate")
    kinds = len([*operations_of(0)])
    for operation in operations_of(0):
        stage.set(answer)
        repository.execute((operation,), timeout_ms=5_000)
    assert calls["construct_endpoint"] == calls["serialize_to_request"] == calls["to_string"] == kinds
    assert calls["_new_form"] == calls["_signing_key"] == kinds
    assert calls["expressions"] == 3
    assert not calls["send"]

    calls.clear()
    stage.set(*[answer] * 1_000)
    for number in range(1, 251):
        for operation in operations_of(number):
            repository.execute((operation,), timeout_ms=5_000)
    assert stage.requests == 1_000
    assert not calls
    assert isinstance(speaker, DirectCalls)
    assert speaker.direct.take_detours() == 0


def test_threads_have_a_connection_each_and_keep_it(stage: Stage, speaker: DynamoDBClient) -> None:
    repository = DynamoRepository(speaker, "leasegate")
    together = threading.Barrier(4)

    def write() -> None:
        for _ in range(25):
            together.wait()
            repository.execute((Update(KEYS[0], (Add("n", 1),)),), timeout_ms=5_000)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stage.requests == 100
    assert stage.connections <= 4
    assert isinstance(speaker, DirectCalls)
    (connections,) = speaker.direct.connections.values()
    assert len(connections.idle) == stage.connections


def test_a_client_keeps_no_more_idle_connections_than_its_pool_would(stage: Stage, endpoint: str) -> None:
    client = unmocked(dynamodb_client(endpoint_url=endpoint, config=Config(max_pool_connections=2)))
    repository = DynamoRepository(client, "leasegate", max_workers=4)
    writes = tuple(Update(key, (Add("n", 1),)) for key in KEYS)
    together = threading.Barrier(3)
    stage.set(*[lambda peer: together.wait() >= 0 and PLAYS["well"](peer)] * 3)
    repository.execute(writes, timeout_ms=5_000)
    assert stage.connections == 3
    assert isinstance(client, DirectCalls)
    (connections,) = client.direct.connections.values()
    assert len(connections.idle) == 2
    repository.close()
    client.close()
    assert not connections.idle


# --- operations ------------------------------------------------------------------------------------


@pytest.fixture
def asked(table: Table) -> Iterator[list[str]]:
    """Provide the names of what DynamoDB is asked."""
    names: list[str] = []

    def note(model: Any, **_event: object) -> None:  # noqa: ANN401 - botocore has no types for it
        names.append(model.name)

    table.client.meta.events.register("before-call.dynamodb", note)
    yield names
    table.client.meta.events.unregister("before-call.dynamodb", note)


def test_what_has_a_full_key_is_read_and_written_by_it_and_never_queried(table: Table, asked: list[str]) -> None:
    limits = [Limit.per_minute("rpm", 60), Limit.per_minute("tpm", 10_000)]
    administrator = Limiter(DynamoRepository(table.client, table.name))
    administrator.create_entity("project-1")
    administrator.create_entity("key-1", "project-1")
    for entity_id in ("project-1", "key-1"):
        administrator.set_limits(entity_id, limits)
    administrator.set_resource_defaults("gpt-4", limits)
    limiter = Limiter(DynamoRepository(table.client, table.name))

    def calls(call: Callable[[], object]) -> list[str]:
        asked.clear()
        call()
        return sorted(asked)

    ask = {"rpm": 1, "tpm": 10}
    assert calls(lambda: limiter.acquire("key-1", "gpt-4", ask, parent_id="project-1")) == [
        "BatchGetItem",
        "TransactWriteItems",
        "TransactWriteItems",
    ]
    assert calls(lambda: limiter.acquire("key-1", "gpt-4", ask)) == ["UpdateItem"] * 2
    assert calls(lambda: limiter.acquire("key-1", "gpt-4", ask, cascade=False)) == ["UpdateItem"]
    assert calls(lambda: limiter.acquire("key-1", "gpt-4", ask, cascade="transaction")) == ["TransactWriteItems"]
    assert calls(lambda: limiter.acquire("key-1", "gpt-4", ask, durable=True)) == ["TransactWriteItems"]
    assert calls(lambda: limiter.available("key-1", "gpt-4")) == ["BatchGetItem"]
    assert calls(lambda: limiter.adjust("key-1", "gpt-4", {"tpm": 5}, cascade=False)) == ["UpdateItem"]
    assert calls(lambda: limiter.resolve_limits("key-1", "gpt-4")) == ["BatchGetItem"]
    assert calls(limiter.list_resources_with_defaults) == ["GetItem"]
    assert calls(lambda: limiter.get_entity("key-1")) == ["GetItem"]
    assert calls(lambda: limiter.get_limits("key-1")) == ["GetItem"]
    assert calls(lambda: limiter.get_resource_defaults("gpt-4")) == ["GetItem"]
