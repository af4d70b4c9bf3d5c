"""Leasegate: exact rate limiting on one DynamoDB table, one round trip for each decision.

    limiter = Limiter(DynamoRepository(boto3.client("dynamodb"), "table"))
    with limiter.acquire("key-1", "gpt-4", {"rpm": 1, "tpm": 500}) as lease:
        lease.adjust({"tpm": 312})

``leasegate.repository.dynamodb`` and ``leasegate.repository.memory`` hold the repositories; importing this
package imports neither them nor boto3.
"""

from __future__ import annotations

from .administration import Administrator
from .durable import DurableLease
from .errors import (
    Conflict,
    Disabled,
    EntityExists,
    EntityHasChildren,
    EntityIsBeingDeleted,
    EntityNotFound,
    IdempotencyConflict,
    InvalidRequest,
    LeaseExpired,
    LeasegateError,
    LeaseNotFound,
    LimitsNotFound,
    NoLimitsConfigured,
    NotFound,
    RateLimitExceeded,
    StoreDenied,
    StoreError,
    StoreThrottled,
    StoreUnavailable,
)
from .knowledge import Knowledge
from .lease import Lease
from .limiter import Limiter
from .limits import Limit
from .records import (
    Adjusted,
    AuditRecord,
    BackfillReport,
    BucketRecord,
    Deletion,
    EntityLimits,
    EntityRecord,
    LeaseEnd,
    LimitUsage,
    Listing,
    Renewal,
    Resolution,
    ResourceRecord,
    UsageRecord,
)
from .requesting import AcquireRequest
from .states import Availability, LimitState, Refusal

__all__ = [
    "AcquireRequest",
    "Adjusted",
    "Administrator",
    "AuditRecord",
    "Availability",
    "BackfillReport",
    "BucketRecord",
    "Conflict",
    "Deletion",
    "Disabled",
    "DurableLease",
    "EntityExists",
    "EntityHasChildren",
    "EntityIsBeingDeleted",
    "EntityLimits",
    "EntityNotFound",
    "EntityRecord",
    "IdempotencyConflict",
    "InvalidRequest",
    "Knowledge",
    "Lease",
    "LeaseEnd",
    "LeaseExpired",
    "LeaseNotFound",
    "LeasegateError",
    "Limit",
    "LimitState",
    "LimitUsage",
    "Limiter",
    "LimitsNotFound",
    "Listing",
    "NoLimitsConfigured",
    "NotFound",
    "RateLimitExceeded",
    "Refusal",
    "Renewal",
    "Resolution",
    "ResourceRecord",
    "StoreDenied",
    "StoreError",
    "StoreThrottled",
    "StoreUnavailable",
    "UsageRecord",
]
