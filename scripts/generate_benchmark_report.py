"""Write the results of `make bench` into docs/performance.md: its tables, and the pictures beside it.

python -m scripts.generate_benchmark_report .local/benchmark.json [docs]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from scripts import markdown
from scripts.benchmark_plots import draw_plots
from scripts.generated import fill_in
from scripts.toolchain import ROOT

DOCS: Final = ROOT / "docs"
PAGE: Final = "performance.md"
FOLDER: Final = "performance"
OURS: Final = "Leasegate"
BOTO3: Final = "boto3"
SEQUENTIAL: Final = "sequential"

type Result = Mapping[str, Any]
"""What a benchmark says of itself: its ``case``, and its figures."""
type Results = Mapping[str, Sequence[Result]]
"""Results by the group of their benchmarks."""


class Table(NamedTuple):
    """A table of a group of results: titles, and the cells of a row."""

    group: str
    titles: Sequence[str]
    cells: Callable[[Result, Results], Iterable[str]]


def read(document: Mapping[str, Any]) -> Results:
    """Return the results in what pytest-benchmark has written. Raises ``ValueError`` where a group is missing."""
    results: dict[str, list[Result]] = {}
    for benchmark in document["benchmarks"]:
        results.setdefault(benchmark["group"], []).append(benchmark["extra_info"])
    missing = {*[table.group for table in TABLES.values()], *_BESIDE} - results.keys()
    if missing:
        raise ValueError(f"there are no results of {', '.join(sorted(missing))}; `make bench` makes them all")
    return results


def render_conditions(machine: Mapping[str, Any]) -> str:
    """Say in a sentence what the results depend on."""
    versions = ", ".join([f"{name} {number}" for name, number in machine["versions"].items()])
    build = "" if machine["is_optimised"] else ", built without its optimisation by profile (PGO), "
    cpu = machine["cpu"]
    return (
        f"{cpu['brand_raw']}, {cpu['count']} cores; {machine['python_implementation']} {machine['python_version']}"
        f"{build.rstrip() if build else ','} {versions}; DynamoDB Local as in {machine['emulator']}."
    )


def render(table: Table, results: Results) -> str:
    """Return a Markdown table."""
    rows = [[result["case"], *table.cells(result, results)] for result in results[table.group]]
    return markdown.table(table.titles, rows)


def _overhead(result: Result, results: Results) -> Iterable[str]:
    yield from (_us(result, name) for name in (BOTO3, OURS))
    yield f"{result['ratios'][BOTO3]:.3f}"
    yield f"{result['gate']:.2f}"
    over_tls = _same_case(results["overhead over TLS"], result)
    yield f"{over_tls['ratios'][BOTO3]:.3f}" if over_tls else ""
    for group, digits in (("allocations", 0), ("instructions", 2)):
        counts = _same_case(results[group], result)
        yield f"{counts[BOTO3]:,.{digits}f}, {counts[OURS]:,.{digits}f}" if counts else ""


def _latency(result: Result, _results: Results) -> Iterable[str]:
    yield from _percentiles(result, OURS)
    for other in (BOTO3, SEQUENTIAL):
        yield from _compared(result, other)


def _embedded(result: Result, _results: Results) -> Iterable[str]:
    yield from _percentiles(result, OURS)
    yield from _compared(result, SEQUENTIAL)


def _throughput(result: Result, _results: Results) -> Iterable[str]:
    yield from (f"{rate(result, name):,.0f}" for name in (OURS, SEQUENTIAL))
    yield f"{1 / result['ratios'][SEQUENTIAL]:,.1f}"


def _contention(result: Result, _results: Results) -> Iterable[str]:
    yield f"{result['grants']:,}"
    yield f"{result['missed']:,}"
    yield from (f"{result['calls_for_a_grant'][name]:.2f}" for name in (OURS, SEQUENTIAL))


def _capacity(result: Result, _results: Results) -> Iterable[str]:
    for name in (OURS, SEQUENTIAL):
        yield from ("", "", "") if result[name] is None else (f"{number:g}" for number in result[name])


def rate(result: Result, name: str) -> float:
    """Return how many acquires a second a round comes to."""
    return float(result["batch"] / result["us"][name]["p50"] * 1e6)


def _same_case(results: Iterable[Result], result: Result) -> Result | None:
    return next((other for other in results if other["case"] == result["case"]), None)


def _us(result: Result, name: str) -> str:
    return f"{result['us'][name]['p50']:,.0f} µs"


def _percentiles(result: Result, name: str) -> Iterable[str]:
    return [f"{microseconds / 1e3:.2f} ms" for microseconds in result["us"][name].values()]


def _compared(result: Result, other: str) -> Iterable[str]:
    if other not in result["ratios"]:
        return ["", ""]
    return [f"{result['us'][other]['p50'] / 1e3:.2f} ms", f"{result['ratios'][other]:.2f}"]


_BESIDE: Final = ("overhead over TLS", "allocations", "instructions")
"""Groups that have columns in the table of another one."""
_UNITS: Final = ("calls", "read units", "write units")
TABLES: Final[Mapping[str, Table]] = {
    "overhead": Table(
        "overhead",
        (
            *("a call", "boto3", OURS, "ratio", "at most", "ratio over TLS"),
            *("allocations: boto3, Leasegate", "million instructions: boto3, Leasegate"),
        ),
        _overhead,
    ),
    "latency": Table(
        "latency",
        (
            "on DynamoDB Local",
            "p50",
            "p95",
            "p99",
            "the same by plain boto3, p50",
            "ratio",
            "sequential, p50",
            "ratio",
        ),
        _latency,
    ),
    "throughput": Table(
        "throughput", ("48 acquires, 2 limits", "a second", "sequential, a second", "times as many"), _throughput
    ),
    "contention": Table(
        "contention",
        ("8 processes ask for one bucket", "grants", "guesses missed", "calls for a grant", "sequential"),
        _contention,
    ),
    "embedded": Table(
        "embedded", ("on the embedded stack", "p50", "p95", "p99", "sequential, p50", "ratio"), _embedded
    ),
    "capacity": Table(
        "capacity", ("an operation", *_UNITS, *[f"sequential: {unit}" for unit in _UNITS]), _capacity
    ),
}
"""The tables, by the name of their part of the page."""


def fill_in_report(page: str, document: Mapping[str, Any]) -> str:
    """Return the page with these results."""
    results = read(document)
    page = fill_in(page, "benchmarks: conditions", render_conditions(document["machine_info"]))
    for name, table in TABLES.items():
        page = fill_in(page, f"benchmarks: {name}", render(table, results))
    return page


def main(path: str, docs: str = str(DOCS)) -> int:
    """Write tables and pictures anew."""
    document = json.loads(Path(path).read_text())
    page, folder = Path(docs, PAGE), Path(docs, FOLDER)
    page.write_text(fill_in_report(page.read_text(), document))
    folder.mkdir(exist_ok=True)
    for name, picture in draw_plots(read(document)).items():
        (folder / name).write_text(picture)
    print(f"Wrote {page} and the pictures in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
