"""The one place of the command that knows the AWS SDK: settings in; a limiter on a table, or services, out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from ..errors import InvalidRequest, StoreUnavailable
from ..limiter import Limiter
from .services import Client, Services

if TYPE_CHECKING:
    import boto3
    from botocore.config import Config

    from .session import Settings

TIMEOUT_MS: Final = 10_000
"""A person waits longer than a service may."""
_INVOCATION_TIMEOUT_S: Final = 910
"""No function runs for longer than 900 s."""


@contextmanager
def connect(settings: Settings) -> Iterator[Limiter]:
    """Reach a table as boto3 is told to by its environment and profile. Nothing is sent before the first call."""
    if settings.table is None:
        raise InvalidRequest("--table", "is required: which table? LEASEGATE_TABLE may say it too")
    # Imported here: help, and mistakes in what was typed, are told without waiting for the SDK.
    from ..repository.dynamodb import DynamoRepository, dynamodb_client

    with _configured():
        client = dynamodb_client(session=_session(settings), endpoint_url=settings.endpoint_url)
    with DynamoRepository(client, settings.table) as repository:
        yield Limiter(repository, timeout_ms=TIMEOUT_MS, actor=settings.actor)


@contextmanager
def connect_services(settings: Settings) -> Iterator[Services]:
    """Reach services in the same way. Raises :class:`StoreUnavailable` where one refuses or does not answer."""
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    # What is asked of them may be asked twice, counting too.
    config = Config(
        read_timeout=_INVOCATION_TIMEOUT_S,
        tcp_keepalive=True,
        retries={"total_max_attempts": 4, "mode": "standard"},
        # A letter may hold anything: what is no place in the stream is for the stream to refuse.
        parameter_validation=False,
    )
    try:
        yield Services(lambda name: _client(settings, name, config))
    except (BotoCoreError, ClientError) as error:
        raise StoreUnavailable(str(error)) from error


def _client(settings: Settings, name: str, config: Config) -> Client:
    with _configured():
        service: Any = name  # boto3's types name all services
        return cast(
            "Client", _session(settings).client(service, endpoint_url=settings.endpoint_url, config=config)
        )


def _session(settings: Settings) -> boto3.Session:
    import boto3

    return boto3.Session(profile_name=settings.profile, region_name=settings.region)


@contextmanager
def _configured() -> Iterator[None]:
    """Say of the environment and the profile what is wrong with them."""
    from botocore.exceptions import BotoCoreError

    try:
        yield
    except (BotoCoreError, ValueError) as error:
        raise InvalidRequest("connection", str(error)) from error
