"""The baseline is no straw man: it limits, exactly and all or nothing, in as many calls as its docstring says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest

from tests.benchmark.sequential.app import ATTEMPTS, Limit, Overtaken, SequentialLimiter
from tests.fixtures.functions import TABLE_NAME

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

RPM: Final = Limit("rpm", 3, 60, 60_000)
TPM: Final = Limit("tpm", 1_000, 1_000, 60_000)
NAMES: Final = ("rpm", "tpm", "rpd", "tpd", "images")


@dataclass
class Clock:
    """Seconds since 1970, moved by hand."""

    now_s: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Calls:
    """The operations that a client was asked for since the last look."""

    made: list[str] = field(default_factory=list)

    def note(self, model: object, **_event: object) -> None:
        self.made.append(model.name)  # type: ignore[attr-defined] # botocore has no types for its models

    def take(self) -> list[str]:
        made, self.made = self.made, []
        return made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def calls(moto_client: DynamoDBClient) -> Calls:
    calls = Calls()
    moto_client.meta.events.register("before-call.dynamodb", calls.note)
    return calls


@pytest.fixture
def limiter(moto_client: DynamoDBClient, clock: Clock) -> SequentialLimiter:
    return SequentialLimiter(moto_client, TABLE_NAME, clock)


def test_it_grants_up_to_the_capacity_and_refuses_then(limiter: SequentialLimiter) -> None:
    assert [limiter.acquire("key-1", "gpt-4", {"rpm": 1}, [RPM]) for _ in range(5)] == [True] * 3 + [False] * 2


def test_tokens_flow_back_at_their_rate(limiter: SequentialLimiter, clock: Clock) -> None:
    assert limiter.acquire("key-1", "gpt-4", {"rpm": 3}, [RPM])

    clock.now_s += 0.999
    assert not limiter.acquire("key-1", "gpt-4", {"rpm": 1}, [RPM])
    clock.now_s += 0.001
    assert limiter.acquire("key-1", "gpt-4", {"rpm": 1}, [RPM])
    assert not limiter.acquire("key-1", "gpt-4", {"rpm": 1}, [RPM])


def test_often_asked_it_refills_no_faster(limiter: SequentialLimiter, clock: Clock) -> None:
    every_one_and_a_half_ms = Limit("rpm", 3, 2, 3)
    limiter.acquire("key-1", "gpt-4", {"rpm": 3}, [every_one_and_a_half_ms])

    granted = 0
    for _ in range(60):
        clock.now_s += 0.001
        granted += limiter.acquire("key-1", "gpt-4", {"rpm": 1}, [every_one_and_a_half_ms])

    assert 39 <= granted <= 40


def test_it_spends_from_all_limits_or_from_none(limiter: SequentialLimiter) -> None:
    assert not limiter.acquire("key-1", "gpt-4", {"rpm": 1, "tpm": 1_001}, [RPM, TPM])

    assert limiter.acquire("key-1", "gpt-4", {"rpm": 3, "tpm": 1_000}, [RPM, TPM])
    assert not limiter.acquire("key-1", "gpt-4", {"rpm": 1}, [RPM, TPM])


def test_a_cascade_spends_from_the_parent_too_or_from_none(limiter: SequentialLimiter) -> None:
    limiter.create_entity("project-1")
    for child in ("key-1", "key-2"):
        limiter.create_entity(child, "project-1")
        limiter.set_limits([RPM], child)
    limiter.set_limits([RPM._replace(capacity=4)], "project-1")

    assert limiter.acquire("key-1", "gpt-4", {"rpm": 3}, cascade=True)
    assert not limiter.acquire("key-2", "gpt-4", {"rpm": 2}, cascade=True)
    assert limiter.acquire("key-2", "gpt-4", {"rpm": 3})
    assert limiter.acquire("project-1", "gpt-4", {"rpm": 1})


def test_the_first_level_that_has_limits_holds(limiter: SequentialLimiter) -> None:
    for capacity, (entity_id, resource) in enumerate(
        [(None, None), (None, "gpt-4"), ("key-1", None), ("key-1", "gpt-4")], 1
    ):
        limiter.set_limits([RPM._replace(capacity=capacity)], entity_id, resource)

        assert not limiter.acquire("key-1", "gpt-4", {"rpm": capacity + 1})
        assert limiter.acquire(f"key-{capacity + 1}", "gpt-4", {"rpm": min(capacity, 2)})


def test_limits_of_an_entity_are_not_those_it_has_for_a_resource(limiter: SequentialLimiter) -> None:
    limiter.set_limits([RPM], "key-1", "gpt-4")

    with pytest.raises(LookupError, match="rpm"):
        limiter.acquire("key-1", "gpt-3", {"rpm": 1})


def test_an_acquire_that_is_always_overtaken_gives_up(
    limiter: SequentialLimiter, moto_client: DynamoDBClient, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rival = SequentialLimiter(moto_client, TABLE_NAME, clock)
    ample = RPM._replace(capacity=100)
    limiter.acquire("key-1", "gpt-4", {"rpm": 1}, [ample])
    written = limiter._write
    attempts: list[bool] = []

    def write_late(*items: object) -> bool:
        rival.acquire("key-1", "gpt-4", {"rpm": 1}, [ample])
        attempts.append(written(*items))  # type: ignore[arg-type] # passed on as they came
        return attempts[-1]

    monkeypatch.setattr(limiter, "_write", write_late)

    with pytest.raises(Overtaken):
        limiter.acquire("key-1", "gpt-4", {"rpm": 1}, [ample])
    assert attempts == [False] * ATTEMPTS


@pytest.mark.parametrize("count", [1, 2, 5])
def test_limits_given_with_the_call_take_a_call_each_and_one(
    limiter: SequentialLimiter, calls: Calls, count: int
) -> None:
    for _new_then_known in range(2):
        limiter.acquire("key-1", "gpt-4", dict.fromkeys(NAMES[:count], 1), limits(count))

        assert calls.take() == ["GetItem"] * count + ["TransactWriteItems"]


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize(
    ("level", "queries"), [(("key-1", "gpt-4"), 1), (("key-1", None), 2), ((None, "gpt-4"), 3), ((None, None), 4)]
)
def test_stored_limits_take_a_query_for_each_level_besides(
    limiter: SequentialLimiter, calls: Calls, count: int, level: tuple[str | None, str | None], queries: int
) -> None:
    limiter.set_limits(limits(count), *level)
    calls.take()

    limiter.acquire("key-1", "gpt-4", dict.fromkeys(NAMES[:count], 1))

    assert calls.take() == ["Query"] * queries + ["GetItem"] * count + ["TransactWriteItems"]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_cascade_takes_all_of_it_twice_and_the_entity(
    limiter: SequentialLimiter, calls: Calls, count: int
) -> None:
    limiter.create_entity("project-1")
    limiter.create_entity("key-1", "project-1")
    for entity_id in ("project-1", "key-1"):
        limiter.set_limits(limits(count), entity_id, "gpt-4")
    calls.take()

    limiter.acquire("key-1", "gpt-4", dict.fromkeys(NAMES[:count], 1), cascade=True)
    assert calls.take() == ["GetItem", "Query", "Query"] + ["GetItem"] * 2 * count + ["TransactWriteItems"]

    limiter.acquire("key-1", "gpt-4", dict.fromkeys(NAMES[:count], 1), limits(count), cascade=True)
    assert calls.take() == ["GetItem"] * (2 * count + 1) + ["TransactWriteItems"]


def test_a_refusal_writes_nothing(limiter: SequentialLimiter, calls: Calls) -> None:
    limiter.acquire("key-1", "gpt-4", {"rpm": 4}, [RPM])

    assert calls.take() == ["GetItem"]


def limits(count: int) -> list[Limit]:
    return [RPM._replace(name=name) for name in NAMES[:count]]
