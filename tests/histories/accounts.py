"""What a history says of itself: for each thing that was asked, what it may have spent, and what was answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

type Spent = Counter[tuple[str, str]]
"""Tokens, signed, by entity and limit."""

type Verdict = Literal["granted", "refused", "unanswered"]


@dataclass
class Account:
    """All that was done in one matter: an acquire without a key and the end of its lease, or all under one key.

    Attributes:
        subject: its name. lease: that of its lease in the table, once it is known.
        ids: the request ids that its writes carried.
        verdicts: how often its acquires ended how.
        spent: what its grant spent at each level, and the end of a lease that is not stored corrected; None before
            a grant.
        asked: the most that it may have spent at any level, by limit.
        ends: how it was told that its stored lease ended, each time.
    """

    subject: str
    is_keyed: bool = False
    lease: str | None = None
    ids: set[str] = field(default_factory=set)
    verdicts: Counter[str] = field(default_factory=Counter)
    spent: dict[str, dict[str, int]] | None = None
    asked: dict[str, int] = field(default_factory=dict)
    ends: list[dict[str, Any]] = field(default_factory=list)

    def dump(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {**asdict(self), "ids": sorted(self.ids), "verdicts": dict(self.verdicts)}

    @staticmethod
    def load(document: Mapping[str, Any]) -> Account:
        """Read what another process dumped."""
        return Account(
            **{**document, "ids": set(document["ids"]), "verdicts": Counter(document["verdicts"])},
        )

    def merge(self, other: Account) -> None:
        """Take in what somebody else did in the same matter."""
        assert (self.subject, self.asked) == (other.subject, other.asked)
        self.ids |= other.ids
        self.verdicts += other.verdicts
        self.ends += other.ends
        self.spent = other.spent if self.spent is None else self.spent
        self.lease = other.lease if self.lease is None else self.lease
        assert other.spent in (None, self.spent), "one key is granted one thing"
        assert other.lease in (None, self.lease), "one key has one lease"

    def net(self) -> Spent:
        """Return what it spent, by entity and limit."""
        spent = self.spent or {}
        return without_zeros({(entity, name): n for entity, names in spent.items() for name, n in names.items()})


def without_zeros(spent: Mapping[tuple[str, str], int]) -> Spent:
    """Leave out what is nothing."""
    return Counter({place: tokens for place, tokens in spent.items() if tokens})


def merged(accounts: Iterable[Account]) -> dict[str, Account]:
    """Join the accounts of all processes by subject."""
    found: dict[str, Account] = {}
    for account in accounts:
        if account.subject in found:
            found[account.subject].merge(account)
        else:
            found[account.subject] = account
    return found
