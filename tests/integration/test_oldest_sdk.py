"""What knows the SDK from inside is right with the oldest that is allowed, too; all tests run with the newest."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from importlib import metadata
from typing import Final

import pytest
from packaging.requirements import Requirement

from scripts.toolchain import OLDEST_PYTHON, ROOT

SUITES: Final = (
    "tests/direct",
    "tests/unit/test_dynamo_retries.py",
    "tests/unit/test_failures.py",
)
"""The tests of the direct path, and of all that is asked of the SDK and what it may answer."""


def oldest(*command: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the environment that has the oldest SDK."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", str(ROOT)),
        "PYTHONPATH": f"{ROOT / 'layers' / 'limiter'}{os.pathsep}{ROOT}",
    }
    return subprocess.run(
        [OLDEST_PYTHON, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_the_oldest_sdk_is_the_one_that_the_package_names() -> None:
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (bound,) = [specifier.version for specifier in Requirement(*requirements).specifier]
    shown = oldest("-c", "import boto3, botocore; print(boto3.__version__, botocore.__version__)")
    assert shown.stdout.split() == [bound, bound]
    assert metadata.version("boto3") != bound


@pytest.mark.xdist_group("oldest sdk")
def test_whatever_knows_the_sdk_from_inside_knows_the_oldest_too() -> None:
    ran = oldest("-m", "pytest", "-q", "-p", "no:cacheprovider", *SUITES)
    assert ran.returncode == 0, ran.stdout[-5_000:] + ran.stderr[-2_000:]
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed is not None
    assert int(passed[1]) > 300
    assert "skipped" not in ran.stdout
