"""Before and after on the embedded stack, as docs/traces.md has it: every sequential round trip that is gone."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from scripts.generated import fill_in
from scripts.traces.cases import CASES, LEVELS, Case
from scripts.traces.comparison import DELAY_MS, Comparison, compare
from scripts.traces.pictures import FOLDER, PAGE, PICTURED
from scripts.traces.tables import DOCUMENT, PART, render_table

pytestmark = pytest.mark.xdist_group("comparison")

FAR_MS: Final = 2 * DELAY_MS
"""Far enough on a machine that runs other tests meanwhile."""
PICTURES: Final = sorted(FOLDER.glob("*.svg"))
SVG: Final = "http://www.w3.org/2000/svg"

type Comparisons = Mapping[str, Comparison]
"""By the slugs of their cases."""


@pytest.fixture(scope="module")
def comparisons() -> Comparisons:
    return {comparison.case.slug: comparison for comparison in compare(delay_ms=FAR_MS)}


def test_the_committed_table_is_what_is_counted_now(comparisons: Comparisons) -> None:
    page = DOCUMENT.read_text()
    assert fill_in(page, PART, render_table(comparisons.values())) == page


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.slug)
def test_before_made_one_call_after_the_other(comparisons: Comparisons, case: Case) -> None:
    before = comparisons[case.slug].before

    assert before.operations == sequential_operations(case)
    assert before.depth == len(before.operations)


def sequential_operations(case: Case) -> tuple[str, ...]:
    """Return the calls that the baseline's docstring promises."""
    levels = 2 if case.has_parent else 1
    queries = 0 if case.source == "call" else LEVELS.index(case.source) + 1
    return (
        *["GetItem"] * case.has_parent,
        *["Query"] * (queries + case.has_parent),
        *["GetItem"] * (levels * case.limit_count),
        *["TransactWriteItems"] * case.is_granted,
    )


@pytest.mark.parametrize("case", [case for case in CASES if case.is_known], ids=lambda case: case.slug)
def test_a_known_bucket_takes_one_round_trip_for_any_number_of_limits(
    comparisons: Comparisons, case: Case
) -> None:
    after = comparisons[case.slug].after

    assert after.operations == ("UpdateItem",) * (2 if case.has_parent else 1)
    assert after.depth == 1


@pytest.mark.parametrize(
    ("slug", "steps"),
    [
        ("cold-2", [["BatchGetItem"], ["UpdateItem"]]),
        ("new-2", [["BatchGetItem"], ["TransactWriteItems"]]),
        ("cascade-cold-named-2", [["BatchGetItem"], ["UpdateItem", "UpdateItem"]]),
        ("cascade-cold-2", [["BatchGetItem"], ["BatchGetItem"], ["UpdateItem", "UpdateItem"]]),
    ],
)
def test_a_cold_process_reads_once_and_once_more_where_it_does_not_know_the_parent(
    comparisons: Comparisons, slug: str, steps: list[list[str]]
) -> None:
    after = comparisons[slug].after

    assert [[call.operation for call in step] for step in after.steps] == steps


def test_only_the_refusal_was_refused_and_nothing_is_red(comparisons: Comparisons) -> None:
    for slug, (case, before, after) in comparisons.items():
        verdicts = {call.verdict for call in before.calls + after.calls}

        assert verdicts == ({"answered"} if case.is_granted else {"answered", "refused"}), slug
        assert not before.is_failed, slug
        assert not after.is_failed, slug
        assert before.attempts + after.attempts == len(before.calls + after.calls), slug


def test_each_case_asks_for_something_of_its_own() -> None:
    assert len({case.slug for case in CASES}) == len({case.name for case in CASES}) == len(CASES)


def test_document_and_pictures_say_how_far_dynamodb_was() -> None:
    for path in (DOCUMENT, PAGE, *PICTURES):
        assert f"{DELAY_MS} ms" in path.read_text(), path.name


def test_every_picture_that_is_named_is_there_and_no_other() -> None:
    assert [path.stem for path in PICTURES] == sorted(PICTURED)
    for name in re.findall(r"\(traces/([^)]+)\)", DOCUMENT.read_text()):
        assert (FOLDER / name).exists(), name


@pytest.mark.parametrize("path", [*PICTURES, PAGE], ids=lambda path: path.name)
def test_a_picture_is_xml_and_refers_to_nothing_outside(path: Path) -> None:
    text = path.read_text()

    ET.fromstring(text)  # noqa: S314 - our own file

    assert set(re.findall(r"https?://[^\"'\s<)]+", text)) == {SVG}
    assert not re.findall(r"\b(?:href|src)\s*=|url\(|@import|<script", text)


def test_the_page_shows_every_case() -> None:
    page = ET.fromstring(PAGE.read_text())  # noqa: S314 - our own file

    titles = [title.text or "" for title in page.iter("h2")]
    assert [title.lower() for title in titles] == [case.name.lower() for case in CASES]
    assert len(page.findall(f".//{{{SVG}}}svg")) == len(CASES)
