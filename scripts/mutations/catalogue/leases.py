"""Defects of durable leases, their sweep, and the places that leases hold."""

from typing import Final

from scripts.mutations.defect import Defect

_ECONOMY: Final = (
    "tests/simulation/test_leases.py::"
    "test_every_lease_ends_once_with_all_that_it_spent_and_held[limits stay-seeds 0-1]"
)
_CHANGING: Final = (
    "tests/simulation/test_leases.py::"
    "test_every_lease_ends_once_with_all_that_it_spent_and_held[limits change and entities move-seeds 0-1]"
)
_SWEEPING: Final = "tests/unit/test_sweeping.py::"

DEFECTS: Final = (
    Defect(
        "a lease ends without a look whether it has ended",
        "flows/ending.py",
        "            NotExists(schema.LEASE_ENDED),\n",
        "",
        (_ECONOMY,),
    ),
    Defect(
        "two sweeps end a lease twice",
        "flows/ending.py",
        "            NotExists(schema.LEASE_ENDED),\n",
        "            *([] if self._lease.owner is None else [NotExists(schema.LEASE_ENDED)]),\n",
        (_SWEEPING + "test_two_sweeps_at_once_end_nothing_twice",),
    ),
    Defect(
        "the sweep ends a lease that was renewed meanwhile",
        "flows/ending.py",
        "            conditions.append(leasing.expired(now_ms))\n",
        "            pass\n",
        (_SWEEPING + "test_a_lease_that_is_renewed_under_the_sweep_goes_on",),
    ),
    Defect(
        "the sweep counts what another sweep ended",
        "flows/sweeping.py",
        "if isinstance(end, LeaseEnd) and not end.is_repeated]",
        "if isinstance(end, LeaseEnd)]",
        (_SWEEPING + "test_two_sweeps_at_once_end_nothing_twice",),
    ),
    Defect(
        "a lease that ended stays among those to be swept",
        "flows/ending.py",
        "            Remove(schema.GSI1PK),\n            Remove(schema.GSI1SK),\n",
        "",
        (_SWEEPING + "test_a_lease_that_keeps_its_tokens_ends_all_the_same",),
    ),
    Defect(
        "a holder leaves and is counted still",
        "flows/holding.py",
        "        changes.append(Add(schema.held_attribute(name), -len(leaving)))\n",
        "        pass\n",
        (_ECONOMY, "tests/unit/test_concurrency_limits.py::test_a_lease_that_ends_frees_its_place"),
    ),
    Defect(
        "one place more is let in than there are",
        "flows/holding.py",
        "room = limit.capacity - len(entering)",
        "room = limit.capacity - len(entering) + 1",
        (_ECONOMY,),
    ),
    Defect(
        "a key that was used grants again",
        "flows/leasing.py",
        "unused = AnyOf((ItemAbsent(), Below(schema.EXPIRES_AT, now_ms // 1000)))",
        "unused = None",
        ("tests/unit/test_durable_leases.py::test_the_same_key_again_returns_what_was_granted_first",),
    ),
    Defect(
        "a lease is renewed whose time is over",
        "flows/renewing.py",
        "            leasing.not_expired(now_ms),\n",
        "",
        (_ECONOMY,),
    ),
    Defect(
        "a place is taken from somebody whose time is not over",
        "flows/holding.py",
        "leaving = concurrency.lapsed(present, now_ms)[: min(in_the_way, most)]",
        "leaving = list(present)[: min(in_the_way, most)]",
        (_ECONOMY,),
    ),
    Defect(
        "a limit that is gone leaves behind what was spent of it",
        "flows/lifecycle.py",
        "(schema.tat_attribute(name), schema.used_attribute(name), schema.refused_attribute(name))",
        "(schema.tat_attribute(name), schema.refused_attribute(name))",
        (_CHANGING,),
    ),
)
