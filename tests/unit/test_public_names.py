"""The package's own names: what is imported with it, and what with its first use."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import leasegate

LATER = ["leasegate.administration", "leasegate.limiter", "leasegate.records", "leasegate.flows.entities", "boto3"]


def loaded_by(program: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{program}; import json, sys; print(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded: list[str] = json.loads(done.stdout)
    return loaded


@pytest.mark.parametrize("name", leasegate.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    assert getattr(leasegate, name).__name__ == name


def test_what_administers_is_imported_with_its_first_use() -> None:
    before = loaded_by("import leasegate")
    after = loaded_by("from leasegate import Administrator, EntityRecord, Limiter")

    assert "leasegate.spender" in before
    assert not set(LATER) & set(before)
    assert set(LATER) - set(after) == {"boto3"}


def test_what_is_no_public_name_is_missing() -> None:
    with pytest.raises(AttributeError, match="module 'leasegate' has no attribute 'Limitr'"):
        leasegate.Limitr  # type: ignore[attr-defined]  # noqa: B018 - that it is missing is the point
