"""What DynamoDB answered, in the form in which botocore hands it on: what was said, and what about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from json import JSONDecoder
from typing import TYPE_CHECKING, Any, Final

from .connections import field

if TYPE_CHECKING:
    from .connections import Answer

_REQUEST_ID: Final = b"\r\nx-amzn-requestid: "
_QUERY_ERROR: Final = b"\r\nx-amzn-query-error:"
_DYNAMODB: Final = "com.amazonaws.dynamodb.v20120810#"
_REFUSALS: Final[Mapping[str, tuple[str, str, str]]] = {
    f"{_DYNAMODB}ConditionalCheckFailedException": ("ConditionalCheckFailedException", "message", "Item"),
    f"{_DYNAMODB}TransactionCanceledException": ("TransactionCanceledException", "Message", "CancellationReasons"),
}
"""The errors that say that a condition did not hold: by type, their code, and their members in the model."""

_read = JSONDecoder().raw_decode


class Headers(Mapping[str, str]):
    """The headers of an answer, by name in lower case; read only when somebody asks."""

    __slots__ = ("_head", "_headers")

    def __init__(self, head: bytes) -> None:
        """Keep the head of an answer."""
        self._head = head
        self._headers: dict[str, str] | None = None

    def _read(self) -> dict[str, str]:
        if self._headers is None:
            lines = self._head.decode("iso-8859-1").split("\r\n")[1:]
            pairs = [line.partition(":") for line in lines]
            self._headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return self._headers

    def __getitem__(self, name: str) -> str:
        return self._read()[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        return repr(self._read())


class Response:
    """What botocore's listeners look at of an answer."""

    __slots__ = ("content", "headers", "status_code", "url")

    def __init__(self, url: str, answer: Answer, headers: Headers) -> None:
        """Take over an answer from ``url``."""
        self.url = url
        self.status_code = answer.status
        self.headers = headers
        self.content = answer.content

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode()


def understood(url: str, answer: Answer, metadata: Mapping[str, object]) -> tuple[Response, dict[str, Any]] | None:
    """Return a plain answer as botocore's parser would; None for one that only the parser understands.

    ``metadata`` is what botocore says of every answer to a first attempt.
    """
    try:
        text = answer.content.decode()
        parsed, end = _read(text)
    except ValueError:
        return None
    if end != len(text) or type(parsed) is not dict:
        return None
    if answer.status != 200:
        parsed = _refusal(parsed, answer.lowered)
        if parsed is None:
            return None
    headers = Headers(answer.head)
    said = {"HTTPStatusCode": answer.status, "HTTPHeaders": headers, **metadata}
    request_id = _request_id(answer)
    if request_id is not None:
        said["RequestId"] = request_id
    parsed["ResponseMetadata"] = said
    return Response(url, answer, headers), parsed


def _refusal(body: dict[str, Any], lowered_head: bytes) -> dict[str, Any] | None:
    """Return what an error says, if it is a refusal."""
    known = _REFUSALS.get(body.get("__type", ""))
    if known is None or lowered_head.find(_QUERY_ERROR) >= 0:
        return None
    code, *members = known
    parsed: dict[str, Any] = {"Error": {"Message": body.get("message", body.get("Message", "")), "Code": code}}
    for member in members:
        said = body.get(member)
        if said is not None:
            parsed[member] = said
    if "CancellationReasons" in parsed:
        parsed["CancellationReasons"] = [_without_nulls(reason) for reason in parsed["CancellationReasons"]]
    return parsed


def _without_nulls(reason: Mapping[str, Any]) -> dict[str, Any]:
    return {name: said for name, said in reason.items() if said is not None}


def _request_id(answer: Answer) -> str | None:
    value = field(_REQUEST_ID, answer.lowered, answer.head)
    return None if value is None else value.decode("iso-8859-1")
