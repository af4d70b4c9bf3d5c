"""The header Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07): under one key it happens once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ..errors import InvalidRequest
from ..requesting import check_key

IDEMPOTENCY_KEY: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotent-Replayed"
"""The header of an answer that was given before: true, or it is not there."""

_STRING: Final = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"', re.ASCII)
_ESCAPED: Final = re.compile(r"\\(.)")


def read_key(values: Sequence[str]) -> str | None:
    """Return the key in the values of the header, None where there are none.

    It is a String of RFC 9651, ``"8e03978e"``, as in the draft; or bare, as many clients send it: the same key.
    """
    if not values:
        return None
    if len(values) != 1:
        raise InvalidRequest(IDEMPOTENCY_KEY, "is given twice")
    key = values[0].strip(" \t")
    if key.startswith('"'):
        string = _STRING.fullmatch(key)
        if string is None:
            raise InvalidRequest(IDEMPOTENCY_KEY, "begins like a String of RFC 9651, and is none")
        key = _ESCAPED.sub(r"\1", string[1])
    return check_key(IDEMPOTENCY_KEY, key)
