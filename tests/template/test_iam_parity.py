"""IAM parity: what the functions may do, against what their code does; nothing more, nothing less.

What a flow does is read from the operations that its modules build, and what an operation asks of AWS from the
calls of the repository. Which items and attributes the roles are bound to is tested in ``test_roles``, and what
SAM makes of the template in ``test_expanded_roles``.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import leasegate
from leasegate import operations
from leasegate.repository.asking import METHODS
from scripts import template
from tests.roles import INDEX, QUEUE, TABLE, statements_of

PACKAGE = Path(leasegate.__file__).parent
FLOWS = PACKAGE / "flows"
EDGES = [
    *(PACKAGE.parents[2] / "functions").rglob("*.py"),
    *(PACKAGE.parent / "leasegate_lambda").rglob("*.py"),
]
ACTIONS = {
    operations.BatchGet: "dynamodb:BatchGetItem",
    operations.Check: "dynamodb:ConditionCheckItem",
    operations.Delete: "dynamodb:DeleteItem",
    operations.Get: "dynamodb:GetItem",
    operations.Put: "dynamodb:PutItem",
    operations.Query: "dynamodb:Query",
    operations.Scan: "dynamodb:Scan",
    operations.Update: "dynamodb:UpdateItem",
}
"""There is no action for a transaction: it takes those of what is in it."""

QUEUE_ACTIONS = {"send_message": "sqs:SendMessage", "send_message_batch": "sqs:SendMessage"}
"""A batch takes the action of one message."""

FUNCTIONS = ["AcquireFunction", "AdminFunction", "BackfillFunction", "SweepFunction", "AggregatorFunction"]

NEVER_DONE = {
    # The sweep returns tokens, which creates nothing: it finds leases and buckets that are there.
    "SweepFunction": {"dynamodb:PutItem", "dynamodb:ConditionCheckItem"},
}
"""What modules of flows can do and a function that uses them never does; ``test_roles`` shows that it gets by."""


def nodes_of(path: Path) -> Iterator[ast.AST]:
    """Walk the syntax of a module."""
    return ast.walk(ast.parse(path.read_text()))


def flows_imported(path: Path) -> set[str]:
    """Return the modules of flows that a module imports."""
    found: set[str] = set()
    for node in nodes_of(path):
        if isinstance(node, ast.ImportFrom) and node.level:
            module = node.module or ""
            is_flow = path.parent == FLOWS and node.level == 1
            if module == ("" if is_flow else "flows"):
                found |= {alias.name for alias in node.names}
            elif is_flow or module.startswith("flows."):
                found.add(module.removeprefix("flows."))
    return {name for name in found if (FLOWS / f"{name}.py").exists()}


def modules_behind(flow: str) -> set[str]:
    """Return a flow's module and all modules of flows that it imports, directly or not."""
    found: set[str] = set()
    pending = {flow}
    while pending:
        module = pending.pop()
        found.add(module)
        pending |= flows_imported(FLOWS / f"{module}.py") - found
    return found


def operations_built(path: Path) -> set[type]:
    """Return the kinds of operation that a module builds."""
    by_name = {kind.__name__: kind for kind in ACTIONS}
    return {
        by_name[node.func.id]
        for node in nodes_of(path)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in by_name
    }


def actions_of(flows: set[str]) -> set[str]:
    """Return the actions that flows need: those of the operations that their modules build."""
    modules = set().union(*map(modules_behind, flows))
    return {ACTIONS[kind] for module in modules for kind in operations_built(FLOWS / f"{module}.py")}


def flows_of(function: str) -> set[str]:
    """Return the flows that a function runs."""
    if function == "AcquireFunction":
        return flows_imported(PACKAGE / "spender.py") | flows_imported(PACKAGE / "lease.py")
    if function == "SweepFunction":
        return flows_imported(PACKAGE / "sweeper.py")
    if function == "AggregatorFunction":
        return flows_imported(PACKAGE / "aggregator.py")
    backfill = {"backfill", "checkpoint"}
    if function == "BackfillFunction":
        return backfill
    return set().union(*map(flows_imported, (PACKAGE / "administration").glob("*.py"))) - backfill


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_may_do_what_its_flows_do_and_nothing_else(function: str) -> None:
    allowed = set().union(*(statement.actions for statement in statements_of(function)))
    in_table = {action for action in allowed if action.startswith("dynamodb:")}
    assert in_table == actions_of(flows_of(function)) - NEVER_DONE.get(function, set())
    assert allowed - in_table == queue_actions_of(function)


def calls_at(path: Path) -> set[str]:
    """Return the names of the methods that a module calls."""
    return {
        node.func.attr
        for node in nodes_of(path)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }


def queue_actions_of(function: str) -> set[str]:
    """Return the actions in the queue that a function needs: of its own calls, and of modules that it imports."""
    app = PACKAGE.parents[2] / template.load()["Resources"][function]["Properties"]["CodeUri"] / "app.py"
    imported = {
        PACKAGE.parent / f"{node.module.replace('.', '/')}.py"
        for node in nodes_of(app)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("leasegate_lambda.") and node.module
    }
    calls = set().union(*map(calls_at, {app, *imported}))
    return {action for call, action in QUEUE_ACTIONS.items() if call in calls}


def test_what_is_never_done_could_be_done_otherwise() -> None:
    assert all(actions <= actions_of(flows_of(function)) for function, actions in NEVER_DONE.items())


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_may_do_it_in_the_table_alone_and_in_the_index_only_read(function: str) -> None:
    for statement in statements_of(function):
        if any(action.startswith("sqs:") for action in statement.actions):
            assert statement.resources == (QUEUE,)
            continue
        assert set(map(repr, statement.resources)) <= {repr(TABLE), repr(INDEX)}
        if INDEX in statement.resources:
            assert not any(
                "Put" in action or "Update" in action or "Delete" in action for action in statement.actions
            )


@pytest.mark.parametrize("function", FUNCTIONS)
def test_whatever_writes_is_bound_to_partition_keys(function: str) -> None:
    reads = {"dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan"}
    for statement in statements_of(function):
        if statement.resources == (QUEUE,):
            continue
        keys = statement.conditions.get("dynamodb:LeadingKeys", ())
        assert keys or statement.actions <= reads, statement
        assert not any(pattern.startswith("*") for pattern in keys)


def test_the_sweep_reads_nothing_but_leases() -> None:
    for statement in statements_of("SweepFunction"):
        if not any("Update" in action for action in statement.actions):
            expected = "EXPIRY#*" if statement.resources == (INDEX,) else "LEASE#*"
            assert statement.conditions["dynamodb:LeadingKeys"] == (expected,)


def test_the_aggregator_touches_totals_alone_and_what_stands_in_them() -> None:
    in_table = [statement for statement in statements_of("AggregatorFunction") if statement.resources == (TABLE,)]
    assert {statement.conditions["dynamodb:LeadingKeys"] for statement in in_table} == {("USAGE#*",)}
    (write,) = [statement for statement in in_table if "dynamodb:UpdateItem" in statement.actions]
    assert "*" not in write.conditions["dynamodb:Attributes"]


def test_every_kind_of_operation_has_its_action() -> None:
    assert set(ACTIONS) | {operations.Transact} == set(operations.Operation.__value__.__args__) | {
        operations.Check
    }


def test_nothing_but_the_backfill_scans() -> None:
    scanning = {path.name for path in PACKAGE.rglob("*.py") if operations.Scan in operations_built(path)}
    assert scanning == {"backfill.py"}


def test_no_function_scans_behind_the_repositorys_back() -> None:
    calls = set().union(*map(calls_at, EDGES))
    assert not calls & {"scan", "query", "get_paginator", "execute_statement"}


# --- the calls themselves -----------------------------------------------------------------------------


def client_calls(paths: Iterable[Path]) -> set[str]:
    """Return the methods of a client of AWS that modules call, or hand on to be called."""
    return {
        node.attr
        for path in paths
        for node in nodes_of(path)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "_client"
    }


def test_the_repository_asks_for_what_the_operations_stand_for_and_nothing_else() -> None:
    named = {
        node.value
        for path in (PACKAGE / "repository").glob("*.py")
        if path.name != "asking.py"
        for node in nodes_of(path)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in METHODS
    }
    assert named == set(METHODS)
    actions = {f"dynamodb:{operation}" for operation in named}
    # A transaction takes the actions of its parts, and ConditionCheckItem is only ever such a part.
    assert actions - {"dynamodb:TransactWriteItems"} == set(ACTIONS.values()) - {"dynamodb:ConditionCheckItem"}
    assert "dynamodb:TransactWriteItems" in actions


def test_the_repository_calls_a_client_in_no_other_way() -> None:
    paths = [*(PACKAGE / "repository").rglob("*.py")]
    called = {node.attr for path in paths for node in nodes_of(path) if isinstance(node, ast.Attribute)}
    assert called & ({*METHODS.values()} - {"query", "scan"}) == set()
    assert client_calls(paths) == {"_endpoint", "_request_signer", "meta"}


def test_the_functions_themselves_call_the_queue_alone() -> None:
    calls = client_calls(EDGES)
    assert calls == {"send_message_batch"}
    assert calls <= set(QUEUE_ACTIONS)


def makes_a_client(function: ast.expr) -> bool:
    """Say whether a function may be one of the SDK's that make clients, under its own name or ``create``."""
    if isinstance(function, ast.Attribute):
        owner = function.value.id if isinstance(function.value, ast.Name) else ""
        return function.attr in ("client", "resource", "create_client") and owner in (
            "boto3",
            "session",
            "speaker",
        )
    return isinstance(function, ast.Name) and function.id == "create"


def test_every_client_of_aws_that_functions_make_is_of_the_table_or_the_queue() -> None:
    made = [
        node
        for path in [*EDGES, *PACKAGE.rglob("*.py")]
        if "cli" not in path.relative_to(PACKAGE.parents[2]).parts
        for node in nodes_of(path)
        if isinstance(node, ast.Call) and makes_a_client(node.func)
        if node.args and isinstance(node.args[0], ast.Constant)
    ]
    assert sorted(ast.literal_eval(node.args[0]) for node in made) == ["dynamodb", "sqs"]


# --- that these tests would notice: each action taken away, and each added -----------------------------


@pytest.mark.parametrize("function", FUNCTIONS)
def test_any_action_more_or_less_would_be_noticed(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = template.load()
    actions = {
        *ACTIONS.values(),
        "dynamodb:DescribeTable",
        "sqs:ReceiveMessage",
        "sqs:SendMessage",
        "s3:GetObject",
    }
    allowed = set().union(*(statement.actions for statement in statements_of(function)))
    for action in sorted(actions | allowed):
        changed = copy.deepcopy(whole)
        (policy,) = changed["Resources"][function]["Properties"]["Policies"]
        if action in allowed:
            for statement in policy["Statement"]:
                kept = [name for name in as_list(statement["Action"]) if name != action]
                statement["Action"] = kept
        else:
            policy["Statement"].append({"Effect": "Allow", "Action": action, "Resource": TABLE})
        monkeypatch.setattr(template, "load", lambda changed=changed: changed)
        with pytest.raises(AssertionError):
            test_a_function_may_do_what_its_flows_do_and_nothing_else(function)


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
