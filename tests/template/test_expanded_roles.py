"""The roles as SAM makes them of the template: what it adds, and that nothing is allowed everywhere."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any, Final

import pytest

from scripts import template
from scripts.toolchain import MINISTACK_PYTHON, REGION

EXPAND: Final = """
import json, sys
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

document = json.load(sys.stdin)
for resource in document["Resources"].values():
    for place in {"CodeUri", "ContentUri"} & resource["Properties"].keys():
        resource["Properties"][place] = "s3://bucket/key"  # as `sam deploy` would, after it sent them there
json.dump(Translator({}, Parser()).translate(sam_template=document, parameter_values={}), sys.stdout)
"""
"""SAM's own translation, run where the emulator's tools are."""

MANAGED: Final = {
    "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole": "to write its log; SAM's own",
    # X-Ray's actions know no resources: a segment is sent to the region, so this one says *.
    "arn:aws:iam::aws:policy/AWSXrayWriteOnlyAccess": "to send segments; by Tracing: Active",
}
MANAGED_OF_THE_AGGREGATOR: Final = {
    # Streams are found by listing them, and what it may read is what its event source is mapped to.
    "arn:aws:iam::aws:policy/service-role/AWSLambdaDynamoDBExecutionRole": "to read the stream; by its event",
}


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    done = subprocess.run(
        [MINISTACK_PYTHON, "-c", EXPAND],
        input=json.dumps(template.load()),
        capture_output=True,
        text=True,
        env={"AWS_DEFAULT_REGION": REGION},
    )
    assert done.returncode == 0, done.stderr
    expanded: dict[str, Any] = json.loads(done.stdout)["Resources"]
    return expanded


def of_type(resources: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {name: each["Properties"] for name, each in resources.items() if each["Type"] == kind}


def statements(resources: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, role in of_type(resources, "AWS::IAM::Role").items():
        for policy in role["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                yield name, statement


def as_list(value: Any) -> list[Any]:  # noqa: ANN401 - IAM's one or many
    return value if isinstance(value, list) else [value]


def test_every_function_has_a_role_of_its_own(resources: dict[str, Any]) -> None:
    functions = of_type(resources, "AWS::Lambda::Function")
    roles = of_type(resources, "AWS::IAM::Role")
    assert {json.dumps(function["Role"]) for function in functions.values()} == {
        json.dumps({"Fn::GetAtt": [name, "Arn"]}) for name in roles
    }
    assert len(roles) == len(functions) == 5


def test_no_statement_is_about_everything(resources: dict[str, Any]) -> None:
    seen = 0
    for name, statement in statements(resources):
        seen += 1
        assert statement["Effect"] == "Allow"
        assert "NotAction" not in statement
        assert "NotResource" not in statement
        assert not [action for action in as_list(statement["Action"]) if "*" in action], name
        for resource in as_list(statement["Resource"]):
            assert isinstance(resource, dict), f"{name} names no resource of the stack: {resource}"
            assert "*" not in json.dumps(resource), name
    assert seen == 21


def test_nothing_but_roles_grants_anything(resources: dict[str, Any]) -> None:
    granting = ("AWS::IAM::", "::QueuePolicy", "::BucketPolicy", "::TopicPolicy", "::ResourcePolicy")
    kinds = {each["Type"] for each in resources.values()}
    assert {kind for kind in kinds if any(part in kind for part in granting)} == {"AWS::IAM::Role"}
    assert "ResourcePolicy" not in of_type(resources, "AWS::DynamoDB::Table")["Table"]


def test_managed_policies_are_those_that_have_a_reason(resources: dict[str, Any]) -> None:
    for name, role in of_type(resources, "AWS::IAM::Role").items():
        more = MANAGED_OF_THE_AGGREGATOR if name == "AggregatorFunctionRole" else {}
        assert set(role["ManagedPolicyArns"]) == {*MANAGED, *more}, name


def test_only_lambda_takes_on_the_roles(resources: dict[str, Any]) -> None:
    for role in of_type(resources, "AWS::IAM::Role").values():
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": ["lambda.amazonaws.com"]}
        assert statement["Action"] == ["sts:AssumeRole"]


def test_only_this_api_and_this_schedule_invoke_functions(resources: dict[str, Any]) -> None:
    permissions = of_type(resources, "AWS::Lambda::Permission")
    assert len(permissions) == 12
    for name, permission in permissions.items():
        source = json.dumps(permission["SourceArn"])
        if permission["Principal"] == "apigateway.amazonaws.com":
            assert '{"Ref": "Api"}' in source, name
        else:
            assert permission["Principal"] == "events.amazonaws.com"
            assert source == json.dumps({"Fn::GetAtt": ["SweepFunctionEveryMinute", "Arn"]})
    assert not of_type(resources, "AWS::Lambda::Url")


def test_every_method_of_the_api_wants_a_signature(resources: dict[str, Any]) -> None:
    (api,) = of_type(resources, "AWS::ApiGateway::RestApi").values()
    methods = [
        operation
        for path in api["Body"]["paths"].values()
        for method, operation in path.items()
        if method != "parameters"
    ]
    assert len(methods) == 11
    assert all(operation["security"] == [{"AWS_IAM": []}] for operation in methods)
    scheme = api["Body"]["components"]["securitySchemes"]["AWS_IAM"]
    assert scheme["x-amazon-apigateway-authtype"] == "awsSigv4"
