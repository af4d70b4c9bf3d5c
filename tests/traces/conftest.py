"""What is traced: instances of the built functions, at a distance from DynamoDB Local."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import pytest

from leasegate.repository.dynamodb import DynamoRepository
from scripts import template
from scripts.traces.daemon import Daemon, listening
from scripts.traces.distance import distance
from tests.fixtures.dynamodb import dynamodb_client

pytest.register_assert_rewrite("tests.traces.instances")

from tests.traces.instances import Instance, running  # noqa: E402 - only now can its asserts explain themselves
from tests.traces.scenes import Scene  # noqa: E402 - as above

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

DELAY_MS: Final = 80
"""Far more than it takes to send a few calls, even on a busy machine: so those side by side surely overlap."""
MANY_DELAY_MS: Final = 300
"""The same for as many calls as there may be: each is sent by a thread of its own, and they share a processor."""
LONG_MS: Final = "3600000"
"""Longer than tests take."""

_numbers = itertools.count(1)


class Launch(Protocol):
    """Starts an instance of a function of template.yaml, which lives as long as the tests of the module."""

    def __call__(
        self,
        resource: str,
        *,
        table: str | None = None,
        endpoint: str | None = None,
        delay_ms: int = DELAY_MS,
        **variables: str,
    ) -> Instance:
        """Start it with these variables beside the template's, on the table that all share or one of its own."""


@pytest.fixture(scope="session")
def daemon() -> Iterator[Daemon]:
    """Listen to what the functions send to X-Ray."""
    with listening() as daemon:
        yield daemon


@pytest.fixture(scope="session")
def client(dynamodb_local: str) -> Iterator[DynamoDBClient]:
    """Reach DynamoDB Local directly."""
    client = dynamodb_client(dynamodb_local)
    yield client
    client.close()


@pytest.fixture(scope="session")
def fresh_table(client: DynamoDBClient) -> Callable[[], str]:
    """Create empty tables; they go with DynamoDB Local."""

    def create() -> str:
        name = f"traced-{next(_numbers)}"
        template.create_table(client, name)
        return name

    return create


@pytest.fixture(scope="session")
def shared_table(fresh_table: Callable[[], str]) -> str:
    """Create the table of all tests that look at nothing but entities and resources of their own."""
    return fresh_table()


@pytest.fixture
def scene(client: DynamoDBClient, shared_table: str) -> Iterator[Scene]:
    """Give a test names of its own in the shared table."""
    with DynamoRepository(client, shared_table) as repository:
        yield Scene(repository, next(_numbers))


@pytest.fixture(scope="module")
def launch(
    built: Path,
    daemon: Daemon,
    dynamodb_local: str,
    shared_table: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Launch]:
    """Start instances, and end all of them after the tests of a module."""
    with ExitStack() as running_instances:

        def start(
            resource: str,
            *,
            table: str | None = None,
            endpoint: str | None = None,
            delay_ms: int = DELAY_MS,
            **variables: str,
        ) -> Instance:
            there = running_instances.enter_context(distance(endpoint or dynamodb_local, delay_ms))
            variables |= {"TABLE_NAME": table or shared_table, "DYNAMODB_ENDPOINT": there}
            folder = tmp_path_factory.mktemp(resource)
            return running_instances.enter_context(running(resource, built, daemon, folder, variables))

        yield start


@pytest.fixture(scope="module")
def warm(launch: Launch) -> Instance:
    """Run an instance of the acquire function that goes on believing what it knows."""
    return launch("AcquireFunction", DEFAULTS_MAX_AGE_MS=LONG_MS, REFUSAL_MAX_AGE_MS=LONG_MS)
