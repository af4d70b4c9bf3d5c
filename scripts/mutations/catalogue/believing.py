"""Defects of what a process believes: stamps and marks, defaults, refusals, and how long a bucket lives."""

from typing import Final

from scripts.mutations.defect import Defect

_CHANGES: Final = "tests/simulation/test_changes.py::test_whoever_acquires_after_a_change_obeys_it[seeds 0-5]"
_LIFETIMES: Final = "tests/unit/test_lifetimes.py::"

DEFECTS: Final = (
    Defect(
        "a charge does not ask for the stamp",
        "flows/spending.py",
        """    conditions: list[Condition] = [Equals(schema.STAMP, state.stamp)]
    if hold_parent:
        conditions.append(as_read(schema.PARENT, state.parent_id))
    changes: list[Change] = [Add(schema.GRANTS, grants)]
    for""",
        """    conditions: list[Condition] = []
    if hold_parent:
        conditions.append(as_read(schema.PARENT, state.parent_id))
    changes: list[Change] = [Add(schema.GRANTS, grants)]
    for""",
        (_CHANGES,),
    ),
    Defect(
        "limits that were read together with a mark are believed",
        "flows/planning.py",
        "if level.reading is None or level.mark != mark:",
        "if level.reading is None:",
        (_CHANGES,),
    ),
    Defect(
        "an ancestor that had no limits when an acquire began has none when it ends",
        "flows/planning.py",
        "        level.limited = True  # unless its record says otherwise, as it may have done in the last turn\n",
        "",
        ("tests/unit/test_cascades.py::test_limits_that_a_parent_gets_meanwhile_are_given_back_too",),
    ),
    Defect(
        "a rebase does not ask for the very mark that was seen",
        "flows/lifecycle.py",
        "conditions = [Equals(schema.STAMP, seen.stamp), Equals(schema.VERSION, seen.version)]",
        "conditions: list[Condition] = [ItemExists()]",
        (_CHANGES,),
    ),
    Defect(
        "a bucket is created without a look at its limits",
        "flows/lifecycle.py",
        """        Check(schema.entity_limits_key(entity_id, resource), _as_read(reading.for_resource)),
        Check(schema.entity_limits_key(entity_id, None), _as_read(reading.for_all)),
""",
        "",
        ("tests/unit/test_races.py::test_a_bucket_is_not_created_under_limits_that_were_replaced_meanwhile",),
    ),
    Defect(
        "a change does not tell the buckets",
        "flows/limits_admin.py",
        "    yield from tell_buckets(entity_id, signature.at_ms)\n",
        "",
        (_CHANGES,),
    ),
    Defect(
        "a refusal is remembered for ever",
        "knowledge.py",
        "return refused_at_ms is not None and abs(now_ms - refused_at_ms) < self._refusal_age_ms",
        "return refused_at_ms is not None",
        ("tests/unit/test_knowledge.py::test_a_refusal_answers_for_its_age_and_ends_when_tokens_come_back",),
    ),
    Defect(
        "defaults are believed past their age",
        "knowledge.py",
        "if aged is None or abs(now_ms - aged.read_at_ms) >= self._max_age_ms:",
        "if aged is None:",
        (
            "tests/unit/test_knowledge.py::test_defaults_are_believed_for_their_age_only",
            _LIFETIMES + "test_a_process_that_was_idle_does_not_spend_under_a_default_of_long_ago",
        ),
    ),
    Defect(
        "a charge does not extend the life of its bucket",
        "flows/spending.py",
        """    else:
        _extend(changes, conditions, needed_s + GRACE_S)
    return _bucket_update(key, changes, conditions, request)
""",
        """    return _bucket_update(key, changes, conditions, request)
""",
        (_LIFETIMES + "test_a_bucket_that_is_spent_from_lives_on",),
    ),
    Defect(
        "a charge does not ask how long its bucket lives",
        "flows/spending.py",
        """    needed_s = covering_s(state.limits, request.now_ms)
    if state.expires_at_s >= needed_s:
        conditions.append(AtLeast(schema.EXPIRES_AT, needed_s))
    else:
""",
        """    needed_s = covering_s(state.limits, request.now_ms)
    if state.expires_at_s < needed_s:
""",
        (_LIFETIMES + "test_a_bucket_that_lives_shorter_than_was_believed_is_given_time_by_the_next_charge",),
    ),
    Defect(
        "a debt does not ask how long its bucket lives",
        "flows/spending.py",
        "        conditions.append(AtLeast(schema.EXPIRES_AT, covered_s))\n",
        "        pass\n",
        (_LIFETIMES + "test_a_bucket_that_lives_shorter_than_was_believed_is_given_time_by_a_debt",),
    ),
    Defect(
        "defaults change without the registry",
        "flows/limits_admin.py",
        "action, resource, (registry,))",
        "action, resource)",
        (
            "tests/unit/test_limits_administration.py::"
            "test_the_registry_follows_the_defaults_in_the_same_transaction",
        ),
    ),
    Defect(
        "an ancestor is believed to limit nothing of what is asked for",
        "flows/planning.py",
        "if amounts else self._plan_by_record(level)",
        "if amounts and level.own else self._plan_by_record(level)",
        (_CHANGES,),
    ),
    Defect(
        "a refusal is believed to have led where a hint leads",
        "flows/climbing.py",
        "return known is not None and known.parent_id == level.parent_id",
        "return known is not None",
        (
            "tests/unit/test_disabled_ancestors.py::"
            "test_a_hint_at_a_disabled_entity_is_not_believed_for_what_another_thread_was_refused",
        ),
    ),
    Defect(
        "whoever moves takes along no descendants but itself",
        "flows/family.py",
        "for below, count in enumerate((1, *self.own.descendants)):",
        "for below, count in enumerate((1,)):",
        (
            "tests/simulation/test_families.py::"
            "test_families_stay_trees_of_four_levels_whose_descendants_are_counted[seeds 0-14]",
        ),
    ),
)
