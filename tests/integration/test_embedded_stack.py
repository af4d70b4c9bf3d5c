"""The whole of it: what `sam deploy` deployed answers through its API Gateway."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from http_sfv.list import List

from leasegate import Limit, Limiter
from leasegate.repository.dynamodb import DynamoRepository
from scripts.deployment import client, deploy, dynamodb_client, outputs
from tests.samples import BACKFILL, REQUESTS, load_event, seed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.api import Answer
    from scripts.stack import Stack


@pytest.fixture(scope="session")
def library(stack: Stack) -> Iterator[Limiter]:
    """Open the deployed table with the library, as an administrator would."""
    with DynamoRepository(dynamodb_client(stack.endpoint_url), stack.table_name) as repository:
        yield Limiter(repository)


def acquire(stack: Stack, entity: str, consume: dict[str, int]) -> Answer:
    return stack.api().post("/acquire", {"entity_id": entity, "resource": "gpt-4", "consume": consume})


def test_a_grant_answers_200_with_the_rate_limit_fields(stack: Stack, library: Limiter) -> None:
    library.set_limits("granted", [Limit.per_minute("rpm", 60), Limit.per_minute("tpm", 10_000)], resource="gpt-4")

    answer = acquire(stack, "granted", {"rpm": 1, "tpm": 500})

    assert answer.status == 200
    assert answer.json()["limits"]["rpm"] == {"available": 59, "capacity": 60, "retry_after_ms": 0}
    remaining = structured_list(answer.headers["RateLimit"])
    assert {item.value: item.params["r"] for item in remaining} == {"rpm": 59, "tpm": 9_500}
    policies = structured_list(answer.headers["RateLimit-Policy"])
    assert {item.value: (item.params["q"], item.params["w"]) for item in policies} == {
        "rpm": (60, 60),
        "tpm": (10_000, 60),
    }


def structured_list(field: str) -> Any:  # noqa: ANN401 - the parser has no types
    parsed = List()
    parsed.parse(field.encode())
    return parsed


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


@pytest.mark.parametrize(
    ("function", "name"), [(function, name) for function, samples in REQUESTS.items() for name in samples]
)
def test_every_sample_runs_in_the_deployed_function(
    stack: Stack, library: Limiter, function: str, name: str
) -> None:
    seed(library)

    reply = client("lambda", stack.endpoint_url).invoke(
        FunctionName=stack.function_name(function), Qualifier="live", Payload=json.dumps(load_event(name))
    )

    assert "FunctionError" not in reply
    assert json.loads(reply["Payload"].read())["statusCode"] == REQUESTS[function][name].status


@pytest.mark.parametrize("name", BACKFILL)
def test_every_sample_of_the_backfill_runs_in_the_deployed_function(
    stack: Stack, library: Limiter, name: str
) -> None:
    library.set_resource_defaults("backfilled", [Limit.per_minute("rpm", 60)])

    reply = client("lambda", stack.endpoint_url).invoke(
        FunctionName=stack.backfill_function_name, Qualifier="live", Payload=json.dumps(load_event(name))
    )
    answer = json.loads(reply["Payload"].read())

    field = BACKFILL[name]
    if field is None:
        assert "FunctionError" not in reply
        assert answer["status"] == "complete"
        assert "backfilled" in library.list_resources_with_defaults()
    else:
        # The emulator has one errorType for all; the container tests see Lambda's own.
        assert reply["FunctionError"] == "Unhandled"
        assert f"{field}: " in answer["errorMessage"]


def test_a_change_in_the_layer_alone_reaches_the_alias(stack: Stack) -> None:
    functions = client("lambda", stack.endpoint_url)
    name = stack.acquire_function_name
    before = functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
    build = Path(stack.build_folder)
    with (build / "LimiterLayer" / "python" / "leasegate" / "__init__.py").open("a") as module:
        module.write("# changed\n")

    deploy(build, stack.endpoint_url, Path(stack.log).with_name("redeployed.log"))

    after = functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
    (layer,) = functions.get_function_configuration(FunctionName=name, Qualifier="live")["Layers"]
    assert int(after) == int(before) + 1
    assert layer["Arn"] == outputs(stack.endpoint_url)["LayerArn"] != stack.layer_arn
