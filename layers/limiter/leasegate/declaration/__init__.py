"""Limits as a file: say what there is to be, see what differs, make it so.

    desired = parse(Path("limits.yaml").read_text())
    plan = plan_changes(desired, read_present(administrator, desired))
    report = apply_plan(administrator, plan)

Reading a file and planning are pure functions; ``present``, ``apply`` and ``export`` ask the table. Needs PyYAML,
which ``pip install leasegate[cli]`` brings.
"""

from __future__ import annotations

from .apply import Report, apply_plan
from .desired import Desired
from .export import export_table
from .file import parse
from .plan import Plan, plan_changes
from .present import Present, read_present
from .problems import InvalidDeclaration, Problem
from .writing import write, write_json

__all__ = [
    "Desired",
    "InvalidDeclaration",
    "Plan",
    "Present",
    "Problem",
    "Report",
    "apply_plan",
    "export_table",
    "parse",
    "plan_changes",
    "read_present",
    "write",
    "write_json",
]
