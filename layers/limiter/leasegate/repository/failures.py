"""What a failed call to DynamoDB means: may it be repeated, may it have been applied, whose turn is it to act.

Decided by error code, HTTP status or exception class, never by a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import botocore.exceptions
from botocore.exceptions import (
    BotoCoreError,
    ChecksumError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
    MissingParametersError,
    NoAuthTokenError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProxyConnectionError,
    ReadTimeoutError,
    RefreshWithMFAUnsupportedError,
    SSOError,
    TokenRetrievalError,
    ValidationError,
)
from botocore.exceptions import ConnectionError as AnyConnectionError
from botocore.parsers import ResponseParserError

from ..errors import StoreDenied, StoreError, StoreThrottled, StoreUnavailable
from .quota import RETRY_COST, TIMEOUT_COST

CANCELLED: Final = "TransactionCanceledException"
CONDITION_FAILED: Final = "ConditionalCheckFailed"
"""A cancellation reason."""
CONDITION_FAILED_ALONE: Final = f"{CONDITION_FAILED}Exception"
"""The code of a lone write's error."""


class Unanswered(Exception):
    """A batch came back without some of its keys."""


STORE_FAILURES: Final = (ClientError, BotoCoreError, ResponseParserError, StoreError, Unanswered)
"""Everything that a call to DynamoDB may raise; the rest is none of the store's."""

_THROTTLES: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ProvisionedThroughputExceeded",
        "ThrottlingException",
        "ThrottlingError",
        "Throttling",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestLimitExceeded",
        "TooManyRequestsException",
    }
)
_CONFLICTS: Final = frozenset(
    {
        "TransactionConflictException",
        "TransactionConflict",
        "TransactionInProgressException",
        "ReplicatedWriteConflictException",
    }
)
_CONFLICTS_WITH_ITSELF: Final = frozenset({"TransactionInProgressException"})
"""An earlier attempt under the same token is still at work."""

_OUTAGES: Final = frozenset(
    {
        "InternalServerError",
        "InternalServerErrorException",
        "InternalFailure",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "RequestTimeout",
        "RequestTimeoutException",
        "PriorRequestNotComplete",
    }
)
_DENIALS: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "NotAuthorized",
        "OptInRequired",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)

_NEVER_SENT: Final = (EndpointConnectionError, ProxyConnectionError)
_CUT_OFF: Final = (AnyConnectionError, HTTPClientError, IncompleteReadError, ChecksumError, ResponseParserError)
_NO_CREDENTIALS: Final = (
    CredentialRetrievalError,
    MetadataRetrievalError,
    NoAuthTokenError,
    NoCredentialsError,
    PartialCredentialsError,
    RefreshWithMFAUnsupportedError,
    SSOError,
    TokenRetrievalError,
    getattr(botocore.exceptions, "LoginError", NoCredentialsError),  # an older botocore has none
)
_MISTAKES: Final = (MissingParametersError, ParamValidationError, ValidationError)


@dataclass(frozen=True, slots=True)
class Failure:
    """What one failed attempt means.

    ``error`` is the class to report if no attempt is left; ``is_transient`` says that a repetition may help;
    ``maybe_applied`` that a write may have happened nevertheless. ``retry_cost`` is what a repetition takes of the
    quota: nothing after a conflict, for it is the answer of a table that is well, when two want one item at once.
    """

    error: type[StoreError]
    is_transient: bool = False
    maybe_applied: bool = False
    retry_cost: int = RETRY_COST


_THROTTLED: Final = Failure(StoreThrottled, is_transient=True)
_CONFLICT: Final = Failure(StoreThrottled, is_transient=True, retry_cost=0)
_CONFLICT_MAYBE_APPLIED: Final = Failure(StoreThrottled, is_transient=True, maybe_applied=True, retry_cost=0)
_UNREACHABLE: Final = Failure(StoreUnavailable, is_transient=True)
_CONNECTION_TIMED_OUT: Final = Failure(StoreUnavailable, is_transient=True, retry_cost=TIMEOUT_COST)
_CUT_SHORT: Final = Failure(StoreUnavailable, is_transient=True, maybe_applied=True)
_TIMED_OUT: Final = Failure(StoreUnavailable, is_transient=True, maybe_applied=True, retry_cost=TIMEOUT_COST)
_DENIED: Final = Failure(StoreDenied)
_REJECTED: Final = Failure(StoreError)
_UNREADABLE: Final = Failure(StoreError, maybe_applied=True)


def classify(error: Exception) -> Failure | None:
    """Say what a failed call means; None for a mistake of the program, which is no answer of the store."""
    match error:
        case ClientError():
            failure = _classify_answer(error)
            if error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0) > 0:
                # The client repeated it by itself; what became of the attempts before, it does not say.
                return replace(failure, maybe_applied=True)
            return failure
        case Unanswered():
            return _THROTTLED
        case StoreError():
            return _UNREADABLE  # the answer came, but could not be read
    if isinstance(error, _MISTAKES):
        return None
    if isinstance(error, ConnectTimeoutError):
        return _CONNECTION_TIMED_OUT
    if isinstance(error, ReadTimeoutError):
        return _TIMED_OUT
    if isinstance(error, _NEVER_SENT):
        return _UNREACHABLE
    if isinstance(error, _CUT_OFF):
        return _CUT_SHORT
    return _DENIED if isinstance(error, _NO_CREDENTIALS) else _REJECTED


def is_refusal(answer: Mapping[str, Any]) -> bool:
    """Say whether an answer of DynamoDB, which names an error, only says that conditions did not hold."""
    code = answer["Error"].get("Code")
    if code == CANCELLED:
        codes = set(cancellation_codes(answer))
        return CONDITION_FAILED in codes and codes <= {CONDITION_FAILED, "None"}
    return bool(code == CONDITION_FAILED_ALONE)


def is_throttle(answer: Mapping[str, Any]) -> bool:
    """Say whether an answer of DynamoDB, which names an error, asks to come back later."""
    return _classify_answer(ClientError(answer, "")).error is StoreThrottled  # type: ignore[arg-type]  # boto3's TypedDict


def _classify_answer(error: ClientError) -> Failure:
    code = error_code(error)
    if code == CANCELLED:
        return _classify_cancellation(cancellation_codes(error.response))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    return _classify_code(code, status)


def _classify_code(code: str, status: int) -> Failure:
    if code in _CONFLICTS_WITH_ITSELF:
        return _CONFLICT_MAYBE_APPLIED
    if code in _CONFLICTS:
        return _CONFLICT
    if code in _THROTTLES or status == 429:
        return _THROTTLED
    if code in _OUTAGES or status >= 500:
        return _CUT_SHORT
    return _DENIED if code in _DENIALS or status in (401, 403) else _REJECTED


def _classify_cancellation(codes: tuple[str, ...]) -> Failure:
    """Say what a cancelled transaction means, beyond its failed conditions.

    A reason that waiting cannot mend outweighs the others. A failed condition beside a conflict decides nothing:
    the item in conflict was not looked at, so the transaction is repeated until every condition was answered.
    """
    others = [code for code in codes if code not in ("None", CONDITION_FAILED)]
    failures = [_classify_code(code, 400) for code in others]
    for failure in failures:
        if not failure.is_transient:
            return failure
    return max(failures, key=lambda failure: failure.retry_cost, default=_REJECTED)


def error_code(error: ClientError) -> str:
    """Return the code that DynamoDB gave for its refusal."""
    answer: Mapping[str, Any] = error.response
    return answer["Error"].get("Code", "") if "Error" in answer else ""


def cancellation_codes(answer: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the reasons of a cancelled transaction by code, one for each action."""
    return tuple(reason.get("Code", "None") for reason in answer.get("CancellationReasons", ()))
