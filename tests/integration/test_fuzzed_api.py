"""The deployed API under requests that its own document leads to, good ones and bad ones.

Schemathesis makes them of docs/openapi.json and judges the answers by it; the same ones every time. Whatever is
asked, the answer is one that the document has, and tells nothing of what is behind it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import pytest
import requests
import schemathesis
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from requests.auth import AuthBase
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from leasegate import Limit, Limiter
from leasegate.http.routes import ROUTES
from leasegate.http.routing import Route
from leasegate.repository.dynamodb import DynamoRepository
from scripts.deployment import dynamodb_client
from tests.contract import document

if TYPE_CHECKING:
    from scripts.stack import Stack

EXAMPLES: Final = {GenerationMode.POSITIVE: 8, GenerationMode.NEGATIVE: 8}
"""How many requests of each kind a route gets."""
KNOWN: Final = "fuzzed"
"""An entity and a resource that there are, and the name of its limit."""
SEED: Final = 20_261_130

load_all_checks()
JUDGES: Final = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    ]
)
REJECTION: Final = CHECKS.get_by_names(["negative_data_rejection"])
INTERNAL: Final = re.compile(
    r"Traceback|File \"|botocore|dynamo|/var/|\.py\b"
    r"|(?:BUCKET|ENTITY|RESOURCE|LEASE|SYSTEM|AUDIT|USAGE|OPERATION)#|#(?:STATE|META|LIMITS)|GSI1|\b[A-Z]\w+(?:Error|Exception)\b",
    re.IGNORECASE,
)

API: Final = schemathesis.openapi.from_dict(document())
# What is not signed is refused by the gateway, which has tests of its own.
API.config.generation.with_security_parameters = False
OPERATIONS: Final = {result.ok().definition.raw["operationId"]: result.ok() for result in API.get_all_operations()}


class Signed(AuthBase):
    """Signs requests as the emulated account."""

    def __init__(self, stack: Stack) -> None:
        credentials = Credentials(stack.access_key_id, stack.secret_access_key)
        self._signer = SigV4Auth(credentials, "execute-api", stack.region)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        signed = AWSRequest(request.method, request.url, data=request.body)
        self._signer.add_auth(signed)
        request.headers.update(dict(signed.headers))
        return request


@pytest.fixture(scope="module")
def session(stack: Stack) -> Iterator[requests.Session]:
    """A signing client of a table that is not empty."""
    with DynamoRepository(dynamodb_client(stack.endpoint_url), stack.table_name) as repository:
        limiter = Limiter(repository)
        limiter.put_entity(KNOWN)
        limiter.set_limits(KNOWN, [Limit.per_day(KNOWN, 10**12)])
        limiter.acquire(KNOWN, KNOWN, {KNOWN: 1})
        with requests.Session() as session:
            session.auth = Signed(stack)
            yield session
        # The other tests of this stack expect that there are none.
        limiter.delete_system_defaults()


def test_every_route_is_asked() -> None:
    assert sorted(OPERATIONS) == sorted(route.operation for route in ROUTES)


def lead(case: Any) -> None:  # noqa: ANN401 - generated
    """Lead a request to the entity that there is, so that not all of them ask in vain."""
    for name in ("entity_id", "resource"):
        if name in case.path_parameters:
            case.path_parameters[name] = KNOWN
        if isinstance(case.body, dict) and name in case.body:
            case.body[name] = KNOWN
    if isinstance(case.body, dict):
        case.body |= {name: {KNOWN: 1} for name in ("adjust", "consume", "tokens") if name in case.body}
        if "consume" in case.body:
            case.body = {name: case.body[name] for name in ("entity_id", "resource", "consume")}


def spoils(route: Route) -> bool:
    """Say whether there is anything in a request that could be wrong."""
    return "{" in route.path or bool(route.query or route.headers or route.body)


CASES: Final = [
    (route.operation, mode)
    for route in ROUTES
    for mode in EXAMPLES
    if mode is GenerationMode.POSITIVE or spoils(route)
]


@pytest.mark.parametrize(("operation", "mode"), CASES, ids=lambda part: getattr(part, "value", part))
def test_whatever_is_asked_is_answered_as_documented(
    operation: str, mode: GenerationMode, stack: Stack, session: requests.Session
) -> None:
    answers: Counter[int] = Counter()

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES[mode],
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=OPERATIONS[operation].as_strategy(generation_mode=mode),
        is_led=st.just(False) if mode is GenerationMode.NEGATIVE else st.booleans(),
    )
    def ask(case: Any, is_led: bool) -> None:  # noqa: ANN401 - generated
        if is_led:
            lead(case)
        judges = JUDGES if operation == "acquire_batch" else JUDGES + REJECTION
        response = case.call_and_validate(base_url=stack.api_url, session=session, checks=judges)
        answers[response.status_code] += 1
        if (
            operation == "acquire_batch"
            and mode is GenerationMode.NEGATIVE
            and response.status_code == HTTPStatus.OK
        ):
            # One that is wrong is rejected by itself.
            assert HTTPStatus.BAD_REQUEST in [verdict["status"] for verdict in response.json()["results"]]
        found = INTERNAL.search(response.text)
        assert not found, f"{found} is told in {response.text}"

    ask()
    assert 1 <= answers.total() <= EXAMPLES[mode]
