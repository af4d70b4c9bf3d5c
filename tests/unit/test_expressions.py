"""Shapes and the expressions they compile to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from leasegate.operations import (
    Add,
    AllOf,
    AnyOf,
    AtLeast,
    AtMost,
    Below,
    Between,
    Change,
    Condition,
    Discard,
    Equals,
    Exists,
    Initialize,
    ItemAbsent,
    ItemExists,
    Key,
    NotEquals,
    NotExists,
    Remove,
    Set,
    Update,
    Value,
)
from leasegate.repository.calls import Desk, UpdateCall
from leasegate.repository.expressions import Expressions, Shape, compile_shape, take_apart
from leasegate.schema import held_attribute, holder_attribute

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def taken_apart(changes: tuple[Change, ...], condition: Condition | None) -> tuple[Shape, list[Any]]:
    """Return the shape of a write, and its values."""
    values: list[Any] = []
    shape, _ = take_apart(changes, condition, values)
    return shape, values


def compiled(changes: tuple[Change, ...], condition: Condition | None = None) -> Expressions:
    return compile_shape(taken_apart(changes, condition)[0])


def condition_of(condition: Condition) -> str:
    return compiled((), condition).condition


def test_changes_are_grouped_by_clause_and_values_keep_their_order() -> None:
    changes = (Add("v.rpm", 5), Set("at", 7), Remove("cfg"), Add("n", 1), Set("r.3", "id"))
    shape, values = taken_apart(changes, NotEquals("r.3", "id"))
    expressions = compile_shape(shape)
    assert expressions.update == "SET #1 = :1, #4 = :3 ADD #0 :0, #3 :2 REMOVE #2"
    assert expressions.condition == "#4 <> :4"
    assert expressions.names == {"#0": "v.rpm", "#1": "at", "#2": "cfg", "#3": "n", "#4": "r.3"}
    assert expressions.values == ((":0", int), (":1", int), (":2", int), (":3", str), (":4", str))
    assert values == [5, 7, 1, '"id"', '"id"']


def test_what_an_attribute_has_already_is_named_once_and_members_are_the_value_to_take_out() -> None:
    changes = (Discard("buckets", frozenset({"b", "a"})), Initialize("at", 7), Remove("cfg"), Set("n", 1))
    shape, values = taken_apart(changes, None)
    expressions = compile_shape(shape)
    assert expressions.update == "SET #1 = if_not_exists(#1, :1), #3 = :2 DELETE #0 :0 REMOVE #2"
    assert expressions.names == {"#0": "buckets", "#1": "at", "#2": "cfg", "#3": "n"}
    assert expressions.values == ((":0", object), (":1", int), (":2", int))
    assert values == ['{"SS":["a","b"]}', 7, 1]


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (ItemExists(), "attribute_exists(#0)"),
        (ItemAbsent(), "attribute_not_exists(#0)"),
        (Exists("a"), "attribute_exists(#0)"),
        (NotExists("a"), "attribute_not_exists(#0)"),
        (Equals("a", 1), "#0 = :0"),
        (NotEquals("a", 1), "#0 <> :0"),
        (Below("a", 1), "#0 < :0"),
        (AtMost("a", 1), "#0 <= :0"),
        (AtLeast("a", 1), "#0 >= :0"),
        (Between("a", 1, 2), "#0 >= :0 AND #0 <= :1"),
        (AllOf((Between("a", 1, 2),)), "#0 >= :0 AND #0 <= :1"),
        (AnyOf((AllOf((Exists("a"),)),)), "attribute_exists(#0)"),
        (AllOf((Exists("a"), Between("b", 1, 2))), "attribute_exists(#0) AND (#1 >= :0 AND #1 <= :1)"),
        (
            AnyOf((NotExists("a"), AllOf((Below("a", 1), AnyOf((Equals("b", 1), Equals("b", 2))))))),
            "attribute_not_exists(#0) OR (#0 < :0 AND (#1 = :1 OR #1 = :2))",
        ),
    ],
)
def test_conditions_are_written_without_redundant_parentheses(condition: Condition, text: str) -> None:
    assert condition_of(condition) == text


def test_writes_that_differ_in_values_alone_have_one_shape() -> None:
    one, _ = taken_apart((Add("n", 1),), AllOf((Equals("a", 1), Between("b", 1, 2))))
    other, _ = taken_apart((Add("n", 2),), AllOf((Equals("a", 7), Between("b", 3, 4))))
    assert one == other


@pytest.mark.parametrize(
    ("changes", "condition"),
    [
        ((Add("m", 1),), Equals("a", 1)),
        ((Set("n", 1),), Equals("a", 1)),
        ((Initialize("n", 1),), Equals("a", 1)),
        ((Discard("n", frozenset({"x"})),), Equals("a", 1)),
        ((Add("n", 1), Add("m", 1)), Equals("a", 1)),
        ((Add("n", 1),), NotEquals("a", 1)),
        ((Add("n", 1),), Equals("b", 1)),
        ((Add("n", 1),), AllOf((Equals("a", 1),))),
        ((Add("n", 1),), Equals("a", "x")),
        ((Add("n", 1),), Equals("a", None)),
        ((Add("n", 1),), Equals("a", True)),
        ((Add("n", 1),), None),
    ],
)
def test_writes_that_differ_in_more_have_different_shapes(
    changes: tuple[Change, ...], condition: Condition | None
) -> None:
    assert taken_apart(changes, condition)[0] != taken_apart((Add("n", 1),), Equals("a", 1))[0]


def test_nesting_is_part_of_the_shape() -> None:
    a, b, c = Exists("a"), Exists("b"), Exists("c")
    inner_first, _ = taken_apart((), AllOf((AllOf((a, b)), c)))
    inner_last, _ = taken_apart((), AllOf((a, AllOf((b, c)))))
    assert inner_first != inner_last


@pytest.mark.parametrize(
    ("changes", "condition"),
    [
        ((Set("n", 1), Add("n", 1)), None),
        ((Set("PK", "x"),), None),
        ((Initialize("n", 1), Discard("n", frozenset({"x"}))), None),
        ((Initialize("SK", "x"),), None),
        ((Set("h.streams.a", 1), Set("h.streams.b", 1), Remove("h.streams.a")), None),
        ((Discard("n", frozenset()),), None),
        ((Set("n", 1),), Equals("SK", "x")),
        ((Set("n", 1),), AllOf(())),
        ((Set("n", 1),), AllOf((Exists("a"), AnyOf(())))),
    ],
)
def test_what_dynamodb_takes_in_no_item_is_a_mistake_of_the_program(
    changes: tuple[Change, ...], condition: Condition | None
) -> None:
    with pytest.raises(ValueError, match=r"attribute|key|conditions|empty set"):
        compiled(changes, condition)


def test_a_bound_that_is_a_boolean_is_a_mistake_of_the_program() -> None:
    with pytest.raises(TypeError):
        taken_apart((), Below("a", True))


# --- holders ---------------------------------------------------------------------------------------


def replacing(leaving: str, entering: str, until_ms: int) -> Update:
    """Return the write that lets one holder in, in place of another that lapsed."""
    count = held_attribute("streams")
    gone, new = holder_attribute("streams", leaving), holder_attribute("streams", entering)
    changes = (Add("n", 1), Remove(gone), Set(new, until_ms), Add(count, 0))
    conditions = (
        Equals("cfg", "s"),
        Equals(gone, 7),
        NotExists(new),
        AnyOf((NotExists(count), AtMost(count, 20))),
    )
    return Update(Key("BUCKET#a#b", "#STATE"), changes, AllOf(conditions))


def desk() -> Desk:
    """Return a desk whose calls nobody sends."""
    return Desk(cast("DynamoDBClient", None), "table")


def request_for(desk: Desk, update: Update) -> dict[str, Any]:
    """Return what is sent for an update."""
    (call,) = desk.calls(update)
    assert isinstance(call, UpdateCall)
    return call._request.parameters()


def spelled_out(request: dict[str, Any], expression: str) -> str:
    """Return an expression with names and values in place of its placeholders, the longest first."""
    text: str = request[expression]
    fills = {
        **request["ExpressionAttributeNames"],
        **{placeholder: str(value) for placeholder, value in request["ExpressionAttributeValues"].items()},
    }
    for placeholder in sorted(fills, key=len, reverse=True):
        text = text.replace(placeholder, fills[placeholder])
    return text


def test_writes_that_differ_in_holders_have_one_shape_and_are_compiled_once() -> None:
    here = desk()
    for number in range(1_000):
        request_for(here, replacing(f"old{number}", f"new{number}", number))
    assert here.compilations == 1


def test_holders_are_named_in_each_request_by_one_placeholder_in_changes_and_conditions() -> None:
    here = desk()
    requests = [request_for(here, replacing(f"old{number}", f"new{number}", number)) for number in range(3)]
    for number, request in enumerate(requests):
        old, new = f"h.streams.old{number}", f"h.streams.new{number}"
        assert sorted(request["ExpressionAttributeNames"].values()) == sorted(["n", "cfg", "k.streams", old, new])
        assert spelled_out(request, "UpdateExpression") == (
            f"SET {new} = {{'N': '{number}'}} ADD n {{'N': '1'}}, k.streams {{'N': '0'}} REMOVE {old}"
        )
        assert spelled_out(request, "ConditionExpression") == (
            f"cfg = {{'S': 's'}} AND {old} = {{'N': '7'}} AND attribute_not_exists({new})"
            " AND (attribute_not_exists(k.streams) OR k.streams <= {'N': '20'})"
        )


def test_a_holder_that_only_a_condition_names_is_named_in_the_request_too() -> None:
    update = Update(Key("BUCKET#a#b", "#STATE"), (Add("n", 1),), NotExists("h.streams.a"))
    assert request_for(desk(), update)["ExpressionAttributeNames"] == {"#0": "n", "#1": "h.streams.a"}


# --- requests --------------------------------------------------------------------------------------


def test_what_may_be_seen_of_a_request_is_what_all_writes_of_its_shape_have() -> None:
    here = desk()
    (one,), (other,) = (here.calls(Update(Key("a", "b"), (Set("at", number),))) for number in (1, 2))
    assert isinstance(one, UpdateCall)
    assert isinstance(other, UpdateCall)
    assert one._request == other._request
    assert one._request.items() < one._request.parameters().items()
    assert one._request["TableName"] == "table"


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (-(10**38) + 1, {"N": "-" + "9" * 38}),
        (True, {"BOOL": True}),
        (None, {"NULL": True}),
        ('"%s" %(a)d \\ \u00e9 \ud800', {"S": '"%s" %(a)d \\ \u00e9 \ud800'}),
        (("%", 1), {"L": [{"S": "%"}, {"N": "1"}]}),
    ],
)
def test_a_value_stands_in_the_request_as_it_is(value: Value, wire: object) -> None:
    request = request_for(desk(), Update(Key('"%', "%d"), (Set("%s", value),), Equals('"', value)))
    assert request["Key"] == {"PK": {"S": '"%'}, "SK": {"S": "%d"}}
    assert request["ExpressionAttributeNames"] == {"#0": "%s", "#1": '"'}
    assert request["ExpressionAttributeValues"] == {":0": wire, ":1": wire}


@pytest.mark.parametrize("value", [10**38, -(10**38), 1.5, [1], {"a"}])
def test_what_no_item_can_hold_is_a_mistake_of_the_program(value: Any) -> None:  # noqa: ANN401 - of no allowed type
    with pytest.raises((TypeError, ValueError), match=r"digits|cannot hold"):
        desk().calls(Update(Key("a", "b"), (Set("at", value),)))


def test_how_many_holders_a_write_names_and_which_of_them_twice_is_part_of_its_shape() -> None:
    a, b = Exists("h.streams.a"), Exists("h.streams.b")
    shapes = [taken_apart((Remove("h.streams.a"),), condition)[0] for condition in (None, a, b, AllOf((a, b)))]
    assert len(set(shapes)) == len(shapes)
