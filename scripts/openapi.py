"""The API as an OpenAPI document and as a table of routes, both from the routes that the functions serve.

python -m scripts.openapi           write docs/openapi.json, and the table in docs/api.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Final

from leasegate.http.idempotency import REPLAYED
from leasegate.http.replies import DEGRADED, ROUND_TRIPS
from leasegate.http.routes import ROUTES
from leasegate.http.routing import Parameter, Route
from leasegate.http.schemas import SCHEMAS, Schema, ref
from scripts.generated import fill_in
from scripts.markdown import table
from scripts.toolchain import ROOT

DOCUMENT: Final = ROOT / "docs" / "openapi.json"
PAGE: Final = ROOT / "docs" / "api.md"

_EVERYWHERE: Final = (400, 403, 500, 503)
_PROBLEMS: Final[Mapping[int, tuple[str, tuple[str, ...]]]] = {
    400: ("The request is wrong; `field` names where.", ("InvalidRequest",)),
    403: ("Not signed, or not allowed by IAM.", ()),
    404: ("It does not exist.", ("Problem",)),
    409: ("What is there does not allow it.", ("Problem",)),
    415: ("The body is not called JSON.", ("InvalidRequest",)),
    422: ("Well formed, and still never possible.", ("InvalidRequest", "Problem")),
    429: ("Refused; `Retry-After` says when it fits.", ("Refusal",)),
    500: ("A failure; the log has its cause.", ("Problem",)),
    503: ("The table does not answer now.", ("Problem",)),
}
_HEADERS: Final[Mapping[str, tuple[str, Schema]]] = {
    ROUND_TRIPS: ("How many times the table was waited for.", {"type": "integer", "minimum": 0}),
    DEGRADED: ("true, where the table did not answer.", {"const": "true"}),
    "RateLimit": ("What is left, as RFC 9651 List.", {"type": "string"}),
    "RateLimit-Policy": ("The limits, as RFC 9651 List.", {"type": "string"}),
    "Retry-After": ("In seconds, rounded up.", {"type": "integer", "minimum": 1}),
    "X-RateLimit-Limit": ("The capacity of the tightest limit, in the legacy style.", {"type": "integer"}),
    "X-RateLimit-Remaining": ("What it has left.", {"type": "integer", "minimum": 0}),
    "X-RateLimit-Reset": ("In how many seconds it has more.", {"type": "integer", "minimum": 0}),
    REPLAYED: ("true, where it was done before and this is what was answered then.", {"const": "true"}),
}
_LEFT: Final = ("RateLimit", "RateLimit-Policy", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
_ANSWERED_WITH: Final[Mapping[str, tuple[str, ...]]] = {
    "acquire": (*_LEFT, DEGRADED, REPLAYED),
    "settle_lease": (REPLAYED,),
    "release_lease": (REPLAYED,),
    "adjust": (*_LEFT, REPLAYED),
    "available": _LEFT,
}
"""The headers of the answers of an operation, besides everybody's."""


def render_document() -> str:
    """Write the OpenAPI document."""
    paths: dict[str, dict[str, object]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Leasegate",
            "version": "1",
            "summary": "Exact rate limiting: may this caller spend n tokens now?",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [
            {
                "url": "{api_url}",
                "description": "The stack's output ApiUrl.",
                "variables": {"api_url": {"default": "https://example.execute-api.us-east-1.amazonaws.com/v1"}},
            }
        ],
        "security": [{"sigv4": []}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "responses": {
                _response_name(status): _problem(status, about, names)
                for status, (about, names) in _PROBLEMS.items()
            },
            "headers": {
                name: {"description": about, "schema": schema} for name, (about, schema) in _HEADERS.items()
            },
            "securitySchemes": {
                "sigv4": {
                    "type": "apiKey",
                    "name": "Authorization",
                    "in": "header",
                    "description": "AWS Signature Version 4, for execute-api.",
                    "x-amazon-apigateway-authtype": "awsSigv4",
                }
            },
        },
    }
    return json.dumps(document, indent=1) + "\n"


def render_page(text: str) -> str:
    """Write the table of routes between its markers."""
    rows = [
        (f"`{route.method}`", f"`{route.path}`", _cell(route), ", ".join(map(str, route.answers)))
        for route in ROUTES
    ]
    return fill_in(text, "routes", table(["method", "path", "", "answers"], rows))


def _cell(route: Route) -> str:
    query = "&".join([f"{parameter.name}=" for parameter in route.query])
    return f"{route.summary} `?{query}`" if query else route.summary


def _operation(route: Route) -> Schema:
    operation: Schema = {"operationId": route.operation, "summary": route.summary}
    parameters = [
        *_path_parameters(route.path),
        *_parameters("query", route.query),
        *_parameters("header", route.headers),
    ]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        media_type = "application/merge-patch+json" if route.method == "PATCH" else "application/json"
        operation["requestBody"] = {
            "required": route.needs_body,
            "content": {media_type: {"schema": ref(route.body)}},
        }
    problems = sorted({*_EVERYWHERE, *route.problems, *([415] if route.body is not None else ())})
    operation["responses"] = {
        **{str(status): _answer(route, status, name) for status, name in route.answers.items()},
        **{str(status): _problem_of(route, status) for status in problems},
    }
    return operation


def _path_parameters(path: str) -> Iterable[Schema]:
    for name in re.findall(r"{(\w+)}", path):
        schema = "LeaseId" if name == "lease_id" else "Identifier"
        yield {"name": name, "in": "path", "required": True, "schema": ref(schema)}


def _parameters(place: str, parameters: Iterable[Parameter]) -> Iterable[Schema]:
    for parameter in parameters:
        yield {
            "name": parameter.name,
            "in": place,
            "description": parameter.about,
            "required": parameter.is_required,
            "schema": ref(parameter.schema),
        }


def _answer(route: Route, status: int, name: str | None) -> Schema:
    headers = _headers(ROUND_TRIPS, *_ANSWERED_WITH.get(route.operation, ()))
    answer: Schema = {"description": HTTPStatus(status).phrase, "headers": headers}
    if name is not None:
        answer["content"] = {"application/json": {"schema": ref(name)}}
    return answer


def _problem_of(route: Route, status: int) -> Schema:
    if status == HTTPStatus.FORBIDDEN and status in route.problems:
        about, _ = _PROBLEMS[status]
        return _problem(status, f"{about} Or disabled by an operator: a problem.", ("Problem",))
    return {"$ref": f"#/components/responses/{_response_name(status)}"}


def _response_name(status: int) -> str:
    return HTTPStatus(status).phrase.replace(" ", "")


def _problem(status: int, about: str, names: tuple[str, ...]) -> Schema:
    content: Schema = {}
    headers: tuple[str, ...] = (ROUND_TRIPS,)
    if status == HTTPStatus.FORBIDDEN:
        content["application/json"] = {"schema": ref("Forbidden")}
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        headers = (*headers, *_LEFT, "Retry-After")
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers = (*headers, "Retry-After", DEGRADED)
    if names:
        schemas = [ref(name) for name in names]
        content["application/problem+json"] = {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}
    return {"description": about, "headers": _headers(*headers), "content": content}


def _headers(*names: str) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def main() -> None:
    """Write both."""
    DOCUMENT.write_text(render_document())
    PAGE.write_text(render_page(PAGE.read_text()))


if __name__ == "__main__":
    main()
