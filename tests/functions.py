"""The functions as Lambda sees them: loaded afresh, given an event and a context."""

import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from scripts import template
from tests.contract import check_reply

_FUNCTIONS: Final = Path(__file__).resolve().parents[1] / "functions"

OPERATOR: Final = "arn:aws:iam::123456789012:user/operator"
"""Who signs the requests that :func:`request` makes."""


@dataclass(frozen=True)
class Context:
    """The part of Lambda's context that the functions use."""

    left_ms: int = 10_000
    function_name: str = "AcquireFunction"
    memory_limit_in_mb: int = 1_024
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:AcquireFunction:live"
    aws_request_id: str = "7a1b3c5d-0000-4000-8000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        return self.left_ms


@dataclass(frozen=True)
class Response:
    """What a function gave to API Gateway; header names are as it wrote them. No body is an empty one here."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Function:
    """One process of a function behind the API: what it remembers stays until the next one is loaded.

    Every reply is held to the OpenAPI document.
    """

    module: ModuleType

    def invoke(self, event: dict[str, Any], context: Context | None = None) -> Response:
        answer = self.module.handler(event, context or Context())
        check_reply(event["httpMethod"], event["path"], answer["statusCode"], answer["headers"], answer["body"])
        return Response(answer["statusCode"], answer["headers"], json.loads(answer["body"] or "{}"))

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        context: Context | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        signer: str = OPERATOR,
    ) -> Response:
        text = body if isinstance(body, str | None) else json.dumps(body)
        return self.invoke(request(method, path, text, headers, signer), context)

    def post(
        self,
        body: object = None,
        context: Context | None = None,
        *,
        path: str = "/acquire",
        headers: Mapping[str, str] | None = None,
        signer: str = OPERATOR,
    ) -> Response:
        return self.send("POST", path, body, context, headers=headers, signer=signer)


def load(name: str) -> Function:
    """Import functions/<name>/app.py as a new process would, whatever was imported before."""
    spec = importlib.util.spec_from_file_location(f"{name}_app", _FUNCTIONS / name / "app.py")
    if spec is None or spec.loader is None:
        raise LookupError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Function(module)


def environment(resource: str) -> dict[str, str]:
    """Return the variables that template.yaml sets for a function, those that are plain text."""
    document = template.load()
    blocks = (document["Globals"]["Function"], document["Resources"][resource]["Properties"])
    variables: dict[str, Any] = {}
    for block in blocks:
        variables |= block.get("Environment", {}).get("Variables", {})
    return {name: value for name, value in variables.items() if isinstance(value, str)}


def request(
    method: str,
    target: str,
    body: str | None = None,
    headers: Mapping[str, str] | None = None,
    signer: str = OPERATOR,
) -> dict[str, Any]:
    """Return the event of the REST API for a request, with the fields that the functions use.

    The path is matched with those of template.yaml, as the gateway does it, and decoded as it does.
    """
    url = urlsplit(target)
    resource, parameters = _match(url.path)
    query = parse_qs(url.query, keep_blank_values=True)
    sent = {"Content-Type": "application/json", **(headers or {})}
    return {
        "resource": resource,
        "path": url.path,
        "httpMethod": method,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": parameters or None,
        "requestContext": {
            "stage": "v1",
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "identity": {"userArn": signer, "caller": "AIDACKCEVSQ6C2EXAMPLE", "user": "AIDACKCEVSQ6C2EXAMPLE"},
        },
        "body": body,
        "isBase64Encoded": False,
    }


def api_events(function: str) -> set[tuple[str, str]]:
    """Return the methods and paths that template.yaml leads to a function."""
    events = template.load()["Resources"][function]["Properties"]["Events"].values()
    return {(event["Properties"]["Method"], event["Properties"]["Path"]) for event in events}


def _match(path: str) -> tuple[str, dict[str, str]]:
    """Return the path of template.yaml that fits best, and the parameter in it, decoded."""
    if path in _API_PATHS:
        return path, {}
    prefixes = [known.removesuffix(_GREEDY) for known in _API_PATHS if known.endswith(_GREEDY)]
    prefix = max([prefix for prefix in prefixes if path.startswith(prefix)], key=len)
    return prefix + _GREEDY, {"proxy": unquote(path.removeprefix(prefix))}


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Parse what functions printed since the last look, a JSON document each line."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def counts(capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    """Return the one set of metrics that was printed since the last look."""
    (document,) = [line for line in lines(capsys) if "_aws" in line]
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Leasegate"
    return {metric["Name"]: document[metric["Name"]][0] for metric in directive["Metrics"]}


_GREEDY: Final = "{proxy+}"
_API_PATHS: Final = {path for name in ("AcquireFunction", "AdminFunction") for _method, path in api_events(name)}

type Load = Callable[[], Function]
"""Starts another process of a function."""
