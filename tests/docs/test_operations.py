"""docs/operations.md: its tables are those of template.yaml, its commands are there."""

from __future__ import annotations

import re
import tomllib

import pytest

from scripts import template
from scripts.parameters import PAGE, render_page
from scripts.toolchain import ROOT
from tests.docs.blocks import Blocks
from tests.docs.commands import check_session

TEXT = PAGE.read_text()


def test_the_tables_are_those_of_the_template() -> None:
    assert render_page(TEXT) == TEXT, "run `make parameters`"


def test_every_parameter_has_a_place_in_a_group() -> None:
    stack = template.load()
    groups = stack["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(stack["Parameters"]) == sorted(name for group in groups for name in group["Parameters"])


def test_every_alarm_has_its_advice() -> None:
    advice = TEXT.partition("| alarm | what to do |")[2].partition("\n\n")[0]
    alarms = [name for name, each in template.load()["Resources"].items() if each["Type"].endswith("::Alarm")]
    assert sorted(re.findall(r"`(\w+Alarm)`", advice)) == sorted(alarms)


@pytest.mark.runs("docs/operations.md")
def test_the_commands_are_there(blocks: Blocks) -> None:
    assert sum(check_session(block) for block in blocks.take()) == 15


def test_the_environment_of_production_is_as_the_page_says() -> None:
    environment = tomllib.loads((ROOT / "samconfig.toml").read_text())["prod"]["deploy"]["parameters"]
    (line,) = re.findall(r"--parameter-overrides (.*) AlarmTopicArn=", TEXT)
    assert line.split() == environment["parameter_overrides"]


def test_there_are_as_many_functions_as_the_page_says() -> None:
    functions = [each for each in template.load()["Resources"].values() if each["Type"].endswith("::Function")]
    assert len(functions) == 5
    assert "five functions" in TEXT
