"""The OpenAPI document as a judge of replies and bodies."""

import json
from functools import cache
from typing import Any, Final

from jsonschema import Draft202012Validator

from leasegate.http.routes import ROUTES
from leasegate.http.routing import RouteNotFound, RouteTable
from scripts.api import Answer
from scripts.openapi import DOCUMENT

_ROUTES: Final = RouteTable(ROUTES)


@cache
def document() -> dict[str, Any]:
    """Read docs/openapi.json."""
    parsed: dict[str, Any] = json.loads(DOCUMENT.read_text())
    return parsed


@cache
def schema_of(name: str) -> Draft202012Validator:
    """Return the validator of a schema of the document."""
    return Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": document()["components"]},
        format_checker=Draft202012Validator.FORMAT_CHECKER,
    )


def fits(name: str, value: object) -> bool:
    """Say whether a value fits a schema."""
    return bool(schema_of(name).is_valid(value))


def check_reply(method: str, path: str, status: int, headers: dict[str, str], body: str) -> None:
    """Fail unless the document foresees such a reply to a request; where there is no route, a problem."""
    content_type = headers.get("Content-Type")
    if "%2f" in path.lower():
        assert (status, content_type) == (400, "application/problem+json")
        schema_of("InvalidRequest").validate(json.loads(body))
        return
    try:
        route, _ = _ROUTES.find(method, path)
    except RouteNotFound:
        assert (status, content_type) in {(404, "application/problem+json"), (405, "application/problem+json")}
        schema_of("Problem").validate(json.loads(body))
        return
    responses = document()["paths"][route.path][method.lower()]["responses"]
    assert str(status) in responses, f"{method} {path} answers {status}, and the document does not say so"
    response = _resolve(responses[str(status)])
    unknown = headers.keys() - response["headers"].keys() - {"Content-Type", "Cache-Control"}
    assert not unknown, f"{method} {path} {status} has headers that the document does not: {unknown}"
    if "content" not in response:
        assert not body
        return
    schema = response["content"][content_type]["schema"]
    Draft202012Validator({**schema, "components": document()["components"]}).validate(json.loads(body))


def checked(method: str, path: str, answer: Answer) -> Answer:
    """Hold an answer of the deployed API to the document; names of headers have lost their case on the way."""
    ours = ("content-type", "idempotent-", "leasegate-", "ratelimit", "retry-after", "x-ratelimit")
    headers = {name.title(): value for name, value in answer.headers.items() if name.lower().startswith(ours)}
    headers = {name.replace("Ratelimit", "RateLimit"): value for name, value in headers.items()}
    if not answer.body:
        headers.pop("Content-Type", None)
    check_reply(method, path, answer.status, headers, answer.body.decode())
    return answer


def _resolve(node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    found: Any = document()
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return dict(found)
