"""How the DynamoDB repository repeats, gives up and works side by side, against a client that plays a script."""

import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from botocore.hooks import HierarchicalEmitter

from leasegate.errors import StoreDenied, StoreError, StoreThrottled, StoreUnavailable
from leasegate.operations import (
    Add,
    AllOf,
    Applied,
    BatchGet,
    Below,
    Cancelled,
    Check,
    Delete,
    Discard,
    Equals,
    Failed,
    Found,
    Get,
    ItemAbsent,
    ItemExists,
    Key,
    Operation,
    Outcome,
    Page,
    Position,
    Put,
    Query,
    Refused,
    Scan,
    Set,
    Transact,
    Update,
)
from leasegate.repository.dynamodb import DynamoRepository, client_config

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

type Answer = Mapping[str, Any] | Exception
type Request = Mapping[str, Any]

KEY = Key("BUCKET#a#b", "#STATE")
WIRE_KEY = {"PK": {"S": KEY.pk}, "SK": {"S": KEY.sk}}
WRITE = Update(KEY, (Add("n", 1),), Below("n", 5))
TRANSACTION = Transact((WRITE, Check(Key("x", "y"), ItemExists())), "token")
ITEM = {**WIRE_KEY, "n": {"N": "1"}}

TIMEOUT = ReadTimeoutError(endpoint_url="https://dynamodb.example")
NEVER_CONNECTED = ConnectTimeoutError(endpoint_url="https://dynamodb.example")


def answered(code: str, status: int = 400, **more: Any) -> ClientError:  # noqa: ANN401 - as an answer's
    response: Any = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response | more, "UpdateItem")


THROTTLED = answered("ProvisionedThroughputExceededException")


class StandIn:
    """A client that answers as a test has it; whoever wants to hear of its calls can register, as with boto3."""

    meta = SimpleNamespace(events=HierarchicalEmitter())


class ScriptedClient(StandIn):
    """A client that answers from a script, whatever it is asked, and keeps what it was asked."""

    def __init__(self, *script: Answer) -> None:
        self.script = list(script)
        self.requests: list[Request] = []

    def _answer(self, **request: Any) -> Mapping[str, Any]:  # noqa: ANN401 - as boto3's
        self.requests.append(request)
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    update_item = put_item = delete_item = transact_write_items = _answer
    get_item = batch_get_item = query = scan = _answer


class World:
    """A clock that only sleeping moves, and jitter that always draws the longest pause."""

    def __init__(self) -> None:
        self.now_ns = 5_000_000_000
        self.pauses_s: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses_s.append(seconds)
        self.now_ns += round(seconds * 1e9)

    def repository(self, client: object) -> DynamoRepository:
        return DynamoRepository(
            cast("DynamoDBClient", client),
            "table",
            sleep=self.sleep,
            draw=lambda: 1.0,
            monotonic_ns=lambda: self.now_ns,
        )


def answer(client: object, operation: Operation, *, timeout_ms: int = 1000) -> Outcome:
    (outcome,) = World().repository(client).execute((operation,), timeout_ms=timeout_ms)
    return outcome


def failure(outcome: Outcome) -> StoreError:
    assert isinstance(outcome, Failed)
    return outcome.error


def unprocessed(*keys: Key, is_consistent: bool = True) -> Mapping[str, Any]:
    wire_keys = [{"PK": {"S": key.pk}, "SK": {"S": key.sk}} for key in keys]
    return {"table": {"Keys": wire_keys, "ConsistentRead": is_consistent}}


# --- repeating -------------------------------------------------------------------------------------


def test_a_throttled_write_is_repeated_with_the_very_same_request() -> None:
    client = ScriptedClient(THROTTLED, THROTTLED, {"Attributes": ITEM})
    assert answer(client, WRITE) == Applied({"n": 1})
    assert len(client.requests) == 3
    assert client.requests[0] == client.requests[1] == client.requests[2]


def test_pauses_double_up_to_their_cap_and_are_drawn_from_nothing_upward() -> None:
    world = World()
    world.repository(ScriptedClient(THROTTLED)).execute((WRITE,), timeout_ms=1600)
    assert world.pauses_s == [0.025, 0.05, 0.1, 0.2, 0.4, 0.4, 0.4]
    draws = iter([0.0, 0.5])
    repository = DynamoRepository(
        cast("DynamoDBClient", ScriptedClient(THROTTLED, THROTTLED, {"Attributes": ITEM})),
        "table",
        sleep=world.sleep,
        draw=lambda: next(draws),
        monotonic_ns=lambda: world.now_ns,
    )
    world.pauses_s.clear()
    repository.execute((WRITE,), timeout_ms=1000)
    assert world.pauses_s == [0.0, 0.025]


def test_no_attempt_begins_after_the_deadline() -> None:
    world = World()
    client = ScriptedClient(THROTTLED)
    start_ns = world.now_ns
    (outcome,) = world.repository(client).execute((WRITE,), timeout_ms=100)
    assert isinstance(failure(outcome), StoreThrottled)
    assert world.now_ns - start_ns < 100_000_000
    assert len(client.requests) == 3  # at 0, 25 and 75 ms; the next would begin at 175


def test_without_time_nothing_is_sent() -> None:
    client = ScriptedClient({"Attributes": ITEM})
    error = failure(answer(client, WRITE, timeout_ms=0))
    assert isinstance(error, StoreUnavailable)
    assert not error.maybe_applied
    assert client.requests == []


def test_a_conflict_with_a_transaction_is_waited_out() -> None:
    client = ScriptedClient(answered("TransactionConflictException"), {"Attributes": ITEM})
    assert answer(client, WRITE) == Applied({"n": 1})


# --- giving up -------------------------------------------------------------------------------------


def test_throttled_to_the_end_a_write_was_surely_not_applied() -> None:
    error = failure(answer(ScriptedClient(THROTTLED), WRITE))
    assert type(error) is StoreThrottled
    assert not error.maybe_applied
    assert error.__cause__ is THROTTLED


@pytest.mark.parametrize("lost", [TIMEOUT, answered("InternalServerError", 500)])
def test_a_write_without_an_answer_may_have_been_applied(lost: Exception) -> None:
    error = failure(answer(ScriptedClient(lost), WRITE))
    assert type(error) is StoreUnavailable
    assert error.maybe_applied
    assert error.__cause__ is lost


def test_a_write_that_was_never_sent_was_not_applied() -> None:
    error = failure(answer(ScriptedClient(NEVER_CONNECTED), WRITE))
    assert type(error) is StoreUnavailable
    assert not error.maybe_applied


def test_one_lost_answer_among_throttles_is_not_forgotten() -> None:
    error = failure(answer(ScriptedClient(THROTTLED, TIMEOUT, THROTTLED), WRITE))
    assert type(error) is StoreThrottled
    assert error.maybe_applied


@pytest.mark.parametrize("read", [BatchGet((KEY,)), Get(KEY), Query("p"), Scan(0, 1, "", "n", limit=9)])
def test_a_read_is_never_applied(read: Operation) -> None:
    error = failure(answer(ScriptedClient(TIMEOUT), read))
    assert type(error) is StoreUnavailable
    assert not error.maybe_applied


def test_a_deletion_without_an_answer_may_have_been_applied() -> None:
    assert failure(answer(ScriptedClient(TIMEOUT), Delete(KEY))).maybe_applied


@pytest.mark.parametrize("denial", [answered("AccessDeniedException"), NoCredentialsError()])
def test_a_denial_is_reported_at_once(denial: Exception) -> None:
    client = ScriptedClient(denial)
    error = failure(answer(client, WRITE))
    assert type(error) is StoreDenied
    assert error.__cause__ is denial
    assert len(client.requests) == 1


def test_a_missing_table_is_neither_unavailable_nor_repeated() -> None:
    client = ScriptedClient(answered("ResourceNotFoundException"))
    assert type(failure(answer(client, WRITE))) is StoreError
    assert len(client.requests) == 1


def test_an_item_that_cannot_be_read_fails_its_operation_alone() -> None:
    client = ScriptedClient({"Attributes": {**WIRE_KEY, "n": {"N": "0.5"}}})
    error = failure(answer(client, WRITE))
    assert type(error) is StoreError
    assert error.maybe_applied


def test_a_mistake_of_the_program_raises() -> None:
    with pytest.raises(ParamValidationError):
        answer(ScriptedClient(ParamValidationError(report="")), WRITE)


# --- writes ----------------------------------------------------------------------------------------


def test_a_failed_condition_is_a_refusal_with_the_item_that_refused() -> None:
    refused = answered("ConditionalCheckFailedException", Item=ITEM)
    assert answer(ScriptedClient(refused), WRITE) == Refused({"n": 1})
    assert answer(ScriptedClient(refused), Put(KEY, {}, ItemAbsent())) == Refused({"n": 1})
    assert answer(ScriptedClient(refused), Delete(KEY, Equals("n", 2))) == Refused({"n": 1})
    assert answer(ScriptedClient(answered("ConditionalCheckFailedException")), WRITE) == Refused(None)


def test_writes_ask_for_the_item_that_a_flow_needs_next() -> None:
    client = ScriptedClient({"Attributes": ITEM})
    answer(client, WRITE)
    assert client.requests == [
        {
            "TableName": "table",
            "Key": WIRE_KEY,
            "UpdateExpression": "ADD #0 :0",
            "ConditionExpression": "#0 < :1",
            "ExpressionAttributeNames": {"#0": "n"},
            "ExpressionAttributeValues": {":0": {"N": "1"}, ":1": {"N": "5"}},
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    ]


def test_a_deletion_asks_for_the_item_that_refuses_it_and_for_nothing_else() -> None:
    client = ScriptedClient({})
    assert answer(client, Delete(KEY, Equals("n", 1))) == Applied(None)
    assert answer(client, Delete(KEY)) == Applied(None)
    unconditional = {"TableName": "table", "Key": WIRE_KEY, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    condition = {
        "ConditionExpression": "#0 = :0",
        "ExpressionAttributeNames": {"#0": "n"},
        "ExpressionAttributeValues": {":0": {"N": "1"}},
    }
    assert client.requests == [unconditional | condition, unconditional]


def test_an_update_that_left_nothing_behind_is_applied() -> None:
    """DynamoDB, unlike DynamoDB Local, makes no item of an absent one from which an attribute is taken."""
    assert answer(ScriptedClient({}), Update(KEY, (Discard("s", frozenset({"x"})),))) == Applied({})


def test_each_shape_is_compiled_once() -> None:
    repository = World().repository(ScriptedClient({"Attributes": ITEM}))
    for number in range(20):
        condition = AllOf((Equals("cfg", f"r:{number}"), Below("n", number)))
        repository.execute((Update(KEY, (Add("n", number), Set("at", number)), condition),), timeout_ms=1000)
    assert repository.compilations == 1
    repository.execute((Update(KEY, (Add("m", 1),)),), timeout_ms=1000)
    assert repository.compilations == 2


# --- transactions ----------------------------------------------------------------------------------


def cancelled(*reasons: Mapping[str, Any]) -> ClientError:
    return answered("TransactionCanceledException", CancellationReasons=list(reasons))


def test_a_cancelled_transaction_says_which_action_refused() -> None:
    reasons = cancelled({"Code": "ConditionalCheckFailed", "Item": ITEM}, {"Code": "None"})
    assert answer(ScriptedClient(reasons), TRANSACTION) == Cancelled((Refused({"n": 1}), None))
    reasons = cancelled({"Code": "None"}, {"Code": "ConditionalCheckFailed"})
    assert answer(ScriptedClient(reasons), TRANSACTION) == Cancelled((None, Refused(None)))


def test_a_transaction_names_what_each_action_does() -> None:
    client = ScriptedClient({})
    actions = (
        WRITE,
        Put(Key("a", "s"), {}),
        Delete(Key("b", "s"), ItemExists()),
        Check(Key("c", "s"), ItemAbsent()),
    )
    assert answer(client, Transact(actions, "token")) == Applied(None)
    sent = client.requests[0]["TransactItems"]
    assert [list(action) for action in sent] == [["Update"], ["Put"], ["Delete"], ["ConditionCheck"]]
    assert sent[2]["Delete"] == {
        "TableName": "table",
        "Key": {"PK": {"S": "b"}, "SK": {"S": "s"}},
        "ConditionExpression": "attribute_exists(#0)",
        "ExpressionAttributeNames": {"#0": "PK"},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def test_a_conflict_is_repeated_under_the_same_token() -> None:
    client = ScriptedClient(cancelled({"Code": "TransactionConflict"}, {"Code": "None"}), {})
    assert answer(client, TRANSACTION) == Applied(None)
    assert [request["ClientRequestToken"] for request in client.requests] == ["token", "token"]
    assert client.requests[0] == client.requests[1]


def test_a_refusal_beside_a_conflict_is_asked_again_until_every_condition_was_answered() -> None:
    undecided = cancelled({"Code": "ConditionalCheckFailed", "Item": ITEM}, {"Code": "TransactionConflict"})
    decided = cancelled(
        {"Code": "ConditionalCheckFailed", "Item": ITEM}, {"Code": "ConditionalCheckFailed", "Item": ITEM}
    )
    outcome = answer(ScriptedClient(undecided, decided), TRANSACTION)
    assert outcome == Cancelled((Refused({"n": 1}), Refused({"n": 1})))
    assert type(failure(answer(ScriptedClient(undecided), TRANSACTION))) is StoreThrottled


def test_a_transaction_that_the_table_rejects_fails_at_once() -> None:
    client = ScriptedClient(cancelled({"Code": "ValidationError"}, {"Code": "None"}))
    assert type(failure(answer(client, TRANSACTION))) is StoreError
    assert len(client.requests) == 1


# --- batches ---------------------------------------------------------------------------------------

A, B = Key("a", "s"), Key("b", "s")
ITEM_A = {"PK": {"S": "a"}, "SK": {"S": "s"}, "n": {"N": "1"}}
ITEM_B = {"PK": {"S": "b"}, "SK": {"S": "s"}, "n": {"N": "2"}}


@pytest.mark.parametrize("is_consistent", [True, False])
def test_unprocessed_keys_are_asked_for_again_and_only_they(is_consistent: bool) -> None:
    asked = [unprocessed(A, B, is_consistent=is_consistent), unprocessed(B, is_consistent=is_consistent)]
    client = ScriptedClient(
        {"Responses": {"table": [ITEM_A]}, "UnprocessedKeys": asked[1]},
        {"Responses": {"table": [ITEM_B]}, "UnprocessedKeys": {}},
    )
    assert answer(client, BatchGet((A, B), is_consistent)) == Found({A: {"n": 1}, B: {"n": 2}})
    assert [request["RequestItems"] for request in client.requests] == asked


def test_an_unanswered_key_is_never_taken_for_absent() -> None:
    client = ScriptedClient({"Responses": {"table": [ITEM_A]}, "UnprocessedKeys": unprocessed(B)})
    assert type(failure(answer(client, BatchGet((A, B))))) is StoreThrottled


def test_a_batch_with_one_chunk_unanswered_is_unanswered_whole() -> None:
    keys = tuple(Key(f"k{number}", "s") for number in range(150))

    class HalfAnswering(StandIn):
        def batch_get_item(self, RequestItems: Any) -> Mapping[str, Any]:  # noqa: ANN401 - as boto3's
            asked = RequestItems["table"]["Keys"]
            is_short = len(asked) < 100
            return {"Responses": {"table": []}, "UnprocessedKeys": RequestItems if is_short else {}}

    assert type(failure(answer(HalfAnswering(), BatchGet(keys)))) is StoreThrottled


def test_reads_are_consistent_and_ask_for_a_key_once() -> None:
    client = ScriptedClient({"Responses": {"table": [ITEM_A]}})
    assert answer(client, BatchGet((A, A, A))) == Found({A: {"n": 1}})
    assert [request["RequestItems"] for request in client.requests] == [unprocessed(A)]


def test_a_batch_of_nothing_asks_nothing() -> None:
    client = ScriptedClient({})
    assert answer(client, BatchGet(())) == Found({})
    assert client.requests == []


# --- single reads and pages ------------------------------------------------------------------------


@pytest.mark.parametrize("is_consistent", [True, False])
def test_one_item_is_read_as_consistently_as_was_asked(is_consistent: bool) -> None:
    client = ScriptedClient({"Item": ITEM})
    assert answer(client, Get(KEY, is_consistent)) == Found({KEY: {"n": 1}})
    assert client.requests == [{"TableName": "table", "Key": WIRE_KEY, "ConsistentRead": is_consistent}]


def test_one_item_that_is_not_there_is_not_found() -> None:
    assert answer(ScriptedClient({}), Get(KEY)) == Found({})


def test_a_partition_is_read_consistently_from_its_first_sort_key_up() -> None:
    client = ScriptedClient({"Items": [ITEM_A], "ScannedCount": 1})
    assert answer(client, Query("a")) == Page(((A, {"n": 1}),), None, 1)
    assert client.requests == [
        {
            "TableName": "table",
            "KeyConditionExpression": "#pk = :pk",
            "ExpressionAttributeNames": {"#pk": "PK"},
            "ExpressionAttributeValues": {":pk": {"S": "a"}},
            "ConsistentRead": True,
            "ScanIndexForward": True,
            "Limit": 100,
        }
    ]


def test_the_index_is_read_by_its_own_keys_and_goes_on_by_both() -> None:
    position = {**WIRE_KEY, "GSI1PK": {"S": "PARENT#p"}, "GSI1SK": {"S": "ENTITY#a"}}
    client = ScriptedClient({"Items": [position], "ScannedCount": 1, "LastEvaluatedKey": position})
    query = Query("PARENT#p", "ENTITY#", limit=1, after=Position(A, "ENTITY#z"), in_index=True, newest_first=True)
    entry = {"GSI1PK": "PARENT#p", "GSI1SK": "ENTITY#a"}
    assert answer(client, query) == Page(((KEY, entry),), Position(KEY, "ENTITY#a"), 1)
    assert client.requests == [
        {
            "TableName": "table",
            "IndexName": "GSI1",
            "KeyConditionExpression": "#pk = :pk AND begins_with(#sk, :prefix)",
            "ExpressionAttributeNames": {"#pk": "GSI1PK", "#sk": "GSI1SK"},
            "ExpressionAttributeValues": {":pk": {"S": "PARENT#p"}, ":prefix": {"S": "ENTITY#"}},
            "ConsistentRead": False,
            "ScanIndexForward": False,
            "Limit": 1,
            "ExclusiveStartKey": {
                "PK": {"S": "a"},
                "SK": {"S": "s"},
                "GSI1PK": {"S": "PARENT#p"},
                "GSI1SK": {"S": "ENTITY#z"},
            },
        }
    ]


def test_a_segment_is_scanned_for_the_keys_of_items_that_have_an_attribute() -> None:
    client = ScriptedClient({"Items": [WIRE_KEY], "ScannedCount": 7, "LastEvaluatedKey": WIRE_KEY})
    scan = Scan(1, 4, "BUCKET#", "cfg", limit=9, after=Position(A))
    assert answer(client, scan) == Page(((KEY, {}),), Position(KEY), 7)
    assert client.requests == [
        {
            "TableName": "table",
            "FilterExpression": "begins_with(#pk, :prefix) AND attribute_exists(#attribute)",
            "ProjectionExpression": "#pk, #sk",
            "ExpressionAttributeNames": {"#pk": "PK", "#sk": "SK", "#attribute": "cfg"},
            "ExpressionAttributeValues": {":prefix": {"S": "BUCKET#"}},
            "Segment": 1,
            "TotalSegments": 4,
            "ConsistentRead": True,
            "Limit": 9,
            "ExclusiveStartKey": {"PK": {"S": "a"}, "SK": {"S": "s"}},
        }
    ]


def test_a_scan_for_any_prefix_sends_no_empty_one() -> None:
    client = ScriptedClient({"Items": [], "ScannedCount": 0})
    assert answer(client, Scan(0, 1, "", "cfg", limit=9)) == Page((), None, 0)
    assert client.requests[0]["FilterExpression"] == "attribute_exists(#attribute)"
    assert "ExpressionAttributeValues" not in client.requests[0]


PAGED: tuple[Operation, ...] = (Query("a"), Scan(0, 1, "", "n", limit=9))


@pytest.mark.parametrize("operation", PAGED)
def test_a_page_is_passed_on_as_it_came_however_short(operation: Operation) -> None:
    client = ScriptedClient({"Items": [], "ScannedCount": 3, "LastEvaluatedKey": WIRE_KEY})
    assert answer(client, operation) == Page((), Position(KEY), 3)
    assert len(client.requests) == 1


@pytest.mark.parametrize("operation", PAGED)
def test_a_throttled_page_is_asked_for_again(operation: Operation) -> None:
    client = ScriptedClient(THROTTLED, {"Items": [], "ScannedCount": 0})
    assert answer(client, operation) == Page((), None, 0)
    assert client.requests[0] == client.requests[1]


@pytest.mark.parametrize("operation", PAGED)
def test_a_position_that_dynamodb_does_not_take_fails_at_once(operation: Operation) -> None:
    client = ScriptedClient(answered("ValidationException"))
    assert type(failure(answer(client, operation))) is StoreError
    assert len(client.requests) == 1


@pytest.mark.parametrize(
    "operation",
    [Query(""), Query("a", limit=0), Scan(1, 1, "", "n", limit=9), Scan(0, 1, "", "PK", limit=9)],
)
def test_a_page_that_no_store_could_read_is_never_asked_for(operation: Operation) -> None:
    client = ScriptedClient({})
    with pytest.raises(ValueError, match=r"partition|item|segments|attribute"):
        answer(client, operation)
    assert client.requests == []


# --- side by side ----------------------------------------------------------------------------------


def updates(count: int) -> tuple[Update, ...]:
    return tuple(Update(Key(f"k{number}", "s"), (Add("n", 1),)) for number in range(count))


class MeetingClient(StandIn):
    """A client whose calls answer only when all of them are under way at once."""

    def __init__(self, calls: int) -> None:
        self.barrier = threading.Barrier(calls)
        self.threads: set[int] = set()

    def _meet(self) -> None:
        self.threads.add(threading.get_ident())
        self.barrier.wait(timeout=10)

    def update_item(self, **request: Any) -> Mapping[str, Any]:  # noqa: ANN401 - as boto3's
        self._meet()
        return {"Attributes": {**request["Key"], "name": request["Key"]["PK"]}}

    def batch_get_item(self, **_request: Any) -> Mapping[str, Any]:  # noqa: ANN401 - as boto3's
        self._meet()
        return {"Responses": {}, "UnprocessedKeys": {}}


def test_operations_of_one_round_trip_run_side_by_side_in_order_of_answers() -> None:
    client = MeetingClient(4)
    with World().repository(client) as repository:
        outcomes = repository.execute(updates(4), timeout_ms=1000)
    assert outcomes == tuple(Applied({"name": f"k{number}"}) for number in range(4))
    assert len(client.threads) == 4
    assert threading.get_ident() in client.threads


def test_chunks_of_a_batch_run_side_by_side_with_the_other_operations() -> None:
    keys = tuple(Key(f"k{number}", "s") for number in range(250))
    with World().repository(MeetingClient(5)) as repository:
        outcomes = repository.execute((*updates(2), BatchGet(keys)), timeout_ms=1000)
    assert outcomes[2] == Found({})


def test_one_operation_alone_needs_no_thread() -> None:
    client = MeetingClient(1)
    with World().repository(client) as repository:
        repository.execute(updates(1), timeout_ms=1000)
    assert client.threads == {threading.get_ident()}


def test_more_operations_than_workers_wait_their_turn() -> None:
    client = ScriptedClient({"Attributes": ITEM})
    with DynamoRepository(cast("DynamoDBClient", client), "table", max_workers=2) as repository:
        outcomes = repository.execute(updates(20), timeout_ms=10_000)
    assert outcomes == (Applied({"n": 1}),) * 20


class OneFails(StandIn):
    """A client that fails for one key and, for the others, tells that they were answered."""

    def __init__(self, failing: str, error: BaseException) -> None:
        self.failing = failing
        self.error = error
        self.answered: list[str] = []

    def update_item(self, **request: Any) -> Mapping[str, Any]:  # noqa: ANN401 - as boto3's
        name = request["Key"]["PK"]["S"]
        if name == self.failing:
            raise self.error
        self.answered.append(name)
        return {"Attributes": ITEM}


@pytest.mark.parametrize("failing", ["k0", "k2"])
def test_a_failure_is_the_outcome_of_its_operation_alone(failing: str) -> None:
    with World().repository(OneFails(failing, answered("AccessDeniedException"))) as repository:
        outcomes = repository.execute(updates(3), timeout_ms=1000)
    failed = [isinstance(outcome, Failed) for outcome in outcomes]
    assert failed == [f"k{number}" == failing for number in range(3)]


@pytest.mark.parametrize("failing", ["k0", "k2"])
@pytest.mark.parametrize("error", [RuntimeError("a defect"), KeyboardInterrupt()])
def test_what_is_no_answer_of_the_store_is_raised_and_not_observed(failing: str, error: BaseException) -> None:
    seen: list[object] = []
    repository = DynamoRepository(
        cast("DynamoDBClient", OneFails(failing, error)),
        "table",
        observer=lambda *round_trip: seen.append(round_trip),
    )
    with repository, pytest.raises(type(error)):
        repository.execute(updates(3), timeout_ms=1000)
    assert seen == []


class Interrupted(StandIn):
    """A client interrupted in k0 while k1 is under way, which takes until it is released."""

    def __init__(self) -> None:
        self.under_way = threading.Event()
        self.interrupted = threading.Event()
        self.released = threading.Event()
        self.answered: list[str] = []

    def update_item(self, **request: Any) -> Mapping[str, Any]:  # noqa: ANN401 - as boto3's
        name = request["Key"]["PK"]["S"]
        if name == "k0":
            self.under_way.wait(timeout=10)
            self.interrupted.set()
            raise KeyboardInterrupt
        self.under_way.set()
        self.released.wait(timeout=10)
        self.answered.append(name)
        return {"Attributes": ITEM}


def test_an_interrupt_waits_for_what_is_under_way_and_begins_nothing_more() -> None:
    client = Interrupted()
    repository = DynamoRepository(cast("DynamoDBClient", client), "table", max_workers=1)
    raised: list[BaseException] = []

    def execute() -> None:
        try:
            repository.execute(updates(3), timeout_ms=10_000)
        except KeyboardInterrupt as error:
            raised.append(error)

    caller = threading.Thread(target=execute)
    caller.start()
    client.interrupted.wait(timeout=10)
    caller.join(timeout=0.2)
    is_waiting = caller.is_alive()
    client.released.set()
    caller.join()
    repository.close()
    assert is_waiting
    assert len(raised) == 1
    assert client.answered == ["k1"]


def test_a_mistake_in_one_operation_raises_before_any_is_sent() -> None:
    client = ScriptedClient({"Attributes": ITEM})
    with World().repository(client) as repository, pytest.raises(ValueError, match="once on each item"):
        repository.execute((WRITE, Transact((WRITE, WRITE), "token")), timeout_ms=1000)
    assert client.requests == []


def test_a_closed_repository_still_answers_and_starts_workers_anew() -> None:
    repository = World().repository(ScriptedClient({"Attributes": ITEM}))
    repository.close()
    repository.execute(updates(2), timeout_ms=1000)
    repository.close()
    repository.execute(updates(2), timeout_ms=1000)
    repository.close()


# --- context ---------------------------------------------------------------------------------------

request_name: ContextVar[str] = ContextVar("request_name", default="nobody")


class ContextClient(StandIn):
    """A client that notes for whom it works."""

    def __init__(self, look: Callable[[], str]) -> None:
        self.look = look
        self.seen: list[str] = []

    def update_item(self, **_request: Any) -> Mapping[str, Any]:  # noqa: ANN401 - as boto3's
        self.seen.append(self.look())
        return {"Attributes": ITEM}


def test_workers_find_the_callers_context_variables() -> None:
    client = ContextClient(request_name.get)
    token = request_name.set("caller")
    with World().repository(client) as repository:
        repository.execute(updates(3), timeout_ms=1000)
    request_name.reset(token)
    assert client.seen == ["caller"] * 3


def test_a_tracer_can_carry_its_place_to_the_workers_by_itself() -> None:
    place = threading.local()
    place.name = "caller"
    client = ContextClient(lambda: str(getattr(place, "name", "nowhere")))

    def carry_place[**P, T](function: Callable[P, T], /) -> Callable[P, T]:
        name = place.name

        def carried(*args: P.args, **kwargs: P.kwargs) -> T:
            place.name = name
            return function(*args, **kwargs)

        return carried

    with DynamoRepository(cast("DynamoDBClient", client), "table", carry=carry_place) as repository:
        repository.execute(updates(3), timeout_ms=1000)
    assert client.seen == ["caller"] * 3


# --- observing -------------------------------------------------------------------------------------


def test_the_observer_sees_every_round_trip_once_with_its_time() -> None:
    seen: list[object] = []
    world = World()
    repository = DynamoRepository(
        cast("DynamoDBClient", ScriptedClient(THROTTLED, {"Attributes": ITEM})),
        "table",
        observer=lambda *round_trip: seen.append(round_trip),
        sleep=world.sleep,
        draw=lambda: 1.0,
        monotonic_ns=lambda: world.now_ns,
    )
    start_ns = world.now_ns
    outcomes = repository.execute((WRITE,), timeout_ms=1000)
    assert seen == [((WRITE,), outcomes, start_ns, start_ns + 25_000_000)]


def test_the_recommended_client_does_not_repeat_by_itself() -> None:
    config: Any = client_config(workers=4, read_timeout_s=0.5)
    assert config.retries == {"total_max_attempts": 1, "mode": "standard"}
    assert (config.read_timeout, config.max_pool_connections) == (0.5, 8)
