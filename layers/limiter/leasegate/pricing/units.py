"""What each kind of call costs in capacity units: formulas, which a test holds to what a meter counts.

With b(i) the write units of the bucket at level i of a cascade, 0 for the entity that acquires, and B their sum:

    granted                      B
    refused by the table         2 B - min b     one level refuses, at least; what the others spent they give back
    guessed wrong                max b more      a second try, of one level
    corrected                    B               a lease of the process, settled to what was really used
    adjusted                     B, or 2 B       without a lease; a cascade is a transaction, and pays twice
    lease granted, or ended      2 (B + l)       a transaction with the lease's item of l units; one unit more for
                                                 its entry in the index, where it expires
    bucket created               2 n + 6 - b     in place of the write that it makes up for: a transaction of the
                                                 new bucket (n units), the entity's record and two checks
    bucket read for the first    6, and 4 for    the bucket, its entity's record and limits, and the defaults;
    time by a process            each ancestor   of an ancestor all but the defaults

The units of an item are those of :mod:`leasegate.repository.sizes`: one for each KB that is begun, and for reads
each 4 KB.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..flows import reading
from ..repository.sizes import write_units
from .shapes import Family

_TRANSACTION_FACTOR: Final = 2
_CREATED_BESIDE: Final = 3
"""The entity's record, and checks on both of its own limits."""
_DEFAULTS_READ: Final = len(reading.defaults_keys("resource"))
_LEVEL_READ: Final = len(reading.entity_keys("entity", "resource"))


class Levels(NamedTuple):
    """The units of one entity and its ancestors: what a call of theirs costs.

    Attributes:
        buckets: the write units of each level's bucket at its fullest, the acquiring entity's first.
        newborn: those of the entity's bucket as it is created.
        lease, ended: those of a durable lease that is open, and of one that is settled.
    """

    buckets: tuple[int, ...]
    newborn: int
    lease: int
    ended: int

    @classmethod
    def of(cls, family: Family) -> Levels:
        """Size the items of a family."""
        shape = family.shape
        leases = [write_units(*family.lease(expires=True, ended=ended)) for ended in (False, True)]
        return cls(
            tuple([write_units(shape.key(n), family.fullest_bucket(n)) for n in range(family.levels)]),
            write_units(shape.key(), family.newborn_bucket()),
            *leases,
        )

    @property
    def granted(self) -> int:
        """Write units of a grant."""
        return sum(self.buckets)

    @property
    def refused(self) -> int:
        """Write units of a refusal by the table."""
        return 2 * self.granted - min(self.buckets)

    @property
    def second_try(self) -> int:
        """Write units that a wrong guess adds."""
        return max(self.buckets)

    @property
    def corrected(self) -> int:
        """Write units of settling a lease of the process."""
        return self.granted

    @property
    def adjusted(self) -> int:
        """Write units of an adjustment without a lease."""
        return self.granted if len(self.buckets) == 1 else _TRANSACTION_FACTOR * self.granted

    def stored(self, *, expires: bool) -> int:
        """Return the write units of granting a durable lease."""
        return _TRANSACTION_FACTOR * (self.granted + self.lease) + expires

    def closed(self, *, expires: bool) -> int:
        """Return the write units of ending one."""
        return _TRANSACTION_FACTOR * (self.granted + self.ended) + expires

    @property
    def created(self) -> int:
        """Write units that the creation of the entity's bucket adds to its first grant."""
        return _TRANSACTION_FACTOR * (self.newborn + _CREATED_BESIDE) - self.buckets[0]

    @property
    def read(self) -> int:
        """Read units of a process that knows nothing of the family."""
        return _LEVEL_READ * len(self.buckets) + _DEFAULTS_READ

    @property
    def renewed(self) -> int:
        """Read units of renewing what is known of a resource."""
        return _DEFAULTS_READ
