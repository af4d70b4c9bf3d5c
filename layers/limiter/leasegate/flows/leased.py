"""The write of a durable lease: all that it spends, and the lease itself, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping

from .. import schema
from ..operations import Applied, BatchGet, Cancelled, Failed, Flow, Item, Key, Transact
from . import leasing, reading
from .grants import Grant, Terms
from .learning import Learner
from .levels import Level, Write
from .tickets import write_ticket


class LeaseWriter:
    """Writes one lease under its terms, and finds what was granted under its key before.

    ``is_unsure`` tells that the lease may or may not have been written: if it was, what it says was spent.
    """

    def __init__(self, terms: Terms, learner: Learner) -> None:
        """Write nothing yet."""
        self.is_unsure = False
        self._terms = terms
        self._learner = learner
        self._now_ms = learner.request.now_ms
        # A key that the caller chose may have been used; a name that was made for this lease was not.
        self._is_new = terms.key is None

    @property
    def keys(self) -> tuple[Key, ...]:
        """What is to be read to find out whether the key was used; nothing where that is known."""
        return () if self._is_new else (schema.lease_key(self._terms.lease),)

    def recall(self) -> Flow[Grant | None]:
        """Return what was granted before under the key; None where nothing was, or that is known already."""
        if not self.keys:
            return None
        (outcome,) = yield (BatchGet(self.keys),)
        return self.find(reading.found(outcome))

    def find(self, items: Mapping[Key, Item]) -> Grant | None:
        """Return what was granted before under the key, out of a complete read of :attr:`keys`."""
        for key in self.keys:
            if key in items:
                stored = leasing.parse_lease(items[key])
                if not stored.is_forgotten(self._now_ms):
                    return leasing.replay(stored, self._terms)
        self._is_new = True
        return None

    def write(self, grant: Grant, writes: list[tuple[Level, Write]], token: str) -> Flow[Grant | None]:
        """Write what is about to be granted; None where something stood against it, and was learned.

        Returns what was granted before where the key was used. Raises :class:`IdempotencyConflict`,
        :class:`StoreError`.
        """
        planner = self._learner.planner
        refresh = planner.belief.due_refresh()
        if refresh is not None and planner.belief.is_unknown:
            # What is spent with the lease could not be taken back alone, so the resource's state comes first.
            (outcome,) = yield (refresh,)
            reading.found(outcome)
            planner.belief.learn(refresh, outcome)
            planner.fresh_defaults = planner.belief.fresh
            return None
        ticket = write_ticket(grant, self._terms.ends_at_ms)
        put = leasing.put_lease(self._terms, ticket, self._now_ms)
        transact = Transact((*(action for _, write in writes for action in write.actions), put), token)
        outcome, *others = yield (transact, refresh) if refresh else (transact,)
        if refresh:
            planner.belief.learn(refresh, others[0])
        if isinstance(outcome, Failed):
            self.is_unsure = outcome.error.maybe_applied
            raise outcome.error
        if isinstance(outcome, Cancelled):
            *refusals, refused = outcome.refusals
            if refused is not None and refused.item is not None:
                return leasing.replay(leasing.parse_lease(refused.item), self._terms)
            self._is_new = True
            outcome = Cancelled(tuple(refusals))
        self._learner.judge(writes, outcome)
        is_written = isinstance(outcome, Applied)
        return leasing.granted(self._terms, grant, ticket, self._terms.ends_at_ms) if is_written else None
