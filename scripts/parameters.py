"""The stack's parameters, alarms and outputs as tables, from template.yaml.

python -m scripts.parameters        write the tables in docs/operations.md anew
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from scripts import template
from scripts.generated import fill_in
from scripts.markdown import table
from scripts.toolchain import ROOT

PAGE: Final = ROOT / "docs" / "operations.md"


def render_page(text: str) -> str:
    """Write the tables between their markers."""
    stack = template.load()
    for name, content in (
        ("parameters", table(["parameter", "default", "values", ""], _parameters(stack))),
        ("alarms", table(["alarm", "goes off when", "for", ""], _alarms(stack))),
        ("outputs", table(["output", ""], _outputs(stack))),
    ):
        text = fill_in(text, name, content)
    return text


def _parameters(stack: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Yield rows with a part for each group in which CloudFormation's console shows them."""
    for group in stack["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]:
        yield f"**{group['Label']['default']}**", "", "", ""
        for name in group["Parameters"]:
            parameter = stack["Parameters"][name]
            default = f"`{parameter['Default']}`" if parameter["Default"] != "" else "empty"
            yield f"`{name}`", default, _values(parameter), _sentence(parameter["Description"])


def _values(parameter: Mapping[str, Any]) -> str:
    if "AllowedValues" in parameter:
        return ", ".join([f"`{value}`" for value in parameter["AllowedValues"]])
    if "MaxValue" in parameter:
        return f"{parameter['MinValue']:,} to {parameter['MaxValue']:,}"
    if "MinValue" in parameter:
        return f"from {parameter['MinValue']:,} on"
    if "AllowedPattern" in parameter:
        # Not in backticks: how a bar is escaped within them, readers of Markdown do not agree.
        return (
            f"<code>{re.sub(r'[][{}|*]', lambda sign: f'&#{ord(sign[0])};', parameter['AllowedPattern'])}</code>"
        )
    return ""


def _alarms(stack: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    for name, resource in stack["Resources"].items():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            alarm = resource["Properties"]
            yield f"`{name}`", _condition(alarm), _span(alarm), _sentence(alarm["AlarmDescription"])


def _condition(alarm: Mapping[str, Any]) -> str:
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    statistic = alarm.get("ExtendedStatistic") or alarm["Statistic"].lower()
    return f"{statistic} of `{alarm['MetricName']}` > {alarm['Threshold']:,}"


def _span(alarm: Mapping[str, Any]) -> str:
    assert alarm["Period"] == 60
    if alarm["EvaluationPeriods"] == 1:
        return "a minute"
    return f"{alarm['DatapointsToAlarm']} of {alarm['EvaluationPeriods']} minutes"


def _outputs(stack: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    for name, output in stack["Outputs"].items():
        yield f"`{name}`", _sentence(output["Description"])


def _sentence(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|").replace("{", "`{").replace("}", "}`")


def main() -> None:
    """Write the tables."""
    PAGE.write_text(render_page(PAGE.read_text()))


if __name__ == "__main__":
    main()
