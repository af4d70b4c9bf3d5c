"""Defects of counting usage."""

from typing import Final

from scripts.mutations.defect import Defect

_HISTORY: Final = "tests/simulation/test_usage.py::test_long_histories_are_counted_to_the_token[0]"

DEFECTS: Final = (
    Defect(
        "a repeated batch counts again",
        "flows/grouping.py",
        "if not covers(counted, change.version):",
        "if place >= 0:",
        (_HISTORY, "tests/unit/test_counting.py::test_a_repeated_batch_counts_nothing_twice"),
    ),
    Defect(
        "totals are written over those of another process",
        "flows/counting.py",
        "return Update(group.key, tuple(changes), Equals(schema.USAGE_COVERAGE, before.coverage))",
        "return Update(group.key, tuple(changes))",
        ("tests/unit/test_counting.py::test_a_process_with_an_old_memory_is_corrected_by_the_refusal",),
    ),
    Defect(
        "windows go by the clock of whoever counts",
        "flows/grouping.py",
        "start_ms = window_start_ms(window, change.at_ms)",
        "start_ms = window_start_ms(window, now_ms)",
        (_HISTORY,),
    ),
    Defect(
        "versions that are missing from a batch are taken for counted",
        "flows/grouping.py",
        "if run and change.after > last:",
        "if not run and change.after > last >= 0:",
        ("tests/unit/test_counting.py::test_a_gap_is_not_taken_for_counted",),
    ),
    Defect(
        "what comes back is no less usage",
        "flows/spending.py",
        "        changes.append(Add(schema.used_attribute(name), -tokens))\n",
        "",
        ("tests/unit/test_limiter.py::test_a_level_that_does_not_answer_leaves_nothing_spent_at_any_level",),
    ),
)
