"""The deliberate defects fit the code, and a test that sees one is told from a test that does not."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from scripts.mutations.__main__ import ROOT, render
from scripts.mutations.catalogue import DEFECTS
from scripts.mutations.defect import PACKAGE, Defect, Misfit
from scripts.mutations.trial import Unsound, check_sound, copy_checkout, try_all

SOURCE = "def double(n):\n    return 2 * n\n"
TESTS = """
import time
from leasegate.sums import double

def test_sharp():
    assert double(3) == 6

def test_blunt():
    assert double(0) == 0

def test_endless():
    while double(3) != 6:
        time.sleep(0.01)

def test_wrong():
    assert double(3) == 7
"""


def defect(*tests: str, old: str = "2 * n", new: str = "3 * n") -> Defect:
    return Defect(
        "three for two", "sums.py", old, new, tuple(f"tests/test_sums.py::test_{test}" for test in tests)
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Provide a checkout of a package with one function, and its tests."""
    root = tmp_path / "checkout"
    (root / PACKAGE).mkdir(parents=True)
    (root / PACKAGE / "__init__.py").touch()
    (root / PACKAGE / "sums.py").write_text(SOURCE)
    (root / "tests").mkdir()
    (root / "tests" / "test_sums.py").write_text(TESTS)
    (root / "pyproject.toml").write_text('[tool.pytest.ini_options]\naddopts = ["--import-mode=importlib"]\n')
    (root / ".local").mkdir()
    return root


# --- the catalogue ---------------------------------------------------------------------------------


@pytest.mark.parametrize("each", DEFECTS, ids=lambda each: each.name)
def test_a_defect_fits_the_code(each: Defect) -> None:
    assert each.changed(ROOT) != (ROOT / PACKAGE / each.file).read_text()
    assert each.tests


@pytest.mark.parametrize("test", sorted({test for each in DEFECTS for test in each.tests}))
def test_a_test_that_is_named_is_there(test: str) -> None:
    path, _, name = test.partition("::")
    functions = {
        node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)
    }
    assert not name or name.partition("[")[0] in functions


def test_no_two_defects_share_a_name() -> None:
    assert max(Counter(each.name for each in DEFECTS).values()) == 1


# --- trying them -----------------------------------------------------------------------------------


def test_a_test_that_sees_the_defect_is_told_from_those_that_do_not(checkout: Path, tmp_path: Path) -> None:
    copies = [copy_checkout(checkout, tmp_path / name) for name in "ab"]
    trials = list(try_all(copies, [defect("sharp", "blunt")]))
    assert [(trial.verdict, trial.is_caught) for trial in trials] == [("red", True), ("green", False)]
    assert render(trials).row_count == 2


def test_a_test_that_does_not_end_has_caught_nothing(checkout: Path) -> None:
    (trial,) = try_all([checkout], [defect("endless")], timeout_s=5)
    assert (trial.verdict, trial.is_caught) == ("too slow", False)


def test_a_copy_is_sound_again_after_each_defect(checkout: Path, tmp_path: Path) -> None:
    copy = copy_checkout(checkout, tmp_path / "copy")
    list(try_all([copy], [defect("sharp")]))
    assert (copy / PACKAGE / "sums.py").read_text() == SOURCE
    assert not (copy / ".local").exists()


def test_what_fails_without_a_defect_proves_nothing(checkout: Path) -> None:
    check_sound(checkout, defect("sharp", "blunt").tests, 0, 60)
    for test in ("wrong", "missing"):
        with pytest.raises(Unsound, match=f"test_{test}"):
            check_sound(checkout, defect("sharp", test).tests, 0, 60)


def test_a_test_that_does_not_run_under_a_defect_is_no_catch(checkout: Path) -> None:
    with pytest.raises(Unsound, match="does not run"):
        list(try_all([checkout], [defect("sharp", old="def double", new="def triple")]))


@pytest.mark.parametrize(
    ("old", "new"), [("3 * n", "2 * n"), ("n", "m"), ("2 * n", "2 *")], ids=["missing", "twice", "no Python"]
)
def test_a_defect_that_does_not_fit_is_refused_loudly(checkout: Path, old: str, new: str) -> None:
    with pytest.raises(Misfit, match="three for two"):
        defect("sharp", old=old, new=new).changed(checkout)
