"""What a table says of a history, by its stream and its items, and whether that is what the accounts say."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from leasegate import schema
from leasegate.flows.leasing import StoredLease, parse_lease
from leasegate.operations import Item, Key
from leasegate.repository.wire import decode_item, decode_key
from leasegate.simulation.ledger import Ledger
from leasegate.stream import StreamRecord, sequence_number
from tests.histories.accounts import Account, Spent, merged, without_zeros
from tests.histories.witness import REQUEST_ATTRIBUTES

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass
class Books:
    """Follows the records of a table, of buckets and leases, in the order in which each item changed.

    Attributes:
        spent: the tokens that the writes under each request id spent, the first time that they were applied.
        twice: what repetitions spent besides, that were not recognised; ``repetitions`` counts them.
        ends: how often each lease ended.
    """

    ledger: Ledger = field(default_factory=Ledger)
    spent: dict[str, Spent] = field(default_factory=lambda: defaultdict(Counter))
    twice: Spent = field(default_factory=Counter)
    repetitions: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    items: dict[Key, Item] = field(default_factory=dict)
    _applied: set[tuple[Key, str]] = field(default_factory=set)

    def follow(self, records: Iterable[StreamRecord]) -> None:
        """Take in a stream from its beginning, and check every write."""
        for record in sorted(records, key=lambda record: int(sequence_number(record))):
            content = record["dynamodb"]
            key = decode_key(content["Keys"])
            before = decode_item(content["OldImage"]) if "OldImage" in content else None
            after = decode_item(content["NewImage"])
            assert self.items.get(key) == before, f"the stream of {key} has a gap"
            self.items[key] = after
            if key.pk.startswith("BUCKET#"):
                self._follow_bucket(key, before or {}, after)
            else:
                self._follow_lease(key, before, after)

    def _follow_bucket(self, key: Key, before: Item, after: Item) -> None:
        self.ledger.follow(key, after)  # never more than the limit
        entity_id, _ = schema.bucket_of(key)
        difference = without_zeros(
            {(entity_id, name[2:]): used(after, name) - used(before, name) for name in after if name[:2] == "u."}
        )
        came = {str(after[x]) for x in REQUEST_ATTRIBUTES if x in after and after[x] != before.get(x)}
        gone = {str(before[x]) for x in REQUEST_ATTRIBUTES if x in before and x not in after}
        assert len(came) <= 1
        if not difference:
            return
        # What is undone takes its id along.
        assert came or gone, f"{key} was charged again under an id that it remembers: {dict(difference)}"
        (request_id,) = came or gone
        if came and (key, request_id) in self._applied:
            self.repetitions += 1
            self.twice.update(difference)
            return
        self._applied.add((key, request_id))
        self.spent[request_id].update(difference)

    def _follow_lease(self, key: Key, before: Item | None, after: Item) -> None:
        is_over = before is not None and parse_lease(before).end is not None
        assert not is_over, "what has ended does not change again"
        if parse_lease(after).end is not None:
            self.ends[schema.lease_of(key)] += 1

    def leases(self) -> dict[str, StoredLease]:
        """Return all that are stored, by name."""
        return {
            schema.lease_of(key): parse_lease(item)
            for key, item in self.items.items()
            if key.pk.startswith("LEASE#")
        }

    def charged(self) -> Spent:
        """Return what the buckets say was spent."""
        return without_zeros(
            {
                (schema.bucket_of(key)[0], name[2:]): used(item, name)
                for key, item in self.items.items()
                if key.pk.startswith("BUCKET#")
                for name in item
                if name[:2] == "u."
            }
        )


@dataclass(frozen=True, slots=True)
class Balance:
    """How many matters were granted; how many had no answer, or were refused, and spent nevertheless."""

    granted: int
    unanswered_spent: int
    refused_spent: int
    repetitions: int


def balance(books: Books, accounts: Iterable[Account]) -> Balance:
    """Hold every account to what the table says was spent in its matter, and the table to the accounts."""
    subjects = merged(accounts)
    leases = books.leases()
    claimed: set[str] = set()
    open_ends: Counter[str] = Counter()
    total: Spent = Counter(books.twice)
    for account in subjects.values():
        assert not claimed & account.ids
        claimed |= account.ids
        spent: Spent = Counter()
        for request_id in account.ids & books.spent.keys():
            spent.update(books.spent[request_id])
        spent = without_zeros(spent)
        total.update(spent)
        if account.verdicts["granted"]:
            open_ends["granted"] += 1
            expected = account.net()
            if account.lease is not None:
                stored = leases[account.lease]
                assert account.net() == granted(stored), f"{account.subject}: the lease says otherwise"
                check_ends(account, stored, books.ends[account.lease])
                expected = final(stored)
            assert spent == expected, f"{account.subject} spent {spent}, and was told of {expected}"
        elif spent:
            assert all(0 <= tokens <= account.asked[name] for (_, name), tokens in spent.items()), account.subject
            open_ends["unanswered" if account.verdicts["unanswered"] else "refused"] += 1
    assert books.spent.keys() <= claimed, "something was spent in nobody's name"
    assert without_zeros(total) == books.charged()
    return Balance(open_ends["granted"], open_ends["unanswered"], open_ends["refused"], books.repetitions)


def check_ends(account: Account, stored: StoredLease, ends: int) -> None:
    """Hold a lease to having ended once, as everybody was told who ended it."""
    assert ends == 1
    assert stored.end is not None
    told = {"outcome": stored.end.outcome, "consumed": dict(stored.end.consumed), "at_ms": stored.end.at_ms}
    assert account.ends
    assert all(each == told for each in account.ends), account.subject


def granted(stored: StoredLease) -> Spent:
    """Return what a lease was granted at all levels."""
    return without_zeros(
        {
            (charge.entity_id, name): tokens
            for charge in stored.read().grant.charges
            for name, tokens in charge.tokens.items()
        }
    )


def final(stored: StoredLease) -> Spent:
    """Return what a lease has spent at all levels now that it is over."""
    assert stored.end is not None
    if stored.end.outcome == "released":
        return Counter()
    return without_zeros(
        {
            (charge.entity_id, name): stored.end.consumed.get(name, tokens)
            for charge in stored.read().grant.charges
            for name, tokens in charge.tokens.items()
        }
    )


def used(item: Item, attribute: str) -> int:
    """Return a counter of a bucket."""
    return cast("int", item.get(attribute, 0))


def scan(client: DynamoDBClient, table: str) -> dict[Key, Item]:
    """Read a whole table."""
    pages = client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return {decode_key(item): decode_item(item) for page in pages for item in page["Items"]}


def check_table(books: Books, items: Mapping[Key, Item]) -> None:
    """Hold the stream to the table that it leads to, and the registry of resources to their defaults."""
    assert books.items == {key: item for key, item in items.items() if key.pk.startswith(FOLLOWED)}
    with_defaults = {
        schema.resource_of_defaults(key) for key in items if key.pk.startswith(schema.RESOURCE_PREFIX)
    }
    registry = items.get(schema.registry_key(), {}).get(schema.REGISTRY_RESOURCES, frozenset())
    assert set(cast("frozenset[str]", registry)) == with_defaults


FOLLOWED = ("BUCKET#", "LEASE#")
"""What the partition keys of the items begin with that are followed."""


def batches(records: Sequence[StreamRecord], size: int, overlap: int) -> list[Sequence[StreamRecord]]:
    """Cut a stream into batches each of which repeats the end of the one before."""
    return [records[max(0, start - overlap) : start + size] for start in range(0, len(records), size)]
