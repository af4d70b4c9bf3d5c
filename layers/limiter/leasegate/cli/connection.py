"""The one place of the command that knows the AWS SDK: settings in, a limiter on a table out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ..errors import InvalidRequest
from ..limiter import Limiter

if TYPE_CHECKING:
    from .session import Settings

TIMEOUT_MS: Final = 10_000
"""A person waits longer than a service may."""


@contextmanager
def connect(settings: Settings) -> Iterator[Limiter]:
    """Reach a table as boto3 is told to by its environment and profile. Nothing is sent before the first call."""
    if settings.table is None:
        raise InvalidRequest("--table", "is required: which table? LEASEGATE_TABLE may say it too")
    # Imported here: help, and mistakes in what was typed, are told without waiting for the SDK.
    import boto3
    from botocore.exceptions import BotoCoreError

    from ..repository.dynamodb import DynamoRepository, client_config

    try:
        session = boto3.Session(profile_name=settings.profile, region_name=settings.region)
        client = session.client("dynamodb", endpoint_url=settings.endpoint_url, config=client_config())
    except (BotoCoreError, ValueError) as error:
        raise InvalidRequest("connection", str(error)) from error
    with DynamoRepository(client, settings.table) as repository:
        yield Limiter(repository, timeout_ms=TIMEOUT_MS, actor=settings.actor)
