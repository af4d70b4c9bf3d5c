"""Administration over HTTP: who may spend what. For each route one call of the library."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache, partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.logging.correlation_paths import API_GATEWAY_REST

from leasegate import Knowledge, Limit, Limiter, LimitsNotFound, Listing
from leasegate.http import administration as asked
from leasegate.http.administration import read_page
from leasegate.http.documents import (
    show_bucket,
    show_change,
    show_deletion,
    show_entity,
    show_entity_limits,
    show_limits,
    show_names,
    show_page,
    show_replenishment,
    show_resolution,
    show_resource,
    show_switch,
    show_usage,
)
from leasegate.http.replies import Reply, reply_with, reply_without_content
from leasegate.http.requests import Request, read_nothing
from leasegate.http.routes import ADMINISTRATION, SPENDING
from leasegate.http.routing import RouteTable
from leasegate.http.verdicts import reply_to_availability
from leasegate.repository.dynamodb import DynamoRepository
from leasegate.session import DEFAULT_TIMEOUT_MS
from leasegate_lambda.annotations import Annotations
from leasegate_lambda.logs import open_log
from leasegate_lambda.serving import Service, header_style
from leasegate_lambda.table import connect, new_knowledge, open_table
from leasegate_lambda.tracing import open_tracer

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_dynamodb import DynamoDBClient

logger = open_log()
tracer = open_tracer()
metrics = Metrics()
style = header_style()


@cache
def client() -> DynamoDBClient:
    """Build the DynamoDB client, as early as can be."""
    return connect(tracer)


@cache
def table() -> tuple[DynamoRepository, Knowledge]:
    """Open the table, with the first request."""
    return open_table(client(), tracer), new_knowledge()


def administer(request: Request) -> Reply:
    """Do what the route says, in the name of whoever asks and for as long as they wait."""
    repository, knowledge = table()
    timeout_ms = request.timeout_ms(DEFAULT_TIMEOUT_MS)
    # A limiter is an administrator; that it could spend too, its role does not allow.
    limiter = Limiter(repository, knowledge=knowledge, actor=request.actor, timeout_ms=timeout_ms)
    return OPERATIONS[request.route.operation](limiter, request)


# --- operations of more than one line ----------------------------------------------------------------


def put_entity(admin: Limiter, ask: Request) -> Reply:
    is_new = admin.put_entity(ask.entity_id, **asked.read_entity(ask))
    entity = show_entity(admin.get_entity(ask.entity_id))
    return reply_with(entity, HTTPStatus.CREATED if is_new else HTTPStatus.OK)


def update_entity(admin: Limiter, ask: Request) -> Reply:
    admin.update_entity(ask.entity_id, **asked.read_entity_changes(ask))
    return reply_with(show_entity(admin.get_entity(ask.entity_id)))


def delete_entity(admin: Limiter, ask: Request) -> Reply:
    # Whatever else it may be, the library refuses it.
    children = cast("Literal['refuse', 'reparent']", ask.parameter("children", "refuse"))
    deletion = admin.delete_entity(ask.entity_id, children=children, time_left_ms=ask.left_ms)
    if deletion.is_complete:
        return reply_without_content()
    return reply_with(show_deletion(deletion), HTTPStatus.ACCEPTED)


def finish_changes(admin: Limiter, ask: Request) -> Reply:
    read_nothing(ask)
    admin.finish_changes(ask.entity_id)
    return reply_without_content()


def set_limits(ask: Request, store: Callable[[tuple[Limit, ...]], None]) -> Reply:
    limits = asked.read_limits_of(ask)
    store(limits)
    return reply_with(show_limits(limits))


def get_limits(ask: Request, limits: tuple[Limit, ...]) -> Reply:
    if not limits:
        raise LimitsNotFound(ask.level)
    return reply_with(show_limits(limits))


def delete_limits(ask: Request, were_any: bool) -> Reply:
    if not were_any:
        raise LimitsNotFound(ask.level)
    return reply_without_content()


def listed[T](listing: Listing[T], show: Callable[[T], object] = lambda item: item) -> Reply:
    return reply_with(show_page(listing, show))


def switch_entity(ask: Request, switch: Callable[[str, str | None], bool], *, disabled: bool) -> Reply:
    return reply_with(show_switch(switch(ask.entity_id, asked.read_switch(ask)), disabled=disabled))


def switch_resource(ask: Request, switch: Callable[[str], bool], *, disabled: bool) -> Reply:
    read_nothing(ask)
    return reply_with(show_switch(switch(ask.resource), disabled=disabled))


# --- all operations, by the names that the routes give them -------------------------------------------

type Operation = Callable[[Limiter, Request], Reply]

OPERATIONS: Final[Mapping[str, Operation]] = {
    "list_entities": lambda admin, ask: listed(admin.list_entities(**read_page(ask))),
    "get_entity": lambda admin, ask: reply_with(show_entity(admin.get_entity(ask.entity_id))),
    "put_entity": put_entity,
    "update_entity": update_entity,
    "delete_entity": delete_entity,
    "list_children": lambda admin, ask: listed(admin.list_children(ask.entity_id, **read_page(ask))),
    "finish_changes": finish_changes,
    "disable_entity": lambda admin, ask: switch_entity(ask, admin.disable_entity, disabled=True),
    "enable_entity": lambda admin, ask: switch_entity(ask, admin.enable_entity, disabled=False),
    "list_buckets": lambda admin, ask: listed(admin.list_buckets(ask.entity_id, **read_page(ask)), show_bucket),
    "reset": lambda admin, ask: reply_with(
        show_replenishment(admin.reset(ask.entity_id, **asked.read_reset(ask)))
    ),
    "top_up": lambda admin, ask: reply_with(
        show_replenishment(admin.top_up(ask.entity_id, **asked.read_top_up(ask)))
    ),
    "list_limits": lambda admin, ask: listed(
        admin.list_limits(ask.entity_id, **read_page(ask)), show_entity_limits
    ),
    "resolve_limits": lambda admin, ask: reply_with(
        show_resolution(admin.resolve_limits(ask.entity_id, asked.read_required(ask, "resource")))
    ),
    "available": lambda admin, ask: reply_to_availability(
        admin.available(ask.entity_id, asked.read_required(ask, "resource"), parent_id=ask.parameter("parent_id")),
        style,
    ),
    "list_usage": lambda admin, ask: listed(
        admin.usage(
            ask.entity_id,
            asked.read_required(ask, "resource"),
            **asked.read_usage_query(ask),
            **read_page(ask),
        ),
        show_usage,
    ),
    "get_entity_limits": lambda admin, ask: get_limits(ask, admin.get_limits(ask.entity_id)),
    "set_entity_limits": lambda admin, ask: set_limits(ask, partial(admin.set_limits, ask.entity_id)),
    "delete_entity_limits": lambda admin, ask: delete_limits(ask, admin.delete_limits(ask.entity_id)),
    "get_entity_resource_limits": lambda admin, ask: get_limits(
        ask, admin.get_limits(ask.entity_id, ask.resource)
    ),
    "set_entity_resource_limits": lambda admin, ask: set_limits(
        ask, partial(admin.set_limits, ask.entity_id, resource=ask.resource)
    ),
    "delete_entity_resource_limits": lambda admin, ask: delete_limits(
        ask, admin.delete_limits(ask.entity_id, ask.resource)
    ),
    "list_resources": lambda admin, ask: reply_with(
        show_names(admin.list_resources_with_defaults(consistent=asked.read_flag(ask, "consistent", default=True)))
    ),
    "get_resource": lambda admin, ask: reply_with(show_resource(admin.get_resource(ask.resource))),
    "rank_usage": lambda admin, ask: listed(
        admin.resource_usage(ask.resource, **asked.read_ranking_query(ask), **read_page(ask)), show_usage
    ),
    "get_resource_limits": lambda admin, ask: get_limits(ask, admin.get_resource_defaults(ask.resource)),
    "set_resource_limits": lambda admin, ask: set_limits(ask, partial(admin.set_resource_defaults, ask.resource)),
    "delete_resource_limits": lambda admin, ask: delete_limits(ask, admin.delete_resource_defaults(ask.resource)),
    "disable_resource": lambda admin, ask: switch_resource(ask, admin.disable_resource, disabled=True),
    "enable_resource": lambda admin, ask: switch_resource(ask, admin.enable_resource, disabled=False),
    "get_system_limits": lambda admin, ask: get_limits(ask, admin.get_system_defaults()),
    "set_system_limits": lambda admin, ask: set_limits(ask, admin.set_system_defaults),
    "delete_system_limits": lambda admin, ask: delete_limits(ask, admin.delete_system_defaults()),
    "list_audit": lambda admin, ask: listed(
        admin.list_audit(asked.read_required(ask, "scope"), **read_page(ask)), show_change
    ),
}

routes = RouteTable(ADMINISTRATION, elsewhere=SPENDING)
serve = Service(
    administer, routes, style=style, logger=logger, metrics=metrics, notes=Annotations(tracer), prefix="Admin"
)


@logger.inject_lambda_context(correlation_id_path=API_GATEWAY_REST)
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of the REST API."""
    return serve(event, context)


if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
    client()  # Lambda's init phase has the whole processor, and a snapshot keeps what is built in it.
