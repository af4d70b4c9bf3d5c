"""How long an acquire takes on the embedded stack: through API Gateway, and by the function alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import pytest

from leasegate import Limiter
from leasegate.repository.dynamodb import DynamoRepository
from scripts import template
from scripts.deployment import client, dynamodb_client
from scripts.stack import Stack
from scripts.traces.deployed import deploy_baseline
from scripts.traces.events import acquire_event
from tests.benchmark.arena import RESOURCE, lasting
from tests.benchmark.baseline import as_sequential
from tests.benchmark.sequential.app import SequentialLimiter
from tests.benchmark.turns import SEQUENTIAL, take_turns

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS: Final = 20
CALLS: Final = 3
PERCENTILES: Final = (50, 95, 99)
TABLE_NAME: Final = "sequential"
ENTITIES: Final = {"bench-alone": None, "bench-project": None, "bench-key": "bench-project"}
"""Who asks, and their parents."""
_TRUST: Final = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
_RIGHTS: Final = {"Effect": "Allow", "Action": ["dynamodb:*", "xray:*"], "Resource": "*"}

pytestmark = pytest.mark.benchmark(group="embedded")


@pytest.fixture(scope="module")
def library(stack: Stack) -> Iterator[Limiter]:
    """Store what both algorithms are asked for: a key alone, and a family."""
    with DynamoRepository(dynamodb_client(stack.endpoint_url), stack.table_name) as repository:
        limiter = Limiter(repository)
        for entity_id, parent_id in ENTITIES.items():
            limiter.create_entity(entity_id, parent_id)
            limiter.set_limits(entity_id, lasting(2), resource=RESOURCE)
        limiter.set_limits("bench-refused", lasting(2, burst=1), resource=RESOURCE)
        yield limiter


@pytest.fixture(scope="module")
def baseline(stack: Stack) -> Iterator[str]:
    """Deploy the sequential algorithm beside the stack, with its own role and table; the value is its name."""
    iam, functions = client("iam", stack.endpoint_url), client("lambda", stack.endpoint_url)
    dynamodb = dynamodb_client(stack.endpoint_url)
    iam.create_role(RoleName=TABLE_NAME, AssumeRolePolicyDocument=_policy(_TRUST))
    iam.put_role_policy(RoleName=TABLE_NAME, PolicyName="table", PolicyDocument=_policy(_RIGHTS))
    template.create_table(dynamodb, TABLE_NAME)
    limiter = SequentialLimiter(dynamodb, TABLE_NAME)
    for entity_id, parent_id in ENTITIES.items():
        limiter.create_entity(entity_id, parent_id)
        limiter.set_limits(as_sequential(lasting(2)), entity_id, RESOURCE)
    name = deploy_baseline(stack.endpoint_url, stack.layer_arn, TABLE_NAME)
    try:
        yield name
    finally:
        functions.delete_function(FunctionName=name)
        dynamodb.delete_table(TableName=TABLE_NAME)
        iam.delete_role_policy(RoleName=TABLE_NAME, PolicyName="table")
        iam.delete_role(RoleName=TABLE_NAME)


def _policy(statement: Mapping[str, object]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def question(entity_id: str) -> dict[str, Any]:
    """Return what is asked, as the body of ``POST /acquire`` and as the sequential function's event."""
    return {
        "entity_id": entity_id,
        "resource": RESOURCE,
        "consume": {"rpm": 1, "tpm": 1},
        "cascade": entity_id == "bench-key",
    }


def compare(
    benchmark: BenchmarkFixture, case: str, ours: Callable[[], object], **others: Callable[[], object]
) -> None:
    compared = take_turns(benchmark, ours, others, rounds=ROUNDS, calls=CALLS)
    if compared is not None:
        benchmark.extra_info |= {"case": case, **compared.describe(PERCENTILES)}


@pytest.mark.parametrize(
    ("case", "entity_id", "status"),
    [
        ("POST /acquire, known bucket, 2 limits", "bench-alone", 200),
        ("POST /acquire, cascade of 2 levels, 2 limits", "bench-key", 200),
        ("POST /acquire, refused", "bench-refused", 429),
    ],
)
@pytest.mark.usefixtures("library")
def test_through_api_gateway(
    benchmark: BenchmarkFixture, stack: Stack, case: str, entity_id: str, status: int
) -> None:
    api = stack.api()
    api.post("/acquire", question(entity_id))

    def ask() -> None:
        assert api.post("/acquire", question(entity_id)).status == status

    compare(benchmark, case, ask)


@pytest.mark.parametrize(
    ("case", "entity_id"),
    [
        ("the function alone, known bucket, 2 limits", "bench-alone"),
        ("the function alone, cascade of 2 levels, 2 limits", "bench-key"),
    ],
)
@pytest.mark.usefixtures("library")
def test_the_function_alone(
    benchmark: BenchmarkFixture, stack: Stack, baseline: str, case: str, entity_id: str
) -> None:
    functions = client("lambda", stack.endpoint_url)

    def invoke(name: str, event: Mapping[str, Any], **options: str) -> dict[str, Any]:
        reply = functions.invoke(FunctionName=name, Payload=json.dumps(event), **options)
        text = reply["Payload"].read()
        assert "FunctionError" not in reply, text
        answer: dict[str, Any] = json.loads(text)
        return answer

    def ours() -> None:
        event = acquire_event(question(entity_id))
        assert invoke(stack.acquire_function_name, event, Qualifier="live")["statusCode"] == 200

    def theirs() -> None:
        assert invoke(baseline, question(entity_id))["granted"]

    ours()
    theirs()
    compare(benchmark, case, ours, **{SEQUENTIAL: theirs})
