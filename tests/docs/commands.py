"""Lines that a page asks its reader to type: held to what the programs know, where they cannot be run here."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from functools import cache
from typing import Final

import botocore.session
import click
from botocore import xform_name

from leasegate.cli.application import leasegate
from scripts.toolchain import ROOT, SAM

_ANYWHERE_IN_AWS: Final = frozenset({"cli-binary-format", "output", "profile", "query", "region"})


def check_session(block: str) -> int:
    """Hold every command of a block to its program; return how many there are.

    A line that ends in a backslash goes on in the next one, `&&` joins commands, `#` begins a comment.
    """
    lines = block.replace("\\\n", " ").splitlines()
    commands = [words for line in lines for words in _commands(shlex.split(line, comments=True)) if words]
    for program, *arguments in commands:
        _PROGRAMS[program](arguments)
    return len(commands)


def _commands(words: list[str]) -> list[list[str]]:
    if "&&" not in words:
        return [words]
    place = words.index("&&")
    return [words[:place], *_commands(words[place + 1 :])]


def check_make(arguments: list[str]) -> None:
    """Hold `make` to the targets of the Makefile."""
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert arguments[0] in targets, arguments


def check_pip(arguments: list[str]) -> None:
    """Hold `pip install` to this checkout, and to the extras that there are."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = re.fullmatch(r"install -e \.(?:\[(\w+)\])?", " ".join(arguments))
    assert found, arguments
    assert found[1] is None or found[1] in project["optional-dependencies"]


def check_leasegate(arguments: list[str]) -> None:
    """Parse a command of ours as it would be, and stop before it runs."""
    command: click.Command = leasegate
    context = command.make_context("leasegate", list(arguments), resilient_parsing=False)
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None, arguments
        command, context = found, found.make_context(name, rest, parent=context)


def check_aws(arguments: list[str]) -> None:
    """Hold a command of AWS's command line to the API that it is made of: an operation and its input's fields."""
    service, operation, *rest = arguments
    options = _operations(service)[operation]
    named = {word.removeprefix("--").removeprefix("no-") for word in rest if word.startswith("--")}
    assert named - _ANYWHERE_IN_AWS <= options, (operation, named - options)


@cache
def _operations(service: str) -> dict[str, set[str]]:
    model = botocore.session.get_session().get_service_model(service)
    found = {}
    for name in model.operation_names:
        shape = model.operation_model(name).input_shape
        members = shape.members if shape is not None else {}
        found[xform_name(name, "-")] = {xform_name(member, "-") for member in members}
    return found


def check_sam(arguments: list[str]) -> None:
    """Hold a command of SAM's to its help."""
    command, *rest = arguments
    text = subprocess.run([SAM, command, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
    assert [word for word in rest if word.startswith("--") and word not in text] == []


def check_python(arguments: list[str]) -> None:
    """Hold `python3 -m` to what the standard library has."""
    assert arguments[:2] == ["-m", "http.server"], arguments


_PROGRAMS: Final = {
    "aws": check_aws,
    "leasegate": check_leasegate,
    "make": check_make,
    "pip": check_pip,
    "python3": check_python,
    "sam": check_sam,
}
