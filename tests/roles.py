"""The roles of the functions: what AWS would let a client do that acts under one of them.

The emulators know no condition keys, so the statements of template.yaml are evaluated here, before a call is sent.
An action is allowed if a statement allows it for the table or the index and all its conditions hold. There are two
keys: ``dynamodb:LeadingKeys``, the partition keys of a request, and ``dynamodb:Attributes``, the names of all
attributes in it (of the key, of the item, in expressions). A transaction is allowed if each of its parts is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from scripts import template

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE: Final = {"Fn::GetAtt": ["Table", "Arn"]}
INDEX: Final = {"Fn::Sub": "${Table.Arn}/index/GSI1"}
QUEUE: Final = {"Fn::GetAtt": ["UsageDeadLetters", "Arn"]}

_LEADING_KEYS: Final = "dynamodb:LeadingKeys"
_ATTRIBUTES: Final = "dynamodb:Attributes"
_EXPRESSIONS: Final = ("UpdateExpression", "ConditionExpression", "ProjectionExpression", "FilterExpression")
_PARTS: Final = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem"}
_WORDS: Final = frozenset(
    {
        *("SET", "ADD", "REMOVE", "DELETE", "AND", "OR", "NOT", "BETWEEN", "IN"),
        *("attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains", "size"),
        *("if_not_exists", "list_append"),
    }
)


@dataclass(frozen=True)
class Statement:
    """One statement of a role that allows something."""

    actions: frozenset[str]
    resources: tuple[object, ...]
    conditions: Mapping[str, tuple[str, ...]]

    def allows(self, action: str, resource: object, context: Mapping[str, set[str]]) -> bool:
        """Say whether it allows an action; of a key that the request has nothing for, every value matches."""
        return (
            action in self.actions
            and resource in self.resources
            and all(
                any(fnmatchcase(value, pattern) for pattern in patterns)
                for key, patterns in self.conditions.items()
                for value in context[key]
            )
        )


def statements_of(function: str) -> list[Statement]:
    """Read the statements of a function's role from template.yaml."""
    properties: dict[str, Any] = template.load()["Resources"][function]["Properties"]
    assert "Role" not in properties, "one role each, made by SAM"
    return [_parse(statement) for policy in properties["Policies"] for statement in policy["Statement"]]


def act_as(client: DynamoDBClient, function: str) -> DynamoDBClient:
    """Hold a client to the role of a function from here on."""
    statements = statements_of(function)

    def check(params: Mapping[str, Any], model: Any, **_event: object) -> None:  # noqa: ANN401 - botocore's model
        for action, resource, context in requests(model.name, params):
            if not any(statement.allows(action, resource, context) for statement in statements):
                message = f"{function} is not authorized to perform {action} on {context}"
                raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": message}}, model.name)

    client.meta.events.register("before-parameter-build.dynamodb", check)
    return client


def requests(operation: str, params: Mapping[str, Any]) -> Iterator[tuple[str, object, Mapping[str, set[str]]]]:
    """Take a call apart into what IAM is asked about: action, resource, and the values of the condition keys."""
    resource = INDEX if "IndexName" in params else TABLE
    match operation:
        case "TransactWriteItems":
            for part in params["TransactItems"]:
                ((kind, request),) = part.items()
                yield from requests(_PARTS.get(kind, "ConditionCheckItem"), request)
            return
        case "BatchGetItem":
            (request,) = params["RequestItems"].values()
            keys = {key["PK"]["S"] for key in request["Keys"]}
        case "Query":
            keys = {_queried(params)}
        case "Scan":
            keys = set()
        case _:
            keys = {params.get("Key", params.get("Item"))["PK"]["S"]}
    yield f"dynamodb:{operation}", resource, {_LEADING_KEYS: keys, _ATTRIBUTES: _attributes(params)}


def _parse(statement: Mapping[str, Any]) -> Statement:
    assert set(statement) <= {"Sid", "Effect", "Action", "Resource", "Condition"}
    assert statement["Effect"] == "Allow"
    actions, resources = statement["Action"], statement["Resource"]
    conditions = statement.get("Condition", {"ForAllValues:StringLike": {}})
    assert set(conditions) == {"ForAllValues:StringLike"}, "no other operator is understood here"
    patterns = {key: tuple(values) for key, values in conditions["ForAllValues:StringLike"].items()}
    assert set(patterns) <= {_LEADING_KEYS, _ATTRIBUTES}
    assert not [text for values in patterns.values() for text in values if set(text) & set("?[$")]
    return Statement(
        frozenset([actions] if isinstance(actions, str) else actions),
        tuple(resources if isinstance(resources, list) else [resources]),
        patterns,
    )


def _queried(params: Mapping[str, Any]) -> str:
    condition = params["KeyConditionExpression"]
    names = params.get("ExpressionAttributeNames", {})
    for name, placeholder in re.findall(r"([#\w]+) = (:\w+)", condition):
        if names.get(name, name) in ("PK", "GSI1PK"):
            value: str = params["ExpressionAttributeValues"][placeholder]["S"]
            return value
    raise AssertionError(f"no partition key in {condition}")


def _attributes(params: Mapping[str, Any]) -> set[str]:
    names = params.get("ExpressionAttributeNames", {})
    words = {
        word for name in _EXPRESSIONS for word in re.findall(r"(?<![:\w#])[#\w.]*[\w.]+", params.get(name, ""))
    }
    found = {names.get(word, word) for word in words if word not in _WORDS and not word.isdigit()}
    return found | set(params.get("Key", ())) | set(params.get("Item", ()))
