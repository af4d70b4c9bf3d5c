"""Defects of admission: the arithmetic, the branches of a charge, the cascade."""

from typing import Final

from scripts.mutations.defect import Defect

_HISTORIES: Final = (
    "tests/simulation/test_simulator.py::test_no_history_under_all_faults_breaks_what_must_hold[seeds 0-9]"
)

# At v == N both branches leave N + cost, so AtMost in place of Below in the idle branch would be no defect: there
# the off-by-ones are in the busy branch, in the guess, and one further on.

DEFECTS: Final = (
    Defect(
        "the busy branch has no upper bound",
        "flows/spending.py",
        "conditions.append(Between(attribute, now, ceiling - weight))",
        "conditions.append(AtLeast(attribute, now))",
        (_HISTORIES,),
    ),
    Defect(
        "the busy branch leaves v == N out",
        "flows/spending.py",
        "Between(attribute, now, ceiling - weight)",
        "Between(attribute, now + 1, ceiling - weight)",
        ("tests/unit/test_branches.py::test_a_bucket_that_is_just_full_again_is_spent_from_in_one_round_trip",),
    ),
    Defect(
        "v == N is guessed to be idle, which the condition denies",
        "flows/spending.py",
        "if tat is None or tat < now:",
        "if tat is None or tat <= now:",
        ("tests/unit/test_branches.py::test_a_bucket_that_is_just_full_again_is_spent_from_in_one_round_trip",),
    ),
    Defect(
        "the idle branch forgets the last debt before v == N",
        "flows/spending.py",
        "AnyOf((NotExists(attribute), Below(attribute, now)))",
        "AnyOf((NotExists(attribute), AtMost(attribute, now + 1)))",
        ("tests/unit/test_branches.py::test_the_smallest_debt_is_not_forgotten_by_who_believes_the_bucket_idle",),
    ),
    Defect(
        "what is just there is refused",
        "bucket.py",
        "return _busy_until(limit, tat, now_ms) + cost * limit.period_ms <= _ceiling(limit, now_ms)",
        "return _busy_until(limit, tat, now_ms) + cost * limit.period_ms < _ceiling(limit, now_ms)",
        (
            "tests/unit/test_bucket.py::"
            "test_a_new_bucket_grants_exactly_its_capacity_then_one_more_after_the_retry_time",
        ),
    ),
    Defect(
        "the time to retry after is rounded down",
        "bucket.py",
        "return max(0, -(-missing // limit.amount))",
        "return max(0, missing // limit.amount)",
        (
            "tests/unit/test_bucket.py::test_a_new_bucket_grants_exactly_its_capacity_then_one_more_after_the_retry_time",
        ),
    ),
    Defect(
        "other limits round a debt down",
        "bucket.py",
        "return now_ms * new.amount - (-debt * new.period_ms // old.period_ms)",
        "return now_ms * new.amount + debt * new.period_ms // old.period_ms",
        ("tests/unit/test_bucket.py::test_other_limits_never_forgive_a_part_of_a_debt",),
    ),
    Defect(
        "a refused parent leaves the child without its tokens",
        "flows/acquire.py",
        "charged = [level for level in levels if level.charged]",
        "charged: list[Level] = []",
        (_HISTORIES,),
    ),
    Defect(
        "a cascade ends at the second level",
        "flows/climbing.py",
        "entity_id = level.parent_id if self._ask.cascade else None",
        "entity_id = level.parent_id if self._ask.cascade and len(path) < 2 else None",
        ("tests/unit/test_cascades.py::test_a_grant_spends_at_every_one_of_four_levels",),
    ),
    Defect(
        "a parent that was only hinted at is trusted",
        "flows/spending.py",
        """    if hold_parent:
        conditions.append(as_read(schema.PARENT, state.parent_id))
    changes: list[Change] = [Add(schema.GRANTS, grants)]
    for""",
        """    changes: list[Change] = [Add(schema.GRANTS, grants)]
    for""",
        ("tests/unit/test_cascades.py::test_a_parent_that_was_only_hinted_at_is_not_charged",),
    ),
)
