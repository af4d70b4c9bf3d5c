"""The whole of it: what `sam deploy` deployed answers through its API Gateway."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import http_sfv
import pytest

from leasegate import Limit, Limiter
from leasegate.repository.dynamodb import DynamoRepository
from scripts.deployment import client, dynamodb_client
from scripts.ministack import running_pid
from scripts.stack import embedded_stack
from tests.samples import EVENTS, SAMPLES, load_event, seed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.api import Answer
    from scripts.stack import Stack


@pytest.fixture(scope="session")
def library(stack: Stack) -> Iterator[Limiter]:
    """Open the deployed table with the library, as an administrator would."""
    with DynamoRepository(dynamodb_client(stack.endpoint_url), stack.table_name) as repository:
        yield Limiter(repository)


def acquire(stack: Stack, entity: str, consume: dict[str, int], **also: object) -> Answer:
    return stack.api().post("/acquire", {"entity_id": entity, "resource": "gpt-4", "consume": consume, **also})


def test_a_grant_answers_200_with_the_rate_limit_fields(stack: Stack, library: Limiter) -> None:
    library.set_limits("granted", [Limit.per_minute("rpm", 60), Limit.per_minute("tpm", 10_000)], resource="gpt-4")

    answer = acquire(stack, "granted", {"rpm": 1, "tpm": 500})

    assert answer.status == 200
    assert answer.json()["limits"]["rpm"] == {"available": 59, "capacity": 60, "retry_after_ms": 0}
    remaining = http_sfv.List()
    remaining.parse(answer.headers["RateLimit"].encode())
    assert {item.value: item.params["r"] for item in remaining} == {"rpm": 59, "tpm": 9_500}
    policy = http_sfv.List()
    policy.parse(answer.headers["RateLimit-Policy"].encode())
    assert {item.value: (item.params["q"], item.params["w"]) for item in policy} == {"rpm": (60, 60), "tpm": (10_000, 60)}


def test_an_unsigned_request_is_forbidden(stack: Stack) -> None:
    answer = stack.api().post("/acquire", {"entity_id": "a", "resource": "b", "consume": {"rpm": 1}}, signed=False)

    assert answer.status == 403
    assert "RateLimit" not in answer.headers


def test_clients_at_once_get_exactly_the_capacity(stack: Stack, library: Limiter) -> None:
    # One token a day flows back, so none does while the test runs.
    library.set_limits("shared", [Limit.per_day("rpd", 1, burst=12)], resource="gpt-4")

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: acquire(stack, "shared", {"rpd": 1}), range(20)))

    assert sorted(answer.status for answer in answers) == [200] * 12 + [429] * 8
    refused = next(answer for answer in answers if answer.status == 429)
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["violated-policies"] == ["rpd"]
    assert 0 < int(refused.headers["Retry-After"]) <= 86_400


@pytest.mark.parametrize("name", sorted(path.stem for path in EVENTS.glob("acquire_*.json")))
def test_every_sample_runs_in_the_deployed_function(stack: Stack, library: Limiter, name: str) -> None:
    seed(library)

    reply = client("lambda", stack.endpoint_url).invoke(
        FunctionName=stack.acquire_function_name, Qualifier="live", Payload=json.dumps(load_event(name))
    )

    assert "FunctionError" not in reply
    result: dict[str, Any] = json.loads(reply["Payload"].read())
    assert result["statusCode"] == SAMPLES[name].status


def test_a_layer_change_alone_reaches_the_alias(stack: Stack) -> None:
    functions = client("lambda", stack.endpoint_url)
    alias = functions.get_alias(FunctionName=stack.acquire_function_name, Name="live")
    version = functions.get_function_configuration(FunctionName=stack.acquire_function_name, Qualifier="live")

    assert alias["FunctionVersion"] == version["Version"] != "$LATEST"
    assert [layer["Arn"] for layer in version["Layers"]] == [stack.layer_arn]


@pytest.mark.parametrize("operation", ["scan", "query", "delete_item", "get_item"])
def test_the_functions_role_may_do_nothing_else_with_the_table(stack: Stack, operation: str) -> None:
    pytest.fail("to be written")


def test_nothing_is_left_of_a_stack_that_failed() -> None:
    with pytest.raises(ZeroDivisionError), embedded_stack("tests-failing") as stack:
        pid = stack.pid
        _ = 1 / 0
    raise AssertionError(running_pid, pid)
