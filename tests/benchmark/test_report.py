"""The report of the benchmarks: what it makes of stored results. Those are small, and no measurements."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, Final

import pytest

from scripts.generate_benchmark_report import DOCS, FOLDER, PAGE, TABLES, fill_in_report, render_conditions
from scripts.generated import filled_in
from scripts.toolchain import ROOT

STORED: Final = Path(__file__).with_name("stored.json")

pytestmark = pytest.mark.xdist_group("report")


@pytest.fixture
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(STORED.read_text())
    return loaded


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return report(tmp_path_factory.mktemp("report") / "docs")


def report(docs: Path) -> dict[str, str]:
    """Run the command on a copy of the page; return what is there afterwards, by name."""
    docs.mkdir()
    shutil.copy(DOCS / PAGE, docs)
    subprocess.run(
        [sys.executable, "-m", "scripts.generate_benchmark_report", STORED, docs],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return {path.name: path.read_text() for path in docs.rglob("*.*")}


def test_the_command_fills_in_every_table_and_draws_every_picture(
    written: dict[str, str], document: dict[str, Any]
) -> None:
    for name, table in TABLES.items():
        rows = [
            line.split(" | ")[0].strip("| ")
            for line in filled_in(written[PAGE], f"benchmarks: {name}").splitlines()
        ]
        of_group = [one["extra_info"]["case"] for one in document["benchmarks"] if one["group"] == table.group]
        assert rows == [table.titles[0], "|".join(["---"] * len(table.titles)), *of_group], name
    pictures = {name for name in written if name.endswith(".svg")}
    assert all(f"({FOLDER}/{name})" in written[PAGE] for name in pictures)
    assert written[PAGE].count(f"({FOLDER}/") == len(pictures) == 3


def test_the_same_results_make_the_same_files(written: dict[str, str], tmp_path: Path) -> None:
    assert report(tmp_path / "again") == written


def test_a_picture_shows_every_case(written: dict[str, str], document: dict[str, Any]) -> None:
    for group in ("overhead", "latency", "throughput"):
        root = ET.fromstring(written[f"{group}.svg"])  # noqa: S314 - our own file
        texts = {"".join(node.itertext()).strip() for node in root.iter("{http://www.w3.org/2000/svg}text")}
        cases = {one["extra_info"]["case"] for one in document["benchmarks"] if one["group"] == group}
        assert cases <= texts


def test_a_row_says_what_was_measured(document: dict[str, Any]) -> None:
    page = fill_in_report((DOCS / PAGE).read_text(), document)

    assert "| UpdateItem | 749 µs | 81 µs | 0.106 | 0.15 | 0.129 | 2,809, 125 | 3.97, 0.26 |" in page
    assert "| known bucket, 2 limits | 0.50 ms | 0.80 ms | 1.20 ms | 1.40 ms | 0.36 | 6.00 ms | 0.08 |" in page
    assert "| available, 2 limits | 0.40 ms | 0.70 ms | 0.90 ms |  |  |  |  |" in page
    assert "| threads on one entity | 2,000 | 100 | 20.0 |" in page
    assert "| busy | 480 | 12 | 1.03 | 14.50 |" in page
    assert "| POST /acquire, refused | 9.00 ms | 12.00 ms | 15.00 ms |  |  |" in page
    assert "| available | 1 | 6 | 0 |  |  |  |" in page


def test_the_conditions_say_how_python_was_built(document: dict[str, Any]) -> None:
    machine = document["machine_info"]
    plain = render_conditions(machine)
    optimised = render_conditions({**machine, "is_optimised": True})

    assert plain == (
        "AMD EPYC, 2 cores; CPython 3.13.0, built without its optimisation by profile (PGO), boto3 1.44.5,"
        " botocore 1.44.5, urllib3 2.8.0; DynamoDB Local as in amplify-dynamodb-simulator@2.9.30."
    )
    assert optimised == plain.replace(" built without its optimisation by profile (PGO),", "")
    assert machine["node"] not in plain


def test_results_that_lack_a_group_are_refused(document: dict[str, Any]) -> None:
    document["benchmarks"] = [one for one in document["benchmarks"] if one["group"] != "contention"]

    with pytest.raises(ValueError, match="no results of contention"):
        fill_in_report((DOCS / PAGE).read_text(), document)
