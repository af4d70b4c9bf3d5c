"""What each failure of DynamoDB, or on the way to it, means."""

from typing import Any

import pytest
from botocore import exceptions as boto
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from leasegate.errors import StoreDenied, StoreError, StoreThrottled, StoreUnavailable
from leasegate.repository.failures import Failure, Unanswered, classify

URL = "https://dynamodb.example"

THROTTLED = Failure(StoreThrottled, is_transient=True)
CONFLICT = Failure(StoreThrottled, is_transient=True, retry_cost=0)
UNREACHABLE = Failure(StoreUnavailable, is_transient=True)
CONNECTION_TIMED_OUT = Failure(StoreUnavailable, is_transient=True, retry_cost=10)
TIMED_OUT = Failure(StoreUnavailable, is_transient=True, maybe_applied=True, retry_cost=10)
CUT_SHORT = Failure(StoreUnavailable, is_transient=True, maybe_applied=True)
DENIED = Failure(StoreDenied)
REJECTED = Failure(StoreError)


def answered(code: str, status: int = 400, **more: Any) -> ClientError:  # noqa: ANN401 - as an answer's
    response: Any = {
        "Error": {"Code": code, "Message": "no test may depend on this"},
        "ResponseMetadata": {"HTTPStatusCode": status, "RetryAttempts": 0},
    }
    return ClientError(response | more, "UpdateItem")


def cancelled(*codes: str) -> ClientError:
    return answered("TransactionCanceledException", CancellationReasons=[{"Code": code} for code in codes])


@pytest.mark.parametrize(
    "code",
    [
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "RequestLimitExceeded",
    ],
)
def test_throttling_passes_and_nothing_was_applied(code: str) -> None:
    assert classify(answered(code)) == THROTTLED


@pytest.mark.parametrize("code", ["TransactionConflictException", "ReplicatedWriteConflictException"])
def test_a_conflict_passes_and_its_repetition_costs_nothing(code: str) -> None:
    assert classify(answered(code)) == CONFLICT


@pytest.mark.parametrize(
    "error",
    [
        answered("InternalServerError", 500),
        answered("ServiceUnavailable", 503),
        answered("SomethingNobodyHeardOf", 502),
        boto.ConnectionClosedError(endpoint_url=URL),
        boto.HTTPClientError(error=OSError()),
        boto.SSLError(endpoint_url=URL, error=OSError()),
        boto.ChecksumError(checksum_type="crc32", expected_checksum="1", actual_checksum="2"),
        ResponseParserError("garbled"),
    ],
)
def test_a_lost_answer_may_stand_for_an_applied_write(error: Exception) -> None:
    assert classify(error) == CUT_SHORT


@pytest.mark.parametrize(
    "error",
    [
        boto.EndpointConnectionError(endpoint_url=URL),
        boto.ProxyConnectionError(proxy_url=URL),
    ],
)
def test_what_was_never_sent_was_not_applied(error: Exception) -> None:
    assert classify(error) == UNREACHABLE


def test_what_cost_its_thread_time_costs_more_to_repeat() -> None:
    assert classify(boto.ReadTimeoutError(endpoint_url=URL)) == TIMED_OUT
    assert classify(boto.ConnectTimeoutError(endpoint_url=URL)) == CONNECTION_TIMED_OUT


@pytest.mark.parametrize(
    "error",
    [
        answered("AccessDeniedException"),
        answered("UnrecognizedClientException"),
        answered("InvalidSignatureException"),
        answered("ExpiredTokenException"),
        answered("MissingAuthenticationToken", 403),
        answered("SomethingNobodyHeardOf", 403),
        boto.NoCredentialsError(),
        boto.PartialCredentialsError(provider="env", cred_var="key"),
        boto.CredentialRetrievalError(provider="container", error_msg=""),
        boto.UnauthorizedSSOTokenError(),
    ],
)
def test_missing_rights_are_denied_and_waiting_does_not_help(error: Exception) -> None:
    assert classify(error) == DENIED


@pytest.mark.parametrize(
    "error",
    [
        answered("ValidationException"),
        answered("ResourceNotFoundException"),
        answered("IdempotentParameterMismatchException"),
        answered("ItemCollectionSizeLimitExceededException"),
        boto.UnknownEndpointError(service_name="dynamodb", region_name="nowhere"),
    ],
)
def test_anything_else_is_for_somebody_to_mend(error: Exception) -> None:
    assert classify(error) == REJECTED


def test_a_transaction_still_in_progress_may_yet_be_applied() -> None:
    failure = classify(answered("TransactionInProgressException"))
    assert failure == Failure(StoreThrottled, is_transient=True, maybe_applied=True, retry_cost=0)


@pytest.mark.parametrize(
    ("codes", "failure"),
    [
        (("None", "TransactionConflict"), CONFLICT),
        (("ConditionalCheckFailed", "TransactionConflict"), CONFLICT),
        (("TransactionConflict", "ThrottlingError"), THROTTLED),
        (("ThrottlingError", "None"), THROTTLED),
        (("ProvisionedThroughputExceeded",), THROTTLED),
        (("ValidationError", "TransactionConflict"), REJECTED),
        (("TransactionConflict", "ItemCollectionSizeLimitExceeded"), REJECTED),
        (("ConditionalCheckFailed", "ValidationError"), REJECTED),
        (("None", "AccessDenied"), DENIED),
        ((), REJECTED),
    ],
)
def test_a_cancelled_transaction_fails_by_its_reasons(codes: tuple[str, ...], failure: Failure) -> None:
    assert classify(cancelled(*codes)) == failure


def test_what_the_client_repeated_by_itself_may_have_been_applied() -> None:
    error = answered(
        "ThrottlingException", ResponseMetadata={"HTTPStatusCode": 400, "RetryAttempts": 2, "RequestId": ""}
    )
    assert classify(error) == Failure(StoreThrottled, is_transient=True, maybe_applied=True)


def test_unprocessed_keys_are_a_kind_of_throttling() -> None:
    assert classify(Unanswered()) == THROTTLED


def test_an_answer_that_cannot_be_read_may_stand_for_an_applied_write() -> None:
    assert classify(StoreError("unreadable")) == Failure(StoreError, maybe_applied=True)


@pytest.mark.parametrize(
    "error", [boto.ParamValidationError(report=""), boto.MissingParametersError(object_name="", missing="")]
)
def test_a_mistake_of_the_program_is_no_answer_of_the_store(error: Exception) -> None:
    assert classify(error) is None
