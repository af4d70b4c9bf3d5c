"""The log: one line of ASCII for each record, whatever is in it."""

from __future__ import annotations

import json
from functools import partial
from typing import Final

from aws_lambda_powertools import Logger

_write_line: Final = partial(json.dumps, default=str, separators=(",", ":"))
"""Powertools' own leaves other characters as they are: one that is half of a pair would lose the record, and some
readers begin a line after U+2028."""


def open_log() -> Logger:
    """Return the log of a function."""
    return Logger(json_serializer=_write_line)
