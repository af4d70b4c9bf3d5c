"""The boto3 client that suits a repository: its settings, and the direct path below it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, cast

import botocore.session
from botocore.config import Config

from .direct import DirectCalls

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_dynamodb import DynamoDBClient

WORKERS: Final = 32
SWITCH: Final = "LEASEGATE_DIRECT"
"""The environment variable that turns the direct path ``off``."""

_CREATING: Final = "creating-client-class.dynamodb"


def client_config(
    *, connect_timeout_s: float = 0.5, read_timeout_s: float = 0.7, workers: int = WORKERS
) -> Config:
    """Return the settings of the client that suits a :class:`DynamoRepository`.

    The SDK's own retries are off: the repository's know the caller's time and say what may have been applied. The
    timeouts are for one attempt whose caller has more time than that. DynamoDB answers in some 5 ms and nearly
    always in 50, so they are long enough; and short enough that an attempt which hangs since before the table came
    back is given up, and repeated, within a second of its return. Connections suffice for ``workers`` threads of
    the repository and as many callers. A fixed user agent and no validation of parameters, which the repository
    builds itself, save a fifth of the client's CPU time for a call that takes the SDK's own path.
    """
    return Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=connect_timeout_s,
        read_timeout=read_timeout_s,
        tcp_keepalive=True,
        max_pool_connections=2 * workers,
        user_agent="leasegate",
        parameter_validation=False,
    )


def dynamodb_client(
    *,
    session: boto3.Session | botocore.session.Session | None = None,
    direct: bool | None = None,
    config: Config | None = None,
    **options: Any,  # noqa: ANN401 - boto3's
) -> DynamoDBClient:
    """Make a DynamoDB client for a :class:`DynamoRepository`.

    ::

        limiter = Limiter(DynamoRepository(dynamodb_client(region_name="eu-central-1"), "leasegate"))

    It is a boto3 client in all respects. What the repository asks of it goes the direct path
    (:mod:`leasegate.repository.direct`), at a tenth of the processor time.

    Args:
        session: where credentials and region come from; without one, a new session of botocore's.
        direct: whether there is a direct path. By default there is, unless the environment variable
            ``LEASEGATE_DIRECT`` is ``off``.
        config: other settings; they outweigh those of :func:`client_config`.
        options: whatever else ``boto3.Session.client`` takes (``endpoint_url``, ``region_name``, ...).
    """
    settings = client_config() if config is None else client_config().merge(config)
    if direct is None:
        direct = os.environ.get(SWITCH) != "off"
    speaker: Any = botocore.session.Session() if session is None else session
    if isinstance(speaker, botocore.session.Session):
        events, create = speaker.get_component("event_emitter"), speaker.create_client
    else:
        events, create = speaker.events, speaker.client
    if direct:
        events.register(_CREATING, _go_directly)
    try:
        return cast("DynamoDBClient", create("dynamodb", config=settings, **options))
    finally:
        if direct:
            events.unregister(_CREATING, _go_directly)


def _go_directly(base_classes: list[type], **_class: object) -> None:
    base_classes.insert(0, DirectCalls)
