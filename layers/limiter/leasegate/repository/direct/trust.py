"""Whether a client is built as the direct path must take for granted, and whether nobody looks into its requests.

None of this is botocore's promise, so it is checked, for each client, before the first call; whatever is not as it
was when this was written, closes the direct path, and botocore does everything itself.
"""

from __future__ import annotations

import select
from inspect import signature
from typing import TYPE_CHECKING, Any, Final

from botocore.client import BaseClient

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "_make_api_call": ("self", "operation_name", "api_params"),
    "_emit_api_params": ("self", "api_params", "operation_model", "context"),
    "_resolve_endpoint_ruleset": ("self", "operation_model", "params", "request_context"),
    "_convert_to_request_dict": ("self", "api_params", "operation_model", "endpoint_url", "context", "headers"),
    "_make_request": ("self", "operation_model", "request_dict", "request_context"),
}
"""Methods of botocore's client that the direct path calls or replaces, and their first parameters."""

ATTRIBUTES: Final = (
    "_request_signer._credentials",
    "_request_signer.region_name",
    "_request_signer.signing_name",
    "_endpoint.prepare_request",
    "_endpoint.http_session._manager.connection_from_url",
    "_endpoint.http_session._proxy_config.proxy_url_for",
    "_endpoint.http_session._setup_ssl_cert",
    "_endpoint.http_session._verify",
    "meta.config.read_timeout",
    "meta.config.max_pool_connections",
    "meta.events._emitter._lookup_cache",
    "meta.events._emitter._handlers.prefix_search",
)
"""What a client must have, where the direct path finds it."""

_ON_THE_WAY: Final = (
    "provide-client-params",
    "before-parameter-build",
    "request-created",
    "choose-signer",
    "before-sign",
    "before-send",
    "before-parse",
    "response-received",
    "needs-retry",
)
"""The events that botocore emits on its standard path, and the direct path does not."""

_NOT_NEEDED: Final = frozenset(
    {
        # They fill in what Leasegate's requests always have, or what no operation of Leasegate's has.
        "botocore.handlers.generate_idempotent_uuid",
        "botocore.handlers._handle_request_validation_mode_member",
        "botocore.discovery.block_endpoint_discovery_required_operations",
        # The direct path signs by itself, as these have it.
        "botocore.signers.RequestSigner.handler",
        "botocore.handlers.set_operation_specific_signer",
        "botocore.handlers._set_auth_scheme_preference_signer",
        # The user agent is kept from the first request of an operation.
        "botocore.useragent.UserAgentString.rebuild_and_replace_user_agent_handler",
        # Powertools adds its name to the user agent, for its makers' statistics; direct requests do without.
        "aws_lambda_powertools.shared.user_agent._create_feature_function.<locals>.add_powertools_feature",
        # They count attempts, and are told of the first one if a second might follow.
        "botocore.handlers.add_retry_headers",
        "botocore.retries.standard.MaxAttemptsSeeder.seed_max_attempts",
        "botocore.retries.standard.RetryHandler.needs_retry",
        "botocore.retryhandler.RetryHandler",
    }
)
"""Listeners that miss nothing that matters when the direct path succeeds."""
_OURS: Final = "leasegate."


def missing(client: Any) -> str | None:  # noqa: ANN401 - any client
    """Return the first thing that the direct path needs of a client and does not find; None if it finds all."""
    if not hasattr(select, "poll"):
        return "select.poll"
    for name, parameters in METHODS.items():
        method = getattr(BaseClient, name, None)
        if method is None or tuple(signature(method).parameters)[: len(parameters)] != parameters:
            return name
    for path in ATTRIBUTES:
        value = client
        for name in path.split("."):
            try:
                value = getattr(value, name)
            except AttributeError:
                return path
    return None


def stranger(client: Any, operation: str) -> str | None:  # noqa: ANN401 - a client that has what is needed
    """Return the first listener that expects to be asked on the standard path; None if there is none."""
    find: Callable[[str], list[object]] = client.meta.events._emitter._handlers.prefix_search  # noqa: SLF001 - there is no other way to see them
    for event in _ON_THE_WAY:
        for handler in find(f"{event}.dynamodb.{operation}"):
            name = _name(handler)
            if name not in _NOT_NEEDED and not name.startswith(_OURS):
                return f"{name} at {event}"
    return None


def _name(handler: object) -> str:
    named = handler if hasattr(handler, "__qualname__") else type(handler)
    return f"{named.__module__}.{named.__qualname__}"
