"""The two that are compared, each brought into a case and asked in it: the sequential algorithm, and Leasegate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from leasegate import Limiter
from leasegate.repository.dynamodb import DynamoRepository
from leasegate.tracing import Trace
from scripts.traces.cases import CAPACITY, NAMES, Case
from scripts.traces.deployed import DeployedFunction, FunctionFailed, Instance
from scripts.traces.events import acquire_event
from tests.benchmark.sequential.app import Limit as SequentialLimit
from tests.benchmark.sequential.app import SequentialLimiter

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class Contestant(Protocol):
    """An algorithm that is deployed."""

    function: DeployedFunction

    def store(self, case: Case) -> None:
        """Store what the case says of entities and limits."""

    def spend(self, case: Case, consume: dict[str, int]) -> None:
        """Spend, as somebody else."""

    def ask(self, instance: Instance, case: Case) -> tuple[bool, Trace]:
        """Say whether an instance granted, and what it did for that."""


def run(contestant: Contestant, case: Case) -> Trace:
    """Bring a contestant into a case and return the trace of its answer.

    Raises :class:`~scripts.traces.deployed.FunctionFailed` if that is not what the case expects.
    """
    contestant.store(case)
    if case.bucket_exists and not case.is_known:
        contestant.spend(case, case.question["consume"])
    # An instance takes long to start, and of another case's bucket it knows nothing.
    instance = contestant.function.instance() if case.is_known else contestant.function.start_instance()
    if case.is_known:
        _ask(contestant, instance, case, is_granted=True)
    if not case.is_granted:
        contestant.spend(case, {NAMES[case.limit_count - 1]: CAPACITY - 1})
    return _ask(contestant, instance, case, is_granted=case.is_granted)


def _ask(contestant: Contestant, instance: Instance, case: Case, *, is_granted: bool) -> Trace:
    granted, trace = contestant.ask(instance, case)
    if granted is not is_granted:
        raise FunctionFailed(f"{instance.function_name} {'granted' if granted else 'refused'}: {case.name}")
    return trace


class Sequential:
    """The algorithm of before, on a table of its own."""

    def __init__(self, function: DeployedFunction, client: DynamoDBClient, table_name: str) -> None:
        """Ask a function that uses this table; the client prepares it."""
        self.function = function
        self._limiter = SequentialLimiter(client, table_name)

    def store(self, case: Case) -> None:
        if case.has_parent:
            self._limiter.create_entity(case.parent_id)
            self._limiter.create_entity(case.entity_id, case.parent_id)
            self._limiter.set_limits(_limits(case), case.parent_id, case.resource)
        if case.source != "call":
            entity_id = case.entity_id if case.source in {"entity and resource", "entity"} else None
            resource = case.resource if case.source in {"entity and resource", "resource"} else None
            self._limiter.set_limits(_limits(case), entity_id, resource)

    def spend(self, case: Case, consume: dict[str, int]) -> None:
        self._limiter.acquire(case.entity_id, case.resource, consume, cascade=case.has_parent)

    def ask(self, instance: Instance, case: Case) -> tuple[bool, Trace]:
        answer, trace = instance.ask(case.question)
        return answer["granted"], trace


def _limits(case: Case) -> list[SequentialLimit]:
    return [SequentialLimit(limit.name, limit.capacity, limit.amount, limit.period_ms) for limit in case.limits]


class Leasegate:
    """The stack's own function, asked as API Gateway asks it."""

    def __init__(self, function: DeployedFunction, repository: DynamoRepository) -> None:
        """Ask a function; the repository prepares its table."""
        self.function = function
        self._repository = repository

    def _process(self) -> Limiter:
        """Open the table by a process that knows nothing of what others were told."""
        return Limiter(self._repository)

    def store(self, case: Case) -> None:
        limiter = self._process()
        if case.has_parent:
            limiter.create_entity(case.parent_id)
            limiter.create_entity(case.entity_id, parent_id=case.parent_id)
            limiter.set_limits(case.parent_id, case.limits, resource=case.resource)
        match case.source:
            case "entity and resource":
                limiter.set_limits(case.entity_id, case.limits, resource=case.resource)
            case "entity":
                limiter.set_limits(case.entity_id, case.limits)
            case "resource":
                limiter.set_resource_defaults(case.resource, case.limits)
            case "system":
                limiter.set_system_defaults(case.limits)
            case "call":
                pass

    def spend(self, case: Case, consume: dict[str, int]) -> None:
        self._process().acquire(case.entity_id, case.resource, consume, cascade=case.has_parent)

    def ask(self, instance: Instance, case: Case) -> tuple[bool, Trace]:
        answer, trace = instance.ask(acquire_event(case.question))
        if answer["statusCode"] not in {200, 429}:
            raise FunctionFailed(f"{case.name}: {answer}")
        return answer["statusCode"] == 200, trace
