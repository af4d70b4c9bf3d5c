"""JSON bodies, read strictly.

Every mistake raises :class:`InvalidRequest` with the path of the field (``consume.tpm``, ``limits[1].burst``;
``body`` for what is no JSON object at all). Nothing is guessed: no unknown fields, no numbers as strings, no
``1.0`` for ``1``, and no other media type that happens to look like JSON.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from ..errors import InvalidRequest

MAX_BODY_BYTES: Final = 65_536

CONTENT_TYPE: Final = "Content-Type"

_MAX_PATH_LENGTH: Final = 100
_MAX_DIGITS: Final = 40
"""More than any number here may have."""
_JSON: Final = re.compile(
    r"application/(?:[a-z0-9.-]+\+)?json(?: *; *charset=\"?utf-8\"?)?", re.ASCII | re.IGNORECASE
)


class UnsupportedMediaType(InvalidRequest):
    """The body says of itself that it is no JSON."""


class Object(dict[str, object]):
    """A JSON object; ``repeated`` is a key that it gives twice, if it does."""

    def __init__(self, members: list[tuple[str, object]]) -> None:
        """Take the members in the order of the text."""
        super().__init__(members)
        self.repeated: str | None = None
        if len(self) != len(members):
            ((self.repeated, _),) = Counter([key for key, _ in members]).most_common(1)


def read_body(body: str | None, *, is_base64: bool = False) -> object:
    """Return the JSON value of a body, base64 as API Gateway passes on what it takes for binary.

    Objects are :class:`Object`, for :func:`read_object` to look into.
    """
    return _parse_json(_decode(body, is_base64))


def check_content_type(values: Sequence[str]) -> None:
    """Refuse a body that its header calls something else than JSON; one that is not called anything may be."""
    if len(values) > 1 or any(not _JSON.fullmatch(value.strip()) for value in values):
        raise UnsupportedMediaType(CONTENT_TYPE, "must be application/json, in UTF-8")


def read_object(
    path: str, value: object, *, required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Mapping[str, object]:
    """Return a JSON object with all required and no unknown fields; the path of the body itself is empty."""
    fields = check_object(path, value)
    for name in fields:
        if name not in required and name not in optional:
            known = ", ".join(required + optional)
            raise InvalidRequest(_join(path, name), f"is unknown; the fields are {known}")
    for name in required:
        if name not in fields:
            raise InvalidRequest(_join(path, name), "is required")
    return fields


def check_object(path: str, value: object) -> Mapping[str, object]:
    """Return a JSON object in which no key stands twice."""
    if not isinstance(value, Object):
        raise InvalidRequest(path or "body", "must be a JSON object")
    if value.repeated is not None:
        raise InvalidRequest(_join(path, value.repeated), "is given twice")
    return value


def _join(path: str, name: str) -> str:
    # The caller chose the name, perhaps thousands of characters of it.
    return (f"{path}.{name}" if path else name)[:_MAX_PATH_LENGTH]


def _decode(body: str | None, is_base64: bool) -> str:
    if not body:
        raise InvalidRequest("body", "must be a JSON object, not empty")
    # What is too long is so in base64 or escapes too; looking first spares the work.
    if len(body) > 2 * MAX_BODY_BYTES:
        raise InvalidRequest("body", f"must be at most {MAX_BODY_BYTES} bytes")
    data = body.encode(errors="surrogatepass")
    if is_base64:
        try:
            data = base64.b64decode(data, validate=True)
            body = data.decode()
        except ValueError as error:
            raise InvalidRequest("body", "must be base64 of UTF-8") from error
    elif "\ufffd" in body:
        # The gateway puts it where bytes were no UTF-8.
        raise InvalidRequest("body", "must be UTF-8; a U+FFFD that is meant is written \\ufffd")
    if len(data) > MAX_BODY_BYTES:
        raise InvalidRequest("body", f"must be at most {MAX_BODY_BYTES} bytes")
    if body.startswith("\ufeff"):
        raise InvalidRequest("body", "must not begin with a byte order mark")
    return body


def _parse_json(text: str) -> object:
    try:
        value: object = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise InvalidRequest("body", f"must be JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise InvalidRequest("body", "must not be nested so deeply") from error
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidRequest("body", f"must be JSON, which has no {name}")


def _read_integer(digits: str) -> int:
    # Python reads no more than 4,300. Cut, such a number is still too great for any field, which then says so.
    return int(digits[:_MAX_DIGITS])


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=Object, parse_constant=_refuse_constant, parse_int=_read_integer
)
