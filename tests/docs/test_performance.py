"""docs/performance.md: its tables are worked out, its commands answer as shown, its code runs."""

from __future__ import annotations

import re
import shlex
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import pytest

from leasegate.knowledge import DEFAULT_MAX_BUCKETS, DEFAULT_REFUSAL_AGE_MS
from leasegate.limits import MAX_CONCURRENT, MAX_LIMITS
from leasegate.pricing import Shape, Traffic
from leasegate.pricing.shapes import Family
from leasegate.pricing.units import Levels
from leasegate.repository.client import SWITCH, WORKERS, client_config
from leasegate.schema import MAX_LEVELS
from leasegate.session import DEFAULT_TIMEOUT_MS
from leasegate.spender import MAX_BATCH
from scripts import template
from scripts.costs.guide import PAGE, render_guide
from scripts.costs.processors import MB_OF_A_PROCESSOR
from scripts.costs.rendering import fill_in_tables
from scripts.costs.scenarios import (
    KEY_WRITES_A_SECOND,
    SCENARIOS,
    busiest_bucket,
    command,
    write_units_of_an_acquire,
)
from scripts.generated import filled_in
from scripts.toolchain import ROOT
from tests.command import Command
from tests.docs.blocks import Blocks
from tests.docs.running import run
from tests.docs.sessions import session

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PAGE_TEXT: Final = PAGE.read_text()
TEXT: Final = " ".join(PAGE_TEXT.split())


def test_the_tables_are_as_they_are_worked_out_now() -> None:
    assert fill_in_tables(PAGE_TEXT, render_guide()) == PAGE_TEXT, "run `make costs`"


@pytest.mark.runs("docs/performance.md", "console")
def test_the_commands_answer_as_shown(blocks: Blocks) -> None:
    asked: list[str] = []

    def shell(line: str) -> str:
        asked.append(line)
        program, *arguments = shlex.split(line)
        assert program == "leasegate"
        return Command()(*arguments).output

    for block in blocks.take():
        assert session(block, shell) == block
    assert asked[: len(SCENARIOS)] == [command(each) for each in SCENARIOS.values()]


@pytest.mark.runs("docs/performance.md", "python")
def test_the_examples_run_and_say_what_their_comments_say(still_table: DynamoDBClient, blocks: Blocks) -> None:
    units, batches, clients = [2, 3, 7, 1, 2], [1797, 25, [1], 2, 5, 259], [59] * 3
    assert run(blocks.take()) == [str(value) for value in (*units, *batches, *clients)]


def test_the_formulas_of_the_table_give_its_figures() -> None:
    table = filled_in(PAGE_TEXT, "costs: operations")
    rows = re.findall(r"^\| (?!an acquire)(\w[^|]*) \| ([^|]+) \| ([\d |]+) \|$", table, re.MULTILINE)
    assert len(rows) == 11
    for _, formula, figures in rows:
        shown = [int(figure) for figure in figures.split(" | ")]
        assert [_value(formula, count) for count in range(1, MAX_LEVELS + 1)] == shown, formula


def _value(formula: str, count: int) -> int:
    """Work a formula out as its table writes it: `2 B` is a product, and what holds alone stands after a comma."""
    levels = Levels.of(Family(Shape(), 2, count))
    several, _, alone = formula.replace("`", "").partition(", alone ")
    text = alone if alone and count == 1 else several
    text = text.replace("max b", str(max(levels.buckets))).replace("min b", str(min(levels.buckets)))
    names = {"B": levels.granted, "L": count, "n": levels.newborn, "l": levels.lease, "b": levels.buckets[0]}
    result = eval(re.sub(r"(\d) (?=[\w(])", r"\1 * ", text), names)  # noqa: S307 - the page's own formulas
    assert isinstance(result, int)
    return result


def test_the_formula_of_a_second_is_that_of_the_package() -> None:
    formula = "r ((1 - f) B + f (2 B - min b) + m max b + (1 - f) s B)"
    assert f"`write units = {formula}`" in TEXT
    f, m, s = Decimal("0.2"), Decimal("0.1"), Decimal("0.5")
    traffic = Traffic(
        acquires=1_000, cascade=Decimal(1), via="library", new_buckets=0, refused=f, missed=m, adjusted=s
    )
    levels = Levels.of(Family(Shape(), 2, 2))
    units = (1 - f) * levels.granted + f * levels.refused + m * levels.second_try + (1 - f) * s * levels.corrected
    assert write_units_of_an_acquire(traffic) == units


def test_a_bucket_that_is_too_busy_is_so_until_more_is_asked_for_at_a_time() -> None:
    loads = [busiest_bucket(each) for each in SCENARIOS.values()]
    assert [load > KEY_WRITES_A_SECOND for load in loads] == [False, False, True, False]
    one, many = list(SCENARIOS.values())[2:]
    assert one.traffic.acquires == MAX_BATCH * many.traffic.acquires
    assert one.peak == MAX_BATCH * many.peak
    for text in ("start 1,500 jobs a second", "it is 60 acquires", "64 processes share"):
        assert text in TEXT


def test_the_figures_are_those_of_the_code() -> None:
    config = client_config()
    timeouts = (config.connect_timeout, config.read_timeout)  # type: ignore[attr-defined] # its options are attributes
    assert "after {} s without a connection and {} s without an answer".format(*timeouts) in TEXT
    assert config.max_pool_connections == 2 * WORKERS  # type: ignore[attr-defined] # as above
    for text in (
        f"keeps up to {2 * WORKERS}, twice the workers",
        f"by up to {WORKERS} workers",
        f"`timeout_ms`, {DEFAULT_TIMEOUT_MS // 1_000} s by default",
        f"`RefusalMaxAgeMs`, {DEFAULT_REFUSAL_AGE_MS // 1_000} s by default",
        f"| limits of a bucket | {MAX_LIMITS} |",
        f"| levels of a cascade | {MAX_LEVELS} |",
        f"| acquires in a batch | {MAX_BATCH} |",
        f"| leases that hold places of one concurrency limit | {MAX_CONCURRENT:,} |",
        f"| buckets that a process remembers | {DEFAULT_MAX_BUCKETS:,} |",
        f"a whole one at {MB_OF_A_PROCESSOR:,} MB",
        f"DynamoDB takes {KEY_WRITES_A_SECOND:,} write units a second",
        f"`{SWITCH}=off`",
    ):
        assert text in TEXT, text


def test_the_parameters_are_those_of_the_template() -> None:
    stack = template.load()
    parameters = {name: each["Default"] for name, each in stack["Parameters"].items()}
    named = set(re.findall(r"`([A-Z]\w+)(?:=\w+)?`", PAGE_TEXT)) & parameters.keys()
    assert {"MemorySize", "SnapStart", "Tracing", "DirectPath", "UsageWindows", "ThrottlingRateLimit"} <= named
    assert (parameters["ThrottlingRateLimit"], parameters["ThrottlingBurstLimit"]) == (1_000, 500)
    assert "1,000 a second and 500 at once" in TEXT
    assert f"The default is `MemorySize` {parameters['MemorySize']:,}" in TEXT
    assert f"`UsageBatchWindowSeconds`, {parameters['UsageBatchWindowSeconds']} s by default" in TEXT
    functions = [each["Properties"] for each in stack["Resources"].values() if each["Type"].endswith("::Function")]
    assert not [each for each in functions if "ReservedConcurrentExecutions" in each]
    assert stack["Resources"]["Table"]["Properties"]["BillingMode"] == "PAY_PER_REQUEST"
    assert set(re.findall(r"`(\w+Alarm)`", PAGE_TEXT)) <= stack["Resources"].keys()
    (counting,) = stack["Resources"]["AggregatorFunction"]["Properties"]["Events"].values()
    hours = counting["Properties"]["MaximumRecordAgeInSeconds"] // 3_600
    assert f"after {hours} hours it is a [dead letter]" in TEXT


def test_what_the_direct_path_says_is_what_the_page_quotes() -> None:
    sources = (ROOT / "layers/limiter/leasegate/repository/direct").glob("*.py")
    code = "".join([source.read_text() for source in sources])
    quoted = re.findall(r"\*([^*]*takes? the SDK's own path[^*]*)\*", TEXT)
    assert len(quoted) == 2
    for message in quoted:
        assert message.replace("… is", "%s is").replace("… takes", "%s takes").replace("is …", "is %s") in code


def test_what_the_pages_say_of_measured_tables_is_in_them() -> None:
    memory_mb = re.findall(r"\| (\d+) MB \|", filled_in(PAGE_TEXT, "coldstart: table"))
    assert max(map(int, memory_mb)) < 50
    assert "it takes less than 50 MB" in TEXT
    crowds = filled_in(PAGE_TEXT, "peers: crowds")
    rows = re.findall(r"\| (Leasegate|zae-limiter) \| [\d.]+ \| ([\d.]+) \| .* \| (\d+) % \|", crowds)
    assert {(who, calls) for who, calls, _ in rows} == {("Leasegate", "1.00"), ("zae-limiter", "4.00")}
    assert {delivered for who, _, delivered in rows if who == "Leasegate"} == {"100"}
    assert {delivered for who, _, delivered in rows if who != "Leasegate"} == {"50", "90"}
    comparison = " ".join((ROOT / "docs" / "comparison.md").read_text().split())
    assert "one call for each grant" in comparison
    assert (
        "where zae-limiter takes four, delivers all of the allowed rate where that delivers 50 to 90 %"
        in comparison
    )
