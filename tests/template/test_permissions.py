"""What the functions may do in the table, against what their code does: nothing more, nothing less."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import leasegate
from leasegate import operations
from scripts import template

FLOWS = Path(leasegate.__file__).parent / "flows"
ACTIONS = {
    operations.BatchGet: "dynamodb:BatchGetItem",
    operations.Check: "dynamodb:ConditionCheckItem",
    operations.Put: "dynamodb:PutItem",
    operations.Update: "dynamodb:UpdateItem",
}
"""There is no action for a transaction: it takes those of what is in it."""


def modules_behind(name: str) -> set[str]:
    """Return a flow's module and all modules of flows that it imports, directly or not."""
    found: set[str] = set()
    pending = {name}
    while pending:
        module = pending.pop()
        found.add(module)
        for node in ast.walk(ast.parse((FLOWS / f"{module}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                names = {node.module} if node.module else {alias.name for alias in node.names}
                pending |= {name for name in names if name} - found
    return found


def actions_of(*flows: str) -> set[str]:
    """Return the actions that flows need: those of the operations that their modules build."""
    needed: set[str] = set()
    by_name = {kind.__name__: action for kind, action in ACTIONS.items()}
    for module in set().union(*map(modules_behind, flows)):
        for node in ast.walk(ast.parse((FLOWS / f"{module}.py").read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in by_name:
                needed.add(by_name[node.func.id])
    return needed


def table_actions(function: str) -> set[str]:
    """Return what a function's role allows in the table, and check that it is allowed nowhere else."""
    properties: dict[str, Any] = template.load()["Resources"][function]["Properties"]
    assert "Role" not in properties, "one role each, made by SAM"
    statements = [statement for policy in properties["Policies"] for statement in policy["Statement"]]
    assert all(statement["Effect"] == "Allow" for statement in statements)
    assert all(statement["Resource"] == {"Fn::GetAtt": ["Table", "Arn"]} for statement in statements)
    return {action for statement in statements for action in statement["Action"]}


def test_acquire_may_do_what_its_flows_do_and_nothing_else() -> None:
    assert table_actions("AcquireFunction") == actions_of("acquire", "settle")


def test_every_kind_of_operation_has_its_action() -> None:
    assert set(ACTIONS) | {operations.Transact} == set(operations.Operation.__value__.__args__) | {
        operations.Check
    }
