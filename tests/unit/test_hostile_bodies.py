"""Bodies that are too much, or not what they say: each is a problem that names the field, and never a failure."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Final

import pytest

from leasegate import InvalidRequest
from leasegate.http.bodies import MAX_BODY_BYTES, check_content_type
from tests.functions import request

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.fixtures.functions import Launch
    from tests.functions import Function

ASK: Final = '{"entity_id": "key-1", "resource": "gpt-4", "consume": %s}'


def consume(value: str) -> str:
    return ASK % value


def number(digits: str) -> str:
    return consume(f'{{"rpm": {digits}}}')


BODIES: Final = {
    "too long": ("body", " " * MAX_BODY_BYTES + "{}"),
    "too long in UTF-8": ("body", '{"a": "' + "\u00e9" * (MAX_BODY_BYTES // 2) + '"}'),
    "a long string": ("entity_id", '{"entity_id": "%s", "resource": "r", "consume": {"a": 1}}' % ("k" * 60_000)),
    "a long name": ("x" * 100, '{"%s": 1}' % ("x" * 60_000)),
    "arrays in arrays": ("body", "[" * 60_000),
    "arrays that end": ("body", "[" * 30_000 + "]" * 30_000),
    "objects in objects": ("body", '{"a":' * 12_000 + "1" + "}" * 12_000),
    "deep where nothing is": ("deep", '{"deep": ' + "[" * 500 + "]" * 500 + "}"),
    "deep in a field": ("consume", consume("[" * 500 + "]" * 500)),
    "deeper than numbers go": ("consume.rpm", number("[" * 500 + "]" * 500)),
    "5,000 digits": ("consume.rpm", number("9" * 5_000)),
    "5,000 negative digits": ("consume.rpm", number("-" + "9" * 5_000)),
    "60,000 digits": ("consume.rpm", number("9" * 60_000)),
    "4,300 digits": ("consume.rpm", number("9" * 4_300)),
    "as many as a table holds": ("consume.rpm", number("9" * 38)),
    "one too many": ("consume.rpm", number(str(10**12 + 1))),
    "a fraction": ("consume.rpm", number("0.5")),
    "one that is none": ("consume.rpm", number("1.0")),
    "an exponent": ("consume.rpm", number("1e3")),
    "beyond all floats": ("consume.rpm", number("1e400")),
    "below all floats": ("consume.rpm", number("-1e400")),
    "minus nothing": ("consume.rpm", number("-0.0")),
    "not a number": ("body", number("NaN")),
    "infinity": ("body", number("Infinity")),
    "true": ("consume.rpm", number("true")),
    "a number in quotes": ("consume.rpm", number('"1"')),
    "a key twice": ("consume.rpm", consume('{"rpm": 1, "rpm": 1}')),
    "a key twice, once escaped": ("consume.rpm", consume('{"rpm": 1, "r\\u0070m": 1}')),
    "a field twice": ("resource", '{"entity_id": "a", "resource": "b", "resource": "c", "consume": {"a": 1}}'),
    "a byte order mark": ("body", "\ufeff" + number("1")),
    "what was no UTF-8": ("body", number("1").replace("key", "\ufffd")),
    "half of a pair": ("entity_id", number("1").replace("key-1", "\\ud800")),
    "NUL": ("body", "\x00"),
    "NUL in an id": ("entity_id", number("1").replace("key-1", "a\\u0000")),
    "a line end in a string": ("body", number("1").replace("key-1", "a\n")),
    "two documents": ("body", "{}{}"),
    "a comment": ("body", "{} // nothing"),
    "XML": ("body", "<a/>"),
    "a form": ("body", "entity_id=a"),
}


@pytest.fixture
def function(moto_client: DynamoDBClient, launch: Launch) -> Function:
    return launch("acquire")


@pytest.fixture
def admin(moto_client: DynamoDBClient, launch: Launch) -> Function:
    return launch("admin")


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_cannot_be_is_a_problem_that_names_the_field(name: str, function: Function) -> None:
    field, body = BODIES[name]
    response = function.post(body)
    assert (response.status, response.body["field"]) == (400, field)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert len(json.dumps(response.body)) < 1_000
    assert response.body["detail"].isascii()


@pytest.mark.parametrize(
    "data",
    [b"\xff\xfe{}", b"\x80", b"{\xc0\x80}", b"\xed\xa0\x80"],
    ids=["UTF-16", "half", "overlong", "surrogate"],
)
def test_bytes_that_are_no_utf_8_are_refused(data: bytes, function: Function) -> None:
    event = request("POST", "/acquire", base64.b64encode(data).decode()) | {"isBase64Encoded": True}
    response = function.invoke(event)
    assert (response.status, response.body["field"]) == (400, "body")


@pytest.mark.parametrize("body", ["*", "e30", "e30=\n", "é"])
def test_what_is_no_base64_is_refused(body: str, function: Function) -> None:
    response = function.invoke(request("POST", "/acquire", body) | {"isBase64Encoded": True})
    assert (response.status, response.body["field"]) == (400, "body")


def test_a_byte_order_mark_in_base64_is_refused_too(function: Function) -> None:
    body = base64.b64encode(b"\xef\xbb\xbf{}").decode()
    response = function.invoke(request("POST", "/acquire", body) | {"isBase64Encoded": True})
    assert (response.body["field"], response.body["detail"]) == ("body", "must not begin with a byte order mark")


# --- what a body is called ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
        "application/json; charset=latin-1",
        "application/json5",
        "application/json, text/plain",
        "text/json",
        "multipart/form-data; boundary=a",
        "json",
        "",
        "application/json\r\nX-Injected: 1",
    ],
)
def test_a_body_that_is_called_something_else_is_a_415(content_type: str, function: Function) -> None:
    response = function.post(number("1"), headers={"Content-Type": content_type})
    assert (response.status, response.body["status"], response.body["field"]) == (415, 415, "Content-Type")
    assert response.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/merge-patch+json",
        "application/vnd.example.v1+json",
    ],
)
def test_json_by_any_of_its_names_is_read(content_type: str, function: Function) -> None:
    # There are no limits, which is found out after the body was read.
    assert function.post(number("1"), headers={"Content-Type": content_type}).status == 404


def test_a_body_that_is_not_called_anything_is_read() -> None:
    check_content_type([])
    with pytest.raises(InvalidRequest):
        check_content_type(["application/json", "application/json"])


def test_without_a_body_it_does_not_matter_what_it_is_called(admin: Function) -> None:
    response = admin.send("GET", "/entities", headers={"Content-Type": "text/plain"})
    assert response.status == 200


# --- text that people choose ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("name", {"name": "a\ud800"}),
        ("name", {"name": "\udfff"}),
        ("name", {"name": "n" * 257}),
        ("metadata", {"metadata": {"\ud800": "a"}}),
        ("metadata.a", {"metadata": {"a": "\udc00"}}),
        ("metadata.a", {"metadata": {"a": "v" * 257}}),
    ],
    ids=["half of a pair", "the other half", "a long name", "in a key", "in a value", "a long value"],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_text_that_the_table_cannot_hold_is_named(
    method: str, field: str, body: dict[str, object], admin: Function
) -> None:
    response = admin.send(method, "/entities/key-1", body)
    assert (response.status, response.body["field"]) == (400, field)


def test_text_that_the_table_can_hold_comes_back_as_it_is(admin: Function) -> None:
    odd = {
        "name": "\x00\r\n\u202e#\U0001f511\ufffd",
        "metadata": {"\x00\r\n": "", "\U0001f511" * 256: "\ufffd" * 256},
    }
    assert admin.send("PUT", "/entities/key-1", odd).status == 201
    shown = admin.send("GET", "/entities/key-1").body
    assert {"name": shown["name"], "metadata": shown["metadata"]} == odd
