"""The backfill function on moto: its options, its answers, and what an operator sees of a failure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from leasegate import InvalidRequest, Limit, Limiter, StoreError, schema
from tests.fixtures.functions import TABLE_NAME, Launch
from tests.functions import Context, Function, counts, lines
from tests.samples import BACKFILL, EVENTS, load_event

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NAMES = ["gpt-4", "images", "tts"]


@dataclass(frozen=True)
class Countdown(Context):
    """A context in which every look at the clock takes time."""

    each_ms: int = 0
    looks: list[int] = field(default_factory=list)

    def get_remaining_time_in_millis(self) -> int:
        self.looks.append(self.left_ms - len(self.looks) * self.each_ms)
        return self.looks[-1]


@pytest.fixture
def function(moto_client: DynamoDBClient, launch: Launch) -> Function:
    return launch("backfill")


@pytest.fixture
def old_defaults(limiter: Limiter, moto_client: DynamoDBClient) -> None:
    """Resources with defaults, of which the registry knows nothing but a name that has none any more."""
    for name in NAMES:
        limiter.set_resource_defaults(name, [Limit.per_minute("rpm", 60)])
    key = schema.registry_key()
    moto_client.put_item(
        TableName=TABLE_NAME,
        Item={
            schema.PK: {"S": key.pk},
            schema.SK: {"S": key.sk},
            schema.REGISTRY_RESOURCES: {"SS": ["forgotten"]},
        },
    )


def invoke(function: Function, event: object, context: Context | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = function.module.handler(event, context or Context())
    return answer


def test_every_event_has_its_row_of_expectations() -> None:
    assert {path.stem for path in EVENTS.glob("backfill_*.json")} == set(BACKFILL)


@pytest.mark.parametrize("name", BACKFILL)
def test_a_sample_shows_its_case_as_often_as_it_runs(name: str, function: Function, old_defaults: None) -> None:
    wrong = BACKFILL[name]
    for _ in range(2):
        if wrong is None:
            assert invoke(function, load_event(name))["status"] == "complete"
        else:
            with pytest.raises(InvalidRequest) as refusal:
                invoke(function, load_event(name))
            assert str(refusal.value).startswith(f"{wrong}: ")


def test_a_dry_run_says_what_a_run_then_does(function: Function, limiter: Limiter, old_defaults: None) -> None:
    foreseen = invoke(function, {"dry_run": True, "prune": True})
    assert limiter.list_resources_with_defaults() == ["forgotten"]
    done = invoke(function, {"prune": True})
    assert done == foreseen
    assert {name: done[name] for name in ("status", "found", "added", "removed", "checkpoint")} == {
        "status": "complete",
        "found": 3,
        "added": 3,
        "removed": 1,
        "checkpoint": None,
    }
    assert limiter.list_resources_with_defaults() == NAMES
    assert invoke(function, {"prune": True})["added"] == 0


def test_without_options_names_are_only_added(function: Function, limiter: Limiter, old_defaults: None) -> None:
    assert invoke(function, {})["removed"] == 0
    assert limiter.list_resources_with_defaults() == ["forgotten", *NAMES]


def test_with_hardly_any_time_it_answers_at_once_and_touches_nothing(
    function: Function, limiter: Limiter, old_defaults: None, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = invoke(function, {"segments": 2}, Context(left_ms=100))
    assert answer == {
        "status": "in_progress",
        "scanned": 0,
        "found": 0,
        "added": 0,
        "removed": 0,
        "checkpoint": {"segments": 2},
    }
    assert counts(capsys)["BackfillRoundTrips"] == 0


def test_invoked_again_and_again_it_comes_to_the_end(
    function: Function, limiter: Limiter, old_defaults: None
) -> None:
    answers: list[dict[str, Any]] = []
    while not answers or answers[-1]["status"] == "in_progress":
        assert len(answers) < 10
        answers.append(invoke(function, {"prune": True}, Countdown(left_ms=1_750, each_ms=1)))
    assert len(answers) > 1
    assert answers[0]["checkpoint"] == {"segments": 4, "segments_done": 4}
    assert (answers[-1]["added"], answers[-1]["removed"]) == (3, 1)
    assert limiter.list_resources_with_defaults() == NAMES


@pytest.mark.parametrize(
    ("field", "event"),
    [
        ("dry-run", {"dry-run": True}),
        ("dry_run", {"dry_run": "true"}),
        ("prune", {"prune": 1}),
        ("segments", {"segments": "4"}),
        ("segments", {"segments": 0}),
        ("segments", {"segments": True}),
        ("event", None),
        ("event", [True]),
        ("time_left_ms", {"time_left_ms": 5}),
    ],
)
def test_a_mistake_is_an_error_that_names_the_field(
    field: str, event: object, function: Function, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        invoke(function, event)
    assert refusal.value.field == field
    assert str(refusal.value).startswith(f"{field}: ")
    assert counts(capsys) == {"BackfillInvalid": 1, "BackfillRoundTrips": 0}


def test_a_table_that_does_not_answer_is_an_error_too(
    monkeypatch: pytest.MonkeyPatch,
    moto_client: DynamoDBClient,
    launch: Launch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TABLE_NAME", "another-table")
    function = launch("backfill")
    with pytest.raises(StoreError):
        invoke(function, {})
    assert counts(capsys) == {"BackfillFailed": 1, "BackfillRoundTrips": 1}


def test_the_log_tells_what_was_done(
    function: Function, old_defaults: None, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = invoke(function, {})
    (record,) = [line for line in lines(capsys) if line.get("message") == "backfill"]
    assert {name: record.get(name) for name in answer} == answer


def test_the_client_is_built_in_the_init_phase(
    monkeypatch: pytest.MonkeyPatch, moto_client: DynamoDBClient, launch: Launch
) -> None:
    assert launch("backfill").module.client.cache_info().currsize == 0
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    assert launch("backfill").module.client.cache_info().currsize == 1
