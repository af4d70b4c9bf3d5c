"""The documentation site: built without a warning, complete, and with all that it needs inside."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml

import leasegate
from leasegate.knowledge import (
    DEFAULT_MAX_AGE_MS,
    DEFAULT_MAX_AGED,
    DEFAULT_MAX_BUCKETS,
    DEFAULT_REFUSAL_AGE_MS,
    Knowledge,
)
from leasegate.session import DEFAULT_ACTOR, DEFAULT_PAGE_SIZE, DEFAULT_TIMEOUT_MS, MAX_PAGE_SIZE
from scripts.toolchain import MKDOCS, ROOT

# Its other tags name Python's own functions, for emoji and the like, which this file does without.
SETTINGS: Final = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
LIBRARY: Final = (ROOT / "docs" / "library.md").read_text()
SOURCES: Final = ("mkdocs.yml", "docs", "layers", "scripts", "README.md", "CHANGELOG.md", "tests")


def build(checkout: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a checkout as `make docs` does. Not quietly: then nothing is strict."""
    return subprocess.run(
        [MKDOCS, "build", "--strict", "--site-dir", site],
        cwd=checkout,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of this checkout."""
    folder = tmp_path_factory.mktemp("site")
    result = build(ROOT, folder)
    assert result.returncode == 0, result.stderr
    return folder


def places(nav: list[dict[str, object]]) -> Iterator[str]:
    for entry in nav:
        for place in entry.values():
            if isinstance(place, list):
                yield from places(place)
            else:
                yield str(place)


def test_the_nav_holds_every_page_and_nothing_else() -> None:
    docs = ROOT / "docs"
    assert sorted(places(SETTINGS["nav"])) == sorted(str(path.relative_to(docs)) for path in docs.rglob("*.md"))


def test_the_library_page_names_every_public_name() -> None:
    named = re.findall(r"^::: leasegate\.([A-Za-z]+)$", LIBRARY, re.MULTILINE)
    assert sorted(named) == sorted(leasegate.__all__)


def test_every_public_name_is_explained_on_the_site(site: Path) -> None:
    page = (site / "library.html").read_text()
    named = re.findall(r"^::: (\S+)$", LIBRARY, re.MULTILINE)
    shown = set(re.findall(r'<h\d id="(leasegate[\w.]+)"', page))
    hidden = {name for name in named if name.startswith("leasegate.administration.")}
    assert {name for name in named if name not in shown} == hidden
    methods = {name for name, member in vars(leasegate.Limiter).items() if callable(member) and name[0] != "_"}
    assert {f"leasegate.Limiter.{name}" for name in methods} <= shown
    inherited = {
        f"{base.__module__}.{base.__name__}.{name}"
        for base in leasegate.Administrator.__bases__
        for name, member in vars(base).items()
        if callable(member) and name[0] != "_"
    }
    assert len(inherited) > 30
    assert inherited <= shown


def test_docstrings_reach_their_readers_without_marks_of_another_language(site: Path) -> None:
    page = (site / "library.html").read_text()
    assert not re.search(r":(?:class|meth|func|mod):", page)
    assert 'href="#leasegate.RateLimitExceeded"' in page


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        text = path.read_text()
        fetched = re.findall(r"""(?:\bsrc=|<link[^>]+href=|url\(|@import )["']?(https?:)?//[^"')>\s]+""", text)
        assert fetched == [], path


def test_the_headings_of_the_readme_that_pages_link_to_are_there() -> None:
    headings = re.findall(r"^#+ (.+)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    there = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    links = [
        link
        for page in (ROOT / "docs").rglob("*.md")
        for link in re.findall(r"README\.md#([\w-]+)", page.read_text())
    ]
    assert len(links) > 2
    assert [link for link in links if link not in there] == []


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the site is made of, to break."""
    copy = tmp_path / "checkout"
    copy.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    return copy


BROKEN: Final = {
    "a page": "[a page](no-page.md)",
    "a heading": "[a heading](api.md#no-heading)",
    "a source": "[a source](../layers/no-source.py)",
    "a source over two lines": "[a source,\nfar off](\n../layers/no-other-source.py#L1)",
    "an address from the top": "[an address](/no-top/index.html)",
}


def test_what_leads_nowhere_ends_the_build(checkout: Path) -> None:
    with (checkout / "docs" / "concepts.md").open("a") as page:
        page.write("\n\n" + "\n\n".join(BROKEN.values()))
    (checkout / "docs" / "no-nav.md").write_text("A page that no nav names.")
    module = checkout / "layers" / "limiter" / "leasegate" / "limits.py"
    module.write_text(module.read_text().replace("(:meth:`concurrent`)", "(:meth:`Limiter.no_method`)"))
    result = build(checkout, checkout / "site")
    assert result.returncode != 0
    for cause in (*re.findall(r"no-[a-z-]+", " ".join(BROKEN.values())), "no-nav.md", "no_method"):
        assert cause in result.stderr
    assert result.stderr.count("WARNING") == len(BROKEN) + 2


def test_a_name_that_is_not_there_ends_the_build(checkout: Path) -> None:
    with (checkout / "docs" / "library.md").open("a") as page:
        page.write("\n::: leasegate.Nobody\n")
    result = build(checkout, checkout / "site")
    assert result.returncode != 0
    assert "Nobody" in result.stderr


def test_the_defaults_that_docstrings_name_are_those_of_the_code() -> None:
    for each in (leasegate.Limiter, leasegate.Administrator):
        assert each.__doc__ is not None
        text = " ".join(each.__doc__.split())
        assert f"{DEFAULT_TIMEOUT_MS:,} by default" in text
        assert f'``"{DEFAULT_ACTOR}"`` by default' in text
    assert leasegate.Administrator.__doc__ is not None
    assert f"1 to {MAX_PAGE_SIZE:,}, {DEFAULT_PAGE_SIZE} by default" in leasegate.Administrator.__doc__
    named = re.findall(r"([\d,]+) by default", Knowledge.__doc__ or "")
    defaults = (DEFAULT_MAX_AGE_MS, DEFAULT_REFUSAL_AGE_MS, DEFAULT_MAX_BUCKETS, DEFAULT_MAX_AGED)
    assert named == [f"{default:,}" for default in defaults]
