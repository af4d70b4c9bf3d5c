"""The README: its code runs, its figures are those that are measured, its links lead somewhere."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from markdown_it import MarkdownIt

from scripts.costs.rendering import README, fill_in_tables, render_tables
from tests.docs.blocks import Blocks
from tests.docs.commands import check_session
from tests.docs.running import run

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from scripts.stack import Stack

ROOT = README.parent
TOKENS = MarkdownIt().parse(README.read_text())


@pytest.mark.runs("README.md", "console")
def test_the_commands_are_there(blocks: Blocks) -> None:
    assert [check_session(block) for block in blocks.take()] == [2, 1]


@pytest.mark.runs("README.md", "python")
def test_the_python_examples_run_and_say_what_their_comments_say(
    still_table: DynamoDBClient, blocks: Blocks
) -> None:
    claims = run(blocks.take())
    library, operator, gateway = claims[:5], claims[5:12], claims[12:]
    assert library == ["9188", "1872", "tpm", "59", "99500"]
    assert operator == ["resource", "['gpt-4']", "True", "False", "9900", "ann@example.com", "key-2"]
    assert gateway == ["Yes", "9988", "2"]


def run_script(script: str, stack: Stack, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script beside the file that `make up` writes, as for this stack."""
    (folder / ".local").mkdir()
    (folder / ".local/stack.json").write_text(json.dumps(asdict(stack)))
    run = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run


@pytest.mark.runs("README.md", "bash", 0)
def test_the_gateway_example_is_granted_once_and_settled(stack: Stack, tmp_path: Path, blocks: Blocks) -> None:
    (script,) = blocks.take()
    run = run_script(script, stack, tmp_path)
    granted, repeated, settled = (headers(text) for text in run.stderr.replace("\r", "").split("\n\n") if text)
    assert granted["status"] == repeated["status"] == settled["status"] == "200"
    assert "idempotent-replayed" not in granted
    assert repeated["idempotent-replayed"] == "true"
    end = json.loads(run.stdout)
    assert (end["outcome"], end["consumed"]) == ("settled", {"tpm": 812})


@pytest.mark.runs("README.md", "bash", 1)
@pytest.mark.runs("README.md", "http")
def test_the_curl_example_runs_and_answers_as_shown(stack: Stack, tmp_path: Path, blocks: Blocks) -> None:
    (script,), (answer,) = blocks.take("bash"), blocks.take("http")
    run = run_script(script, stack, tmp_path)
    shown, answered = (headers(text) for text in (answer, run.stdout.partition("\n\n")[0]))
    assert answered["status"] == shown["status"] == "200"
    assert shown.keys() <= answered.keys()
    for name in ("content-type", "ratelimit-policy", "ratelimit"):
        assert answered[name] == shown[name], name


def headers(text: str) -> dict[str, str]:
    """Read the head of an HTTP response, names in lower case."""
    first, *fields = text.replace("\r", "").strip().splitlines()
    return {"status": first.split()[1], **{n.lower(): v for n, v in (field.split(": ", 1) for field in fields)}}


def test_the_figures_are_those_measured_now() -> None:
    readme = README.read_text()
    assert fill_in_tables(readme, render_tables()) == readme, "run `make costs`"


def test_every_link_into_the_repository_leads_to_a_file() -> None:
    children = [child for token in TOKENS for child in token.children or []]
    links = [str(child.attrs["href"]) for child in children if child.type == "link_open"]
    local = [link for link in links if "://" not in link]
    assert len(local) > 10
    assert [link for link in local if not (ROOT / link).exists()] == []


def test_every_command_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", README.read_text(), re.MULTILINE))
    assert {"demo", "test", "up", "down"} <= named
    assert named <= targets
