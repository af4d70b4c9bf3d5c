"""What is installed is what is pinned: every package by version and hash, from whatever index there is."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import pytest
from packaging.markers import Marker
from packaging.utils import canonicalize_name

from scripts.toolchain import LAMBDA_PYTHON, MINISTACK_PYTHON, MKDOCS, OLDEST_PYTHON, PEERS_PYTHON, ROOT, SAM

FILES: Final = [*sorted((ROOT / "requirements").glob("*.txt")), ROOT / "layers" / "limiter" / "requirements.txt"]
INSTALLED: Final = {
    "dev": Path(sys.prefix),
    "sam": SAM.parents[1],
    "ministack": MINISTACK_PYTHON.parents[1],
    "lambda": LAMBDA_PYTHON.parents[1],
    "docs": MKDOCS.parents[1],
    "oldest": OLDEST_PYTHON.parents[1],
    "peers": PEERS_PYTHON.parents[1],
}
"""The environments of this checkout, by the file that they are made of."""
OUR_OWN: Final = {"leasegate"}

_PIN: Final = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[0-9][^\s;]*)(?: ; (?P<marker>.+))?")
_HASH: Final = re.compile(r"--hash=sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Pin:
    """One package of a requirements file."""

    name: str
    version: str
    marker: str | None
    hashes: int

    @property
    def is_for_here(self) -> bool:
        return self.marker is None or Marker(self.marker).evaluate()


def statements(text: str) -> list[str]:
    """Join the lines that belong together, without comments."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return [" ".join(line.split()) for line in "\n".join(lines).replace("\\\n", " ").splitlines()]


def parse(statement: str) -> Pin:
    """Read a pin; fail for anything else: an option, an address, a package of any version."""
    requirement, *hashes = statement.split(" --hash=")
    found = _PIN.fullmatch(requirement)
    assert found, f"not a pin: {statement}"
    assert all(_HASH.fullmatch(f"--hash={each}") for each in hashes), statement
    return Pin(canonicalize_name(found["name"]), found["version"], found["marker"], len(hashes))


def pins(path: Path) -> list[Pin]:
    return [parse(statement) for statement in statements(path.read_text())]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_package_is_pinned_by_version_and_hash(path: Path) -> None:
    found = pins(path)
    assert found
    assert [pin.name for pin in found if not pin.hashes] == []
    assert len({(pin.name, pin.marker) for pin in found}) == len(found)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_says_where_packages_come_from(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"://|--(?:extra-)?index-url|--find-links|--trusted-host| @ |^-[a-z]", text, re.MULTILINE)


@pytest.mark.parametrize(
    "statement",
    [
        "boto3>=1.28 --hash=sha256:" + "0" * 64,
        "boto3 --hash=sha256:" + "0" * 64,
        "boto3==1.* --hash=md5:" + "0" * 32,
        "--index-url https://example.com/simple",
        "-r other.txt",
        "boto3 @ https://example.com/boto3.whl",
    ],
)
def test_what_is_no_pin_is_found(statement: str) -> None:
    with pytest.raises(AssertionError):
        parse(statement)


def test_files_agree_about_what_the_layer_ships() -> None:
    dev = {pin.name: pin.version for pin in pins(ROOT / "requirements" / "dev.txt")}
    for pin in pins(ROOT / "layers" / "limiter" / "requirements.txt"):
        assert dev[pin.name] == pin.version


@pytest.mark.parametrize("name", INSTALLED)
def test_what_is_installed_is_what_is_pinned(name: str) -> None:
    site_packages = INSTALLED[name] / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    installed = {
        canonicalize_name(found.name): found.version for found in metadata.distributions(path=[str(site_packages)])
    }
    pinned = {pin.name: pin.version for pin in pins(ROOT / "requirements" / f"{name}.txt") if pin.is_for_here}
    assert {key: value for key, value in installed.items() if key not in OUR_OWN} == pinned


def test_everything_that_make_installs_is_held_to_its_hashes() -> None:
    makefiles = (ROOT / "Makefile").read_text() + (ROOT / "layers" / "limiter" / "Makefile").read_text()
    joined = makefiles.replace("\\\n", " ")
    installs = [line for line in joined.splitlines() if re.search(r"pip (?:install|sync)\b", line)]
    assert len(installs) == 4
    for line in installs:
        # The package itself, in place, has nothing to be held to and brings nothing along.
        is_our_own = "--no-deps --no-build-isolation --editable ." in line
        assert "--require-hashes" in line or is_our_own, line


def test_the_packages_of_this_environment_go_together() -> None:
    uv = ROOT / ".local" / "tools" / "uv" / "bin" / "uv"
    result = subprocess.run([uv, "pip", "check", "--python", sys.prefix], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
