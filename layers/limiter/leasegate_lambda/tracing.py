"""The tracer of a function; where the stack does not trace, one without X-Ray's SDK.

A tracer of Powertools that is switched off imports the SDK all the same, and that is a tenth of a cold start.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from aws_lambda_powertools import Tracer
from aws_lambda_powertools.shared.functions import strtobool

OFF_VARIABLE: Final = "POWERTOOLS_TRACE_DISABLED"
"""Powertools' own: true where the stack's parameter Tracing is off."""


def open_tracer() -> Tracer:
    """Return the tracer of a function; it records each call of botocore."""
    if strtobool(os.environ.get(OFF_VARIABLE) or "false"):
        return Untraced()
    return Tracer(patch_modules=["botocore"])


class Untraced(Tracer):
    """Records nothing, by the part of a tracer that functions use."""

    def __init__(self) -> None:
        """Do without a provider; Powertools' own start would look for one."""
        self.disabled = True

    def capture_lambda_handler(
        self,
        lambda_handler: Callable[..., Any] | None = None,
        capture_response: bool | None = None,
        capture_error: bool | None = None,
    ) -> Callable[..., Any]:
        """Leave a handler as it is."""
        return lambda_handler or (lambda handler: handler)
