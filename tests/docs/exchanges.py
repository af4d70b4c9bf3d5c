"""Requests and answers as pages show them, sent to the functions in order, and held to what is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from leasegate.http.routes import ROUTES, SPENDING
from leasegate.http.routing import RouteTable
from tests.functions import Context, request

if TYPE_CHECKING:
    from tests.fixtures.functions import Launch


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


def exchanges(blocks: Sequence[str]) -> Iterator[tuple[Message, Message | None]]:
    """Yield each request with the answer that follows it, if one is shown."""
    messages = [parse(block) for block in blocks]
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


def send_all(blocks: Sequence[str], launch: Launch) -> int:
    """Send the requests to the functions and hold the answers to those shown; return how many were sent."""
    spending, administration = launch("acquire"), launch("admin")
    elisions = Elisions()
    sent = 0
    for asked, shown in exchanges(blocks):
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
        sent += 1
    return sent
