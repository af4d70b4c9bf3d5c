"""Leasegate: exact rate limiting on one DynamoDB table, one round trip for each decision.

    limiter = Limiter(DynamoRepository(dynamodb_client(), "table"))
    with limiter.acquire("key-1", "gpt-4", {"rpm": 1, "tpm": 500}) as lease:
        lease.adjust({"tpm": 312})

``leasegate.repository.dynamodb`` and ``leasegate.repository.memory`` hold the repositories; importing this
package imports neither them nor boto3. What administers is imported when it is first asked for: who only spends
starts without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

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
from .limits import Limit
from .requesting import AcquireRequest
from .results import Adjusted, LeaseEnd, Renewal
from .spender import Spender
from .states import Availability, LimitState, Refusal

if TYPE_CHECKING:
    from .administration import Administrator
    from .limiter import Limiter
    from .records import (
        AuditRecord,
        BackfillReport,
        BucketRecord,
        Deletion,
        EntityLimits,
        EntityRecord,
        LimitUsage,
        Listing,
        Resolution,
        ResourceRecord,
        UsageRecord,
    )

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
    "Spender",
    "StoreDenied",
    "StoreError",
    "StoreThrottled",
    "StoreUnavailable",
    "UsageRecord",
]

_LATER: Final = ("limiter", "administration", "records")
"""The modules of public names that are not imported with the package."""

if not TYPE_CHECKING:  # a checker would take any name for one that this function knows

    def __getattr__(name: str) -> object:
        """Import a public name with its first use."""
        if name in __all__:
            for module in map(import_module, [f"{__name__}.{later}" for later in _LATER]):
                if hasattr(module, name):
                    return getattr(module, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
