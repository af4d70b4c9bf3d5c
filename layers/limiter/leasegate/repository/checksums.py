"""Holds every answer of DynamoDB to the checksum in its header.

The SDK looks at it only where it decides whether to repeat a call by itself, and that is switched off here.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from botocore.exceptions import ChecksumError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_HEADER: Final = "x-amz-crc32"

_logger = logging.getLogger("leasegate")


def check_answers(client: DynamoDBClient) -> None:
    """Let a client raise ``ChecksumError`` for answers that were damaged; told twice it does so once.

    One that has no events to listen to, for it is none of botocore's, is left as it is, which is logged.
    """
    try:
        events = client.meta.events
    except AttributeError:
        _logger.warning("the client %s is not as expected: its answers may be damaged", type(client).__name__)
        return
    events.register("before-parse.dynamodb", _check, unique_id="leasegate-checksum")


def _check(response_dict: dict[str, Any], **_answer: object) -> None:
    expected = response_dict["headers"].get(_HEADER)
    if expected is None:
        return
    actual = str(crc32(response_dict["body"]))
    if actual != expected:
        raise ChecksumError(checksum_type="crc32", expected_checksum=expected, actual_checksum=actual)
