"""POST /acquire: say whether an entity may spend tokens now, and spend them."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.logging.correlation_paths import API_GATEWAY_REST

from leasegate import Limiter
from leasegate.administration.session import DEFAULT_TIMEOUT_MS
from leasegate.http.replies import Reply, reply_to_grant
from leasegate.http.requests import Request, parse_acquire
from leasegate.http.routes import ACQUIRE, RouteTable
from leasegate_lambda.serving import Service
from leasegate_lambda.table import connect, new_knowledge, open_table

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_dynamodb import DynamoDBClient

    from leasegate.limiter import OnUnavailable

logger = Logger()
tracer = Tracer(patch_modules=["botocore"])
metrics = Metrics()


@cache
def client() -> DynamoDBClient:
    """Build the DynamoDB client, as early as can be."""
    return connect(tracer)


@cache
def limiter() -> Limiter:
    """Build the limiter, with the first request: instances of one snapshot must not all draw the same slots."""
    on_unavailable = cast("OnUnavailable", os.environ.get("ON_UNAVAILABLE") or "raise")
    return Limiter(open_table(client(), tracer), knowledge=new_knowledge(), on_unavailable=on_unavailable)


def acquire(request: Request) -> Reply:
    """Spend, or raise what refuses."""
    asked = parse_acquire(request.body, is_base64=request.is_base64)
    lease = limiter().acquire(
        asked.entity_id,
        asked.resource,
        asked.consume,
        limits=asked.limits,
        parent_id=asked.parent_id,
        cascade=asked.cascade,
        timeout_ms=request.timeout_ms(DEFAULT_TIMEOUT_MS),
    )
    return reply_to_grant(lease.availability, degraded=lease.degraded)


serve = Service(acquire, RouteTable([ACQUIRE]), logger=logger, metrics=metrics)


@logger.inject_lambda_context(correlation_id_path=API_GATEWAY_REST)
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of the REST API."""
    return serve(event, context)


if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
    client()  # Lambda's init phase has the whole processor, and a snapshot keeps what is built in it.
