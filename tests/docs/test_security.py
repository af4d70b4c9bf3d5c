"""docs/security.md: its code runs, its policy lets in to spend and no further, its tests are there."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stdout
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import pytest

from leasegate.http.bodies import MAX_BODY_BYTES
from leasegate.http.routes import ADMINISTRATION, SPENDING
from scripts import template
from scripts.toolchain import ROOT
from tests.docs.blocks import Blocks

PAGE: Final = ROOT / "docs" / "security.md"
TEXT: Final = PAGE.read_text()


@pytest.mark.runs("docs/security.md", "python")
def test_the_example_refuses_as_its_comment_says(blocks: Blocks) -> None:
    (code,) = blocks.take("python")
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(code, {})  # noqa: S102 - the page's own code
    (comment,) = re.findall(r"print\(.*\)  # (\w+)", code)
    assert printed.getvalue().split() == [comment] * 5


@pytest.mark.runs("docs/security.md", "json")
def test_the_policy_allows_to_spend_and_not_to_administer(blocks: Blocks) -> None:
    (policy,) = blocks.take("json")
    (statement,) = json.loads(policy)["Statement"]
    patterns = [resource.rsplit(":", 1)[1].removeprefix("API/v1/") for resource in statement["Resource"]]

    def allows(method: str, path: str) -> bool:
        return any(fnmatchcase(method + re.sub(r"{\w+}", "a", path), pattern) for pattern in patterns)

    assert all(allows(route.method, route.path) for route in SPENDING)
    assert not any(allows(route.method, route.path) for route in ADMINISTRATION)


def test_every_test_that_is_named_is_there() -> None:
    folder = Path()
    named = re.findall(r"`((?:tests/[\w/]+/)?test_\w+\.py)`", TEXT)
    assert len(named) > 10
    for name in named:
        path = Path(name)
        folder = path.parent if len(path.parts) > 1 else folder
        assert (ROOT / folder / path.name).exists(), name
    for test in re.findall(r"`(test_\w+)`", TEXT):
        assert f"def {test}(" in "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))


def test_what_the_page_says_of_limits_and_of_the_template_is_so() -> None:
    assert f"at most {MAX_BODY_BYTES:,} bytes" in TEXT
    assert template.load()["Resources"]["Api"]["Properties"]["Auth"]["DefaultAuthorizer"] == "AWS_IAM"
