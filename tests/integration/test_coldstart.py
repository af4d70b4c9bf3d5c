"""A cold start of the acquire function: what it imports, and what it does without; no test asserts a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pytest

from scripts.coldstart.__main__ import IMPORTS_PART, PAGE, STARTS_PART, prepared
from scripts.coldstart.measurement import WAYS, Start, Way, take_turns
from scripts.coldstart.tables import own_times, render_starts
from scripts.generated import filled_in

ROUNDS: Final = 1
NEVER: Final = [
    # What administers, counts usage and reads traces; the document of the API.
    "leasegate.administration",
    "leasegate.limiter",
    "leasegate.records",
    "leasegate.tracing",
    "leasegate.http.schemas",
    "leasegate.flows.auditing",
    "leasegate.flows.entities",
    "leasegate.flows.usage",
    # What boto3 adds to a client of botocore: S3's transfers, in processes of their own.
    "boto3",
    "s3transfer",
    "multiprocessing",
    # What wrapt imports from 2.2 on.
    "asyncio",
    # Frameworks.
    "aws_lambda_powertools.event_handler",
    "pydantic",
]
"""What no acquire needs."""
TRACED_ONLY: Final = ["aws_xray_sdk", "wrapt"]

type Run = tuple[Mapping[Way, Sequence[Start]], Mapping[str, object]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A short measurement, and what `-X importtime` says of a traced start, by package."""
    with prepared(tmp_path_factory.mktemp("coldstart")) as surroundings:
        starts = take_turns(surroundings, ROUNDS)
        return starts, own_times(surroundings.import_times(Way(has_bytecode=True, is_traced=True)))


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_first_acquire_imports_nothing_that_it_does_not_need(run: Run, way: Way) -> None:
    (start,) = run[0][way]
    unwanted = NEVER if way.is_traced else NEVER + TRACED_ONLY

    assert {"app", "leasegate.spender", "botocore.client", "leasegate_lambda.serving"} <= set(start.modules)
    assert way.is_traced is ("aws_xray_sdk" in start.modules)
    assert not [name for name in start.modules if any(f"{name}.".startswith(f"{other}.") for other in unwanted)]


def test_bytecode_changes_nothing_but_the_time(run: Run) -> None:
    for is_traced in (True, False):
        (shipped,), (bare,) = (run[0][Way(bytecode, is_traced)] for bytecode in (True, False))
        assert shipped.modules == bare.modules


def test_every_way_to_start_takes_its_turns(run: Run) -> None:
    starts, _ = run
    assert {way: len(own) for way, own in starts.items()} == dict.fromkeys(WAYS, ROUNDS)
    assert all(min(one.import_s, one.first_s, one.second_s, one.memory_bytes) > 0 for (one,) in starts.values())


def test_imports_are_told_by_package_without_the_runtimes_own(run: Run) -> None:
    _, imported = run
    assert {"Leasegate", "botocore", "aws_lambda_powertools", "aws_xray_sdk"} <= imported.keys()
    assert not {"awslambdaric", "simplejson"} & imported.keys()


def test_the_page_has_a_row_for_all_that_is_measured(run: Run) -> None:
    page = PAGE.read_text()
    rows = [line.split("|")[1:3] for line in render_starts(run[0]).splitlines()]

    assert [line.split("|")[1:3] for line in filled_in(page, STARTS_PART).splitlines()] == rows
    assert "| Leasegate |" in filled_in(page, IMPORTS_PART)
