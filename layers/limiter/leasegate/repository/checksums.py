"""Holds every answer of DynamoDB to the checksum in its header.

The SDK looks at it only where it decides whether to repeat a call by itself, and that is switched off here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from botocore.exceptions import ChecksumError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_HEADER: Final = "x-amz-crc32"


def check_answers(client: DynamoDBClient) -> None:
    """Let a client raise ``ChecksumError`` for answers that were damaged; told twice it does so once."""
    client.meta.events.register("before-parse.dynamodb", _check, unique_id="leasegate-checksum")


def _check(response_dict: dict[str, Any], **_answer: object) -> None:
    expected = response_dict["headers"].get(_HEADER)
    if expected is None:
        return
    actual = str(crc32(response_dict["body"]))
    if actual != expected:
        raise ChecksumError(checksum_type="crc32", expected_checksum=expected, actual_checksum=actual)
