"""docs/api.md: its requests, sent in order to the functions on an empty table, are answered as shown."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from markdown_it import MarkdownIt

from leasegate.http.ratelimit import HEADER_STYLES
from leasegate.http.routes import ROUTES, SPENDING
from leasegate.http.routing import RouteTable
from leasegate.repository.dynamodb import DynamoRepository
from scripts import template
from tests.fixtures.functions import TABLE_NAME
from tests.functions import Context, request
from tests.metered import count_all, spent

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.fixtures.functions import Launch

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
BLOCKS = [token.content for token in MarkdownIt().parse(PAGE.read_text()) if token.type == "fence"]
NOW_MS = 1_790_000_000_000
# What the page says of usage; no stream runs here that would count what its requests spend.
USAGE = (
    spent("key-1", NOW_MS, {"tpm": 1_312}, grants=2, refused={"tpm": 3}, peaks={"streams": 1, "tpm": 1_312}),
    spent("key-2", NOW_MS, {"tpm": 2_000}, grants=5, peaks={"tpm": 900}),
)


@dataclass(frozen=True)
class Message:
    """A request or an answer as the page shows it; the first line is the method and path, or the status."""

    first: list[str]
    headers: dict[str, str]
    body: str


def parse(block: str) -> Message:
    head, _, body = block.partition("\n\n")
    first, *fields = head.strip().splitlines()
    return Message(first.split(), dict(field.split(": ", 1) for field in fields), body)


def exchanges() -> Iterator[tuple[Message, Message | None]]:
    """Yield each request of the page with the answer that follows it, if one is shown."""
    messages = [parse(block) for block in BLOCKS]
    for message, following in zip(messages, [*messages[1:], None], strict=True):
        if not message.first[0].startswith("HTTP/"):
            answer = following if following is not None and following.first[0].startswith("HTTP/") else None
            yield message, answer


class Elisions:
    """What the page cuts short: ``abc…`` stands for a text that begins so, and from then on for that one."""

    def __init__(self) -> None:
        self._meant: dict[str, str] = {}

    def learn(self, shown: object, answered: object) -> object:
        """Return the answer as the page would show it."""
        if isinstance(shown, str) and shown.endswith("…") and isinstance(answered, str):
            assert answered.startswith(shown[:-1])
            self._meant[shown] = answered
            return shown
        if isinstance(shown, dict) and isinstance(answered, dict):
            return {name: self.learn(shown.get(name), value) for name, value in answered.items()}
        if isinstance(shown, list) and isinstance(answered, list) and len(shown) == len(answered):
            return [self.learn(*pair) for pair in zip(shown, answered, strict=True)]
        return answered

    def fill(self, text: str) -> str:
        """Put in what was meant."""
        return re.sub(r"[\w-]+…", lambda cut: self._meant[cut[0]], text)


def test_the_requests_are_answered_as_shown(
    moto_client: DynamoDBClient, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: NOW_MS * 10**6)
    spending, administration = launch("acquire"), launch("admin")
    with DynamoRepository(moto_client, TABLE_NAME) as repository:
        count_all(repository, *USAGE)
    elisions = Elisions()
    for asked, shown in exchanges():
        method, path = asked.first[0], elisions.fill(asked.first[1])
        route, _ = RouteTable(ROUTES).find(method, path.partition("?")[0])
        function = spending if route in SPENDING else administration
        answer = function.module.handler(request(method, path, asked.body, asked.headers), Context())
        assert answer["statusCode"] == (200 if shown is None else int(shown.first[1])), answer["body"]
        if shown is not None:
            assert answer["headers"].items() >= shown.headers.items()
            if shown.body:
                document: Any = json.loads(shown.body)
                assert elisions.learn(document, json.loads(answer["body"])) == document
    assert len(list(exchanges())) > 6


def test_the_styles_are_those_that_there_are() -> None:
    parameter = template.load()["Parameters"]["RateLimitHeaders"]
    assert tuple(parameter["AllowedValues"]) == HEADER_STYLES
    shown = re.findall(r"^\| `([a-z]+)`(, the default)? \|", PAGE.read_text(), re.MULTILINE)
    assert [style for style, _ in shown] == list(HEADER_STYLES)
    assert [style for style, default in shown if default] == [parameter["Default"]]
