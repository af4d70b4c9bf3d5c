"""Values on their way to DynamoDB and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leasegate.errors import StoreError
from leasegate.operations import Key, Position, Value
from leasegate.repository.values import same
from leasegate.repository.wire import (
    Wire,
    decode,
    decode_item,
    decode_key,
    decode_number,
    decode_position,
    encode,
    encode_item,
    encode_number,
    encode_position,
)

scalars = st.none() | st.booleans() | st.integers(1 - 10**38, 10**38 - 1) | st.text()
values = st.recursive(
    scalars | st.frozensets(st.text(), min_size=1),
    lambda inner: st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
)


@given(values)
def test_a_value_comes_back_as_it_went(value: Value) -> None:
    assert same(decode(encode(value)), value)


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (True, {"BOOL": True}),
        (1, {"N": "1"}),
        (-(10**37), {"N": "-1" + "0" * 37}),
        (None, {"NULL": True}),
        ("", {"S": ""}),
        (frozenset({"b", "a"}), {"SS": ["a", "b"]}),
        ((1, False), {"L": [{"N": "1"}, {"BOOL": False}]}),
        ({"a.b": ()}, {"M": {"a.b": {"L": []}}}),
    ],
)
def test_each_type_has_its_own_form(value: Value, wire: Wire) -> None:
    assert encode(value) == wire


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1E+3", 1000),
        ("1e3", 1000),
        ("-1.5E+1", -15),
        ("1.50E2", 150),
        ("2.00", 2),
        ("-2.0", -2),
        ("0E-5", 0),
        ("1E+37", 10**37),
        ("9007199254740993", 9007199254740993),
        ("12345678901234567890123456789012345678", 12345678901234567890123456789012345678),
        ("1.2345678901234567890123456789012345678E+37", 12345678901234567890123456789012345678),
    ],
)
def test_a_number_is_read_exactly_in_any_form_that_dynamodb_may_choose(text: str, number: int) -> None:
    assert decode_number(text) == number


@pytest.mark.parametrize("text", ["1.5", "-0.1", "1E-1", "-15E-1", "NaN", "Infinity", "", "1E+", "0x10"])
def test_a_number_that_is_no_integer_is_an_error_and_never_rounded(text: str) -> None:
    with pytest.raises(StoreError):
        decode_number(text)


@pytest.mark.parametrize("wire", [{"B": b"x"}, {"NS": ["1"]}, {"L": [{"N": "0.5"}]}, {"M": {"a": {"B": b""}}}, {}])
def test_a_value_that_leasegate_never_writes_is_an_error(wire: Wire) -> None:
    with pytest.raises(StoreError):
        decode(wire)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (1.0, TypeError),
        ([1], TypeError),
        ({1}, TypeError),
        (frozenset(), ValueError),
        (frozenset({1}), TypeError),
        ({1: 1}, TypeError),
        (b"x", TypeError),
        (10**38, ValueError),
        ((1, 2.5), TypeError),
    ],
)
def test_what_an_item_cannot_hold_is_refused_before_it_is_sent(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        encode(value)  # type: ignore[arg-type]


def test_a_boolean_is_no_number() -> None:
    with pytest.raises(TypeError):
        encode_number(True)


def test_an_item_travels_with_its_key_and_arrives_without() -> None:
    key = Key("p", "s")
    wire = encode_item(key, {"n": 1})
    assert wire == {"PK": {"S": "p"}, "SK": {"S": "s"}, "n": {"N": "1"}}
    assert (decode_key(wire), decode_item(wire)) == (key, {"n": 1})


def test_a_position_in_the_index_names_the_items_key_and_the_indexs() -> None:
    position = Position(Key("p", "s"), "child")
    wire = encode_position(position, "parent")
    assert wire == {"PK": {"S": "p"}, "SK": {"S": "s"}, "GSI1PK": {"S": "parent"}, "GSI1SK": {"S": "child"}}
    assert decode_position(wire) == position


def test_a_position_in_the_table_is_a_key_alone() -> None:
    position = Position(Key("p", "s"))
    wire = encode_position(position, "p")
    assert wire == {"PK": {"S": "p"}, "SK": {"S": "s"}}
    assert decode_position(wire) == position


def test_an_attribute_cannot_stand_for_the_key() -> None:
    with pytest.raises(ValueError, match="key"):
        encode_item(Key("p", "s"), {"PK": "x"})


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), (0, False), ((1,), (True,)), ({"a": 0}, {"a": False}), ("1", 1), (None, False)]
)
def test_values_of_two_types_are_never_the_same(one: Value, other: Value) -> None:
    assert not same(one, other)
    assert not same(other, one)
