"""One thread that spends through the library on a network in trouble, and keeps account of what it was told."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from leasegate import (
    InvalidRequest,
    LeasegateError,
    Limiter,
    RateLimitExceeded,
    StoreError,
)
from leasegate.flows.grants import Cascade
from leasegate.lease import Lease
from tests.histories.accounts import Account
from tests.histories.population import (
    KEYS,
    LIMITED,
    LONE,
    OTHER_RESOURCES,
    PROJECTS,
    RESOURCE,
    SPENDERS,
    any_limits,
)
from tests.histories.witness import Witness

CONSUMES: Final = ({"rpm": 1, "tpm": 40}, {"tpm": 100}, {"rpm": 1, "tpm": 0}, {"rpm": 2})
CASCADES: Final[tuple[Cascade, ...]] = (True, True, True, False, "transaction")
TIMEOUT_MS: Final = 60_000
"""So long that no machine is too slow; it is the repository that gives up, by lot."""
MOST_REPEATS: Final = 100
KINDS: Final = (*("acquire",) * 6, *("key",) * 5, "durable", "end", "end", "end", "change")


@dataclass
class Spender:
    """Acquires, in every way there is, ends leases and changes limits.

    Attributes:
        limiter: the process's. witness: what stands beside its repository.
        number: tells it from the others; every second two share their idempotency keys.
        refusals_checked: how many refusals were held to the state that they rest on.
    """

    limiter: Limiter
    witness: Witness
    seed: int
    number: int
    accounts: list[Account] = field(default_factory=list)
    refusals_checked: int = 0
    refusals_remembered: int = 0
    _held: list[tuple[Lease, Account]] = field(default_factory=list)
    _stored: list[tuple[str, Account, dict[str, int]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = Random(f"{self.seed}:{self.number}")
        # Whoever shares keys asks for the same under them.
        self._shared = Random(f"{self.seed}:pair {self.number // 2}")
        self._numbers = itertools.count()
        self._keys = itertools.count()

    def spend(self, actions: int) -> None:
        """Do so many things, then end every lease that is left."""
        for _ in range(actions):
            match self._random.choice(KINDS):
                case "acquire":
                    self._acquire()
                case "key":
                    self._acquire_under_key()
                case "durable":
                    self._acquire(durable=True)
                case "end":
                    self._end_one()
                case "change":
                    self._change()
        while self._held or self._stored:
            self._end_one()

    # --- acquires ------------------------------------------------------------------------------------

    def _acquire(self, *, durable: bool = False) -> None:
        consume = self._random.choice(CONSUMES)
        account = self._open(f"call {self.number}.{next(self._numbers)}", consume)
        cascade = self._random.choice(CASCADES)
        hint = self._random.choice((None, None, *PROJECTS))
        entity_id = self._random.choice(SPENDERS)

        def acquire() -> Lease:
            return self.limiter.acquire(
                entity_id,
                RESOURCE,
                consume,
                parent_id=hint,
                cascade=cascade,
                durable=durable,
                timeout_ms=TIMEOUT_MS,
            )

        lease = self._ask(account, acquire, consume)
        if lease is None:
            return
        if lease.id is not None:
            # Whoever had no answer does not know its name, so nobody ends it.
            self._stored.append((lease.id, account, consume))
        else:
            self._held.append((lease, account))

    def _acquire_under_key(self) -> None:
        """Ask until there is an answer, and sometimes once more."""
        key = f"pair-{self.number // 2}-{next(self._keys)}"
        consume = self._shared.choice(CONSUMES)
        entity_id = self._shared.choice(SPENDERS)
        cascade = self._shared.choice(CASCADES)
        account = self._open(f"key {key}", consume)
        account.is_keyed = True

        def acquire() -> Lease:
            return self.limiter.acquire(
                entity_id, RESOURCE, consume, cascade=cascade, idempotency_key=key, timeout_ms=TIMEOUT_MS
            )

        for _ in range(MOST_REPEATS):
            lease = self._ask(account, acquire, consume)
            if account.verdicts["granted"] + account.verdicts["refused"]:
                break
        else:
            raise AssertionError(f"{key} was never answered")
        if lease is not None and self._random.random() < 0.3:
            again = self._ask(account, acquire, consume)
            assert again is None or again.is_replayed
        if lease is not None:
            assert lease.id is not None
            self._stored.append((lease.id, account, consume))

    def _ask(self, account: Account, acquire: Callable[[], Lease], consume: dict[str, int]) -> Lease | None:
        """Make an acquire, and enter how it ended; None where it was not granted."""
        self.witness.forget()
        try:
            lease = acquire()
        except RateLimitExceeded as error:
            account.verdicts["refused"] += 1
            if hasattr(error, "__notes__"):
                account.verdicts["unanswered"] += 1  # the table did not answer when it was to take tokens back
            if error.cached:
                self.refusals_remembered += 1
            else:
                self.refusals_checked += self.witness.check_refusal(error, RESOURCE, consume)
            return None
        except StoreError:
            account.verdicts["unanswered"] += 1
            return None
        finally:
            account.ids |= self.witness.ids
        account.verdicts["granted"] += 1
        charges = lease._grants[0].charges
        spent = {charge.entity_id: dict(charge.tokens) for charge in charges if charge.tokens}
        assert account.spent in (None, spent)
        account.spent = spent
        if lease.id is not None:
            account.lease = lease.id.partition(".")[0]
        return lease

    def _open(self, subject: str, consume: dict[str, int]) -> Account:
        account = Account(subject, asked=dict(consume))
        self.accounts.append(account)
        return account

    # --- ends ----------------------------------------------------------------------------------------

    def _end_one(self) -> None:
        if self._held and (not self._stored or self._random.random() < 0.5):
            lease, account = self._held.pop(self._random.randrange(len(self._held)))
            self._end_here(lease, account)
        elif self._stored:
            self._end_stored(*self._stored.pop(self._random.randrange(len(self._stored))))

    def _end_here(self, lease: Lease, account: Account) -> None:
        assert account.spent is not None
        if self._random.random() < 0.3:
            self._until_answered(account, lease.release)
            account.spent = {}
            return
        name = next(iter(lease.consumed))
        delta = self._random.randint(-lease.consumed[name], 20)
        lease.adjust({name: delta})
        self._until_answered(account, lease.settle)
        for tokens in account.spent.values():
            tokens[name] = tokens.get(name, 0) + delta

    def _end_stored(self, lease_id: str, account: Account, consume: dict[str, int]) -> None:
        """End a lease by its id, from whatever it was granted; who shares a key may have ended it already."""
        lease = self.limiter.lease(lease_id, timeout_ms=TIMEOUT_MS)
        actual = {name: self._random.randint(0, 2 * tokens) for name, tokens in consume.items()}
        releases = self._random.random() < 0.3
        end = self._until_answered(account, lease.release if releases else lambda: lease.settle(actual))
        again = self._until_answered(account, lease.release)
        assert again.is_repeated
        assert (again.outcome, again.consumed, again.at_ms) == (end.outcome, end.consumed, end.at_ms)
        account.ends.append({"outcome": end.outcome, "consumed": dict(end.consumed), "at_ms": end.at_ms})

    def _until_answered[T](self, account: Account, call: Callable[[], T]) -> T:
        for _ in range(MOST_REPEATS):
            self.witness.forget()
            try:
                return call()
            except StoreError:
                continue
            finally:
                account.ids |= self.witness.ids
        raise AssertionError("the end of a lease was never answered")

    # --- administration ------------------------------------------------------------------------------

    def _change(self) -> None:
        """Change limits, defaults or parents; a change that is not answered is left as it may be."""
        choice = self._random
        try:
            match choice.randrange(4):
                case 0 | 1:
                    entity_id = choice.choice(LIMITED)
                    self.limiter.set_limits(entity_id, any_limits(choice, entity_id))
                case 2:
                    self.limiter.move_entity(choice.choice(KEYS), choice.choice(PROJECTS))
                case _ if choice.random() < 0.3:
                    self.limiter.set_resource_defaults(RESOURCE, any_limits(choice, LONE))
                case _:
                    resource = choice.choice(OTHER_RESOURCES)
                    if choice.random() < 0.5:
                        self.limiter.set_resource_defaults(resource, any_limits(choice, LONE))
                    else:
                        self.limiter.delete_resource_defaults(resource)
        except InvalidRequest:
            raise
        except LeasegateError:
            pass


def total(spenders: list[Spender]) -> Counter[str]:
    """Count verdicts of all."""
    counted: Counter[str] = Counter()
    for spender in spenders:
        for account in spender.accounts:
            counted += account.verdicts
        counted["refusals checked"] += spender.refusals_checked
        counted["refusals remembered"] += spender.refusals_remembered
    return counted
