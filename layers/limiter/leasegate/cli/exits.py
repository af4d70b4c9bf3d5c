"""How a command ends: one exit code for each kind of answer, and what is said of it on stderr."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from ..changes import UnreadableChange
from ..deadletters import UnreadableLetter
from ..declaration import InvalidDeclaration
from ..errors import (
    Conflict,
    Disabled,
    IdempotencyConflict,
    InvalidRequest,
    LeasegateError,
    NotFound,
    RateLimitExceeded,
    StoreError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


class Exit(IntEnum):
    """The exit codes, as docs/cli.md lists them."""

    DONE = 0
    NO = 1
    BAD_INPUT = 2
    STORE_ERROR = 3
    NOT_SO = 4
    INCOMPLETE = 5
    INTERRUPTED = 130


_BY_ERROR: Mapping[type[LeasegateError], Exit] = {
    RateLimitExceeded: Exit.NO,
    Disabled: Exit.NO,
    InvalidRequest: Exit.BAD_INPUT,
    InvalidDeclaration: Exit.BAD_INPUT,
    UnreadableChange: Exit.BAD_INPUT,
    UnreadableLetter: Exit.BAD_INPUT,
    StoreError: Exit.STORE_ERROR,
    NotFound: Exit.NOT_SO,
    Conflict: Exit.NOT_SO,
    IdempotencyConflict: Exit.NOT_SO,
}


def exit_code(error: LeasegateError) -> Exit:
    """Return how a command ends that met this error."""
    return next((code for kind, code in _BY_ERROR.items() if isinstance(error, kind)), Exit.STORE_ERROR)
