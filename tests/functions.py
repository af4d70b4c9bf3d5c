"""The functions as Lambda sees them: loaded afresh, given an event and a context."""

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from scripts import template

_FUNCTIONS: Final = Path(__file__).resolve().parents[1] / "functions"


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
    """What a function gave to API Gateway; header names are as it wrote them."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Function:
    """One process of a function: what it remembers stays until the next one is loaded."""

    module: ModuleType

    def invoke(self, event: dict[str, Any], context: Context | None = None) -> Response:
        answer = self.module.handler(event, context or Context())
        headers = {name: ", ".join(values) for name, values in answer["multiValueHeaders"].items()}
        return Response(answer["statusCode"], headers, json.loads(answer["body"]))

    def post(self, body: object, context: Context | None = None, *, path: str = "/acquire") -> Response:
        return self.invoke(request("POST", path, body if isinstance(body, str) else json.dumps(body)), context)


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


def request(method: str, path: str, body: str | None = None) -> dict[str, Any]:
    """Return an event of the REST API, with the fields that the functions use."""
    return {
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": {"Content-Type": "application/json"},
        "requestContext": {"stage": "v1", "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"},
        "body": body,
        "isBase64Encoded": False,
    }


type Load = Callable[[], Function]
"""Starts another process of a function."""
