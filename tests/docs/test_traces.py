"""docs/traces.md: its code runs, its annotations are those of the functions, its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from leasegate.tracing import read_traces
from tests.docs.blocks import Blocks
from tests.docs.running import run
from tests.traces.stored.serving import StoredXRay, trace_id

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "traces.md"
TEXT = PAGE.read_text()
FUNCTIONS = ("acquire", "admin", "aggregator", "backfill", "sweep")


@pytest.mark.runs("docs/traces.md", "python", 0)
def test_a_stored_trace_reads_as_the_page_says(monkeypatch: pytest.MonkeyPatch, blocks: Blocks) -> None:
    (fetch,) = blocks.take()
    assert trace_id("cold_cascade") in fetch
    xray = StoredXRay("cold_cascade").client()
    monkeypatch.setattr(boto3, "client", {"xray": xray}.__getitem__)
    assert run([fetch]) == ["BatchGetItem", "3", "2", "granted", "21"]


SURROUNDINGS = """
import json

import boto3
from aws_xray_sdk.core import xray_recorder
from moto import mock_aws

from scripts import template


class Printed:
    def send_entity(self, entity):
        print(entity.serialize())


mock_aws().start()
template.create_table(boto3.client("dynamodb"), "leasegate")
xray_recorder.configure(emitter=Printed(), sampling=False)
"""
"""An account, and a daemon. In a process of its own, for the SDK's patch stays."""


@pytest.mark.runs("docs/traces.md", "python", 1)
def test_a_program_of_ones_own_is_traced_in_the_same_way(blocks: Blocks) -> None:
    (program,) = blocks.take()
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SURROUNDINGS + program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    (trace,) = read_traces(process.stdout.splitlines())
    assert trace.operations == ("BatchGetItem", "TransactWriteItems")
    assert [span.name for span in trace.spans] == ["my-service"]
    assert {call.parent_id for call in trace.calls} == {trace.spans[0].id}


@pytest.mark.runs("docs/traces.md", "bash")
def test_the_header_asks_for_a_trace_under_an_id_of_ones_own(blocks: Blocks) -> None:
    (script,) = blocks.take()
    shown = subprocess.run(
        ["bash", "-euc", script + 'echo "$header"'], capture_output=True, text=True, check=True, timeout=10
    ).stdout
    assert re.fullmatch(r"X-Amzn-Trace-Id: Root=1-[0-9a-f]{8}-[0-9a-f]{24};Sampled=1\n", shown)


def test_every_annotation_of_the_functions_is_on_the_page() -> None:
    table = TEXT.partition("| annotation | of | |")[2].partition("\n\n")[0]
    told = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    sources = [ROOT / "functions" / name / "app.py" for name in FUNCTIONS]
    sources += (ROOT / "layers" / "limiter" / "leasegate_lambda").glob("*.py")
    noted = {
        name
        for source in sources
        for arguments in re.findall(r"notes?\.note\(([^*].*?)\)\n", source.read_text())
        for name in re.findall(r"(\w+)=", arguments)
    }
    counts = re.findall(
        r'^    "(\w+)": "Usage', (ROOT / "functions" / "aggregator" / "app.py").read_text(), re.MULTILINE
    )
    assert len(counts) == 5
    assert noted | {"entity_class", "entity_id", "resource", "dead_letters", *counts} == told


def test_every_link_leads_to_a_file() -> None:
    targets = re.findall(r"\]\(\s*([^)#]+)(?:#[^)]*)?\)", TEXT)
    assert "traces/all.html" in targets
    for target in targets:
        assert (PAGE.parent / target).exists(), target
