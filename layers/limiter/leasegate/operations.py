"""Operations on the table, their conditions and their outcomes, as plain frozen values.

A flow yields a tuple of operations (one round trip) and is sent a tuple of outcomes in the same order.
A repository gives them meaning: ``DynamoRepository`` compiles them to expressions, ``MemoryRepository``
evaluates them; a parity test holds the two to one meaning.

Values are DynamoDB's, without its wire format: ``int`` (38 digits), ``str``, ``bool``, ``None``, a non-empty
``frozenset`` of ``str``, a ``tuple``, a ``dict`` with ``str`` keys. There are no floats.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from .frozen import frozen

if TYPE_CHECKING:
    from .errors import StoreError

type Value = int | str | bool | frozenset[str] | tuple[Value, ...] | Mapping[str, Value] | None
type Item = Mapping[str, Value]
"""The attributes of an item, without its key."""


class Key(NamedTuple):
    """The primary key of an item."""

    pk: str
    sk: str


# --- conditions ------------------------------------------------------------------------------------


@frozen
class ItemExists:
    """The item exists."""


@frozen
class ItemAbsent:
    """The item does not exist."""


@frozen
class Exists:
    """The attribute exists."""

    attribute: str


@frozen
class NotExists:
    """The attribute does not exist; true of an absent item."""

    attribute: str


@frozen
class Equals:
    """The attribute exists and equals the value."""

    attribute: str
    value: Value


@frozen
class NotEquals:
    """The attribute differs from the value; true where it does not exist, as in DynamoDB."""

    attribute: str
    value: Value


@frozen
class Below:
    """The attribute exists and is less than the value."""

    attribute: str
    value: int


@frozen
class AtMost:
    """The attribute exists and is at most the value."""

    attribute: str
    value: int


@frozen
class AtLeast:
    """The attribute exists and is at least the value."""

    attribute: str
    value: int


@frozen
class Between:
    """The attribute exists and lies between the two values, both included; never true if low > high."""

    attribute: str
    low: int
    high: int


@frozen
class AllOf:
    """Every condition holds."""

    conditions: tuple[Condition, ...]


@frozen
class AnyOf:
    """At least one condition holds."""

    conditions: tuple[Condition, ...]


type Condition = (
    ItemExists
    | ItemAbsent
    | Exists
    | NotExists
    | Equals
    | NotEquals
    | Below
    | AtMost
    | AtLeast
    | Between
    | AllOf
    | AnyOf
)


# --- changes of an update --------------------------------------------------------------------------


@frozen
class Set:
    """Give the attribute this value."""

    attribute: str
    value: Value


@frozen
class Add:
    """Add to a number (an absent one counts as 0), or add members to a set (an absent one is empty)."""

    attribute: str
    value: int | frozenset[str]


@frozen
class Initialize:
    """Give the attribute this value, unless it has one."""

    attribute: str
    value: Value


@frozen
class Discard:
    """Take members out of a set, those that are in it; a set that is left empty is removed."""

    attribute: str
    members: frozenset[str]


@frozen
class Remove:
    """Remove the attribute."""

    attribute: str


type Change = Set | Add | Initialize | Discard | Remove


# --- operations ------------------------------------------------------------------------------------


@frozen
class Update:
    """Change an item under a condition; an absent item is created with the changed attributes.

    Outcome: :class:`Applied` with the item as it is then, or :class:`Refused` with the item as it stands.
    """

    key: Key
    changes: tuple[Change, ...]
    condition: Condition | None = None


@frozen
class Put:
    """Write a whole item under a condition. Outcome as for :class:`Update`."""

    key: Key
    item: Item
    condition: Condition | None = None


@frozen
class Check:
    """Hold a transaction to a condition on an item that it does not change; only inside :class:`Transact`."""

    key: Key
    condition: Condition


@frozen
class Delete:
    """Delete an item under a condition; deleting what is not there succeeds, if the condition allows it.

    Outcome: :class:`Applied` without an item, or :class:`Refused`.
    """

    key: Key
    condition: Condition | None = None


type Action = Update | Put | Delete | Check


@frozen
class Transact:
    """Apply all actions or none; at most 100, each on another item.

    ``token`` makes a repetition of the very same actions harmless for 10 minutes. Outcome: :class:`Applied`
    without an item, or :class:`Cancelled` with a verdict for each action.
    """

    actions: tuple[Action, ...]
    token: str


@frozen
class BatchGet:
    """Read items by their keys; together they are no snapshot.

    Outcome: :class:`Found`, complete: a key without an item in it has no item. Anything less is
    :class:`Failed`. ``is_consistent`` as for :class:`Get`, for each item.
    """

    keys: tuple[Key, ...]
    is_consistent: bool = True


@frozen
class Get:
    """Read one item. Outcome: :class:`Found`.

    ``is_consistent`` sees every write that ended before; without it, half the units, and perhaps a moment's lag.
    """

    key: Key
    is_consistent: bool = True


class Position(NamedTuple):
    """Where a page ended: the key of its last item, and that item's sort key in the index, if it read one."""

    key: Key
    index_sk: str | None = None


@frozen
class Query:
    """Read one page of a partition, in the order of the sort keys. Outcome: :class:`Page`.

    Args:
        partition: the partition key; in the index, where ``in_index``.
        prefix: what the sort keys begin with.
        limit: the most items of a page; a page may have fewer and still not be the last, and a full one
            leads on even where nothing follows.
        after: goes on where an earlier page ended.
        in_index: reads the index, which is only eventually consistent, holds keys alone, and has no order
            among equal sort keys; the table is read consistently.
        newest_first: reads from the largest sort key down.
    """

    partition: str
    prefix: str = ""
    limit: int = 100
    after: Position | None = None
    in_index: bool = False
    newest_first: bool = False


@frozen
class Scan:
    """Read one page of a segment of the whole table, strongly consistent. Outcome: :class:`Page`.

    Only items whose partition key begins with ``prefix`` and that have the ``attribute`` are in the page, without
    any of their attributes; all that were looked at are counted and billed. ``limit`` is the most that are
    looked at for a page.
    """

    segment: int
    segments: int
    prefix: str
    attribute: str
    limit: int
    after: Position | None = None


type Operation = Update | Put | Delete | Transact | BatchGet | Get | Query | Scan


# --- outcomes --------------------------------------------------------------------------------------


@frozen
class Applied:
    """The write happened. ``item`` is the whole item after it; None after a transaction and a deletion."""

    item: Item | None


@frozen
class Refused:
    """The condition did not hold. ``item`` is the item that refused, or None where there is none."""

    item: Item | None


@frozen
class Cancelled:
    """The transaction did not happen; for each action the refusal, or None where the action itself was fine."""

    refusals: tuple[Refused | None, ...]


@frozen
class Found:
    """The items that exist among the keys asked for."""

    items: Mapping[Key, Item]


@frozen
class Page:
    """Items in order, and where to go on; ``next`` is None at the end. ``scanned`` counts those looked at."""

    items: tuple[tuple[Key, Item], ...]
    next: Position | None
    scanned: int


@frozen
class Failed:
    """The operation has no answer, within the caller's time."""

    error: StoreError


type Outcome = Applied | Refused | Cancelled | Found | Page | Failed

type Flow[T] = Generator[tuple[Operation, ...], tuple[Outcome, ...], T]
"""A use case: every ``yield`` is one round trip; what it returns is the answer."""
