"""A durable lease: one that is stored with what it spent, so that any process of its owner can end it, once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from .errors import LeaseNotFound
from .flows.ending import Ending, LeaseRef
from .flows.tickets import MAX_TICKET_LENGTH, InvalidTicket, read_ticket
from .identifiers import check_amounts, check_integer
from .results import LeaseEnd, Renewal

MAX_EXPIRES_S: Final = 7 * 86_400
_NAME_LENGTH: Final = 22
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)

type End = Callable[[Ending], LeaseEnd]
"""Ends a lease, once."""


class Renew(Protocol):
    """Lets a lease go on, by default as long as it was acquired for."""

    def __call__(self, lease: LeaseRef, expires_in_ms: int | None, /) -> Renewal:
        """Return until when."""
        ...


class DurableLease:
    """A lease by its id, wherever it was acquired; nothing is asked of the table until it is ended or renewed.

    Every method is one round trip where the id says what was granted, as it does unless ids are very long; and two
    otherwise. Each raises :class:`LeaseNotFound` for a lease that does not exist or is another caller's,
    :class:`LeaseExpired` for one whose time was over, and :class:`StoreError`; then call it again.

    Attributes:
        id: the lease's id.
    """

    def __init__(self, lease_id: str, owner: str, end: End, renew: Renew) -> None:
        """Name a lease; raises :class:`LeaseNotFound` for what can be no id."""
        self.id = lease_id
        self._lease = refer(lease_id, owner)
        self._end = end
        self._renew = renew

    def settle(self, actual: Mapping[str, int] | None = None) -> LeaseEnd:
        """End the lease with what was really used, by limit name; names that are not given keep what was acquired.

        Once: settled again, or after it was released, it returns how it ended. What was used beyond what is there
        becomes debt. Raises :class:`InvalidRequest` for names that are no limits of tokens.
        """
        amounts = check_amounts("actual", actual) if actual else {}
        return self._end(Ending(self._lease, "settled", amounts))

    def release(self) -> LeaseEnd:
        """End the lease and give everything back; once, as :meth:`settle`."""
        return self._end(Ending(self._lease, "released"))

    def renew(self, expires_in: int | None = None) -> Renewal:
        """Let the lease go on for ``expires_in`` seconds from now, by default as long as it was acquired for.

        What it holds of concurrency limits it holds for another ``lease_seconds``.
        """
        if expires_in is not None:
            check_integer("expires_in", expires_in, 1, MAX_EXPIRES_S)
        return self._renew(self._lease, None if expires_in is None else expires_in * 1000)


def refer(lease_id: object, owner: str) -> LeaseRef:
    """Take a lease's id apart; raise :class:`LeaseNotFound` for what can be none."""
    if not isinstance(lease_id, str) or len(lease_id) > MAX_TICKET_LENGTH + 23:
        raise LeaseNotFound(_shown(lease_id))
    name, _, ticket = lease_id.partition(".")
    if not _NAME.fullmatch(name):
        raise LeaseNotFound(_shown(lease_id))
    try:
        said = read_ticket(ticket)
    except InvalidTicket:
        return LeaseRef(name, None, None, owner)  # what it says is in the table as well
    return LeaseRef(name, ticket, said.grant, owner, said.ends_at_ms)


def _shown(lease_id: object) -> str:
    """Return what an error may repeat of an id: its name, in characters that no log takes for anything else."""
    return ascii(str(lease_id).partition(".")[0][:_NAME_LENGTH])[1:-1]


def owner_of(actor: str) -> str:
    """Return a digest of who acts, by which leases and keys are told apart."""
    return hashlib.blake2b(actor.encode(), digest_size=16).hexdigest()
