"""A short comparison with the peer: that it compares what it says, and that our side of it is as it must be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest

from leasegate.metering import Usage
from scripts import dynamodb_local as emulator
from scripts.generated import filled_in
from scripts.peers.__main__ import CROWDS, PAGE, complaints
from scripts.peers.burst import CAPACITY
from scripts.peers.cases import CASES
from scripts.peers.contestant import LEASEGATE, NAMES, ZAE_LIMITER
from scripts.peers.crowd import Outcome
from scripts.peers.measurement import Comparison, Crowd, burst, gather, measure
from scripts.peers.tables import render_bursts, render_costs, render_crowds

pytestmark = pytest.mark.xdist_group("peers")

ALONE, SMALL, LARGE = Crowd(600, 1, 1), Crowd(6_000, 4, 0.25), Crowd(600, 16, 1)


class Run(NamedTuple):
    """All that is measured, in little."""

    comparison: Comparison
    gathered: Mapping[Crowd, Mapping[str, Outcome]]
    at_once: Mapping[str, int]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with emulator.running(tmp_path_factory.mktemp("peers") / "output.log") as endpoint_url:
        comparison = measure(endpoint_url, turns=2, requests_in_turn=4)
        yield Run(comparison, gather(endpoint_url, (ALONE, SMALL, LARGE)), burst(endpoint_url))


def test_every_case_costs_leasegate_what_it_must(run: Run) -> None:
    costs = {case.name: own[LEASEGATE].usage for case, own in run.comparison.cases.items()}
    assert costs == {
        "known bucket, granted": Usage(1, 0, 1),
        "known cascade of 2 levels, granted": Usage(2, 0, 2),
        "refused": Usage(1, 0, 1),
        "refused again, within 1 s": Usage(0, 0, 0),
        "bucket that another process made, granted": Usage(2, 6, 1),
        "bucket that does not exist yet": Usage(2, 6, 8),
        "the same, cascade of 2 levels": Usage(4, 10, 16),
        "one of 200 that do not exist yet, asked for by 8 threads": Usage(3, 6, 9),
    }


def test_every_turn_of_both_contestants_counts(run: Run) -> None:
    for case, own in run.comparison.cases.items():
        assert [len(own[name].costs) for name in NAMES] == [2, 2], case
        assert all(cost.cpu_s > 0 and cost.wall_s > 0 for name in NAMES for cost in own[name].costs), case


def test_each_contestant_has_an_environment_of_its_own(run: Run) -> None:
    assert {name: [*versions] for name, versions in run.comparison.versions.items()} == {
        LEASEGATE: ["leasegate", "boto3"],
        ZAE_LIMITER: ["zae-limiter", "boto3"],
    }


@pytest.mark.parametrize("crowd", [ALONE, SMALL, LARGE])
def test_clients_at_a_limit_get_all_that_it_lets_through_by_one_call_each(run: Run, crowd: Crowd) -> None:
    outcome = run.gathered[crowd][LEASEGATE]
    assert outcome.granted == outcome.allowed == crowd.seconds * crowd.per_minute / 60
    assert outcome.calls_of_grants == outcome.granted
    assert outcome.calls_of_refusals <= outcome.refused


def test_a_bucket_gives_its_capacity_at_once(run: Run) -> None:
    assert run.at_once[LEASEGATE] == CAPACITY
    assert run.at_once[ZAE_LIMITER] >= CAPACITY


def test_the_run_has_no_complaints_and_would_have_of_anything_less(run: Run) -> None:
    assert [*complaints(run.gathered, run.at_once)] == []
    poor = {LARGE: {LEASEGATE: Outcome(granted=97, calls_of_grants=200, allowed=100)}}
    lavish = {LARGE: {LEASEGATE: Outcome(granted=101, calls_of_grants=101, allowed=100)}}
    assert [*complaints(poor, {LEASEGATE: 199})] == [
        "199 granted at once of a bucket of 100",
        "16 clients at 600 a minute: 2.06 calls for a grant, more than 2",
        "16 clients at 600 a minute: 97.0% delivered, less than 98%",
    ]
    assert [*complaints(lavish, {LEASEGATE: CAPACITY})] == [
        "16 clients at 600 a minute: 101 granted, more than the 100 allowed"
    ]


def test_the_page_has_a_row_for_all_that_is_measured(run: Run) -> None:
    page = PAGE.read_text()
    crowds = dict.fromkeys(CROWDS, run.gathered[ALONE])
    assert list(run.comparison.cases) == list(CASES)
    for part, table, columns in (
        ("peers: costs", render_costs(run.comparison), 2),
        ("peers: crowds", render_crowds(crowds), 3),
        ("peers: bursts", render_bursts(run.at_once), 1),
    ):
        rows = [line.split("|")[1 : 1 + columns] for line in table.splitlines()]
        assert [line.split("|")[1 : 1 + columns] for line in filled_in(page, part).splitlines()] == rows
