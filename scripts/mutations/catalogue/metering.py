"""Defects of the meter and of the throttle, which tests and measurements rest on."""

from typing import Final

from scripts.mutations.defect import Defect

_THROTTLING: Final = "tests/unit/test_throttling.py::"

DEFECTS: Final = (
    Defect(
        "a transaction is billed like single writes",
        "tariff.py",
        "_TRANSACTION_FACTOR: Final = 2",
        "_TRANSACTION_FACTOR: Final = 1",
        (
            "tests/unit/test_metering.py::test_a_transaction_costs_twice_for_each_action",
            _THROTTLING + "test_a_transaction_costs_two_units_an_item",
        ),
    ),
    Defect(
        "a refused write is billed nothing",
        "tariff.py",
        "            return (self._table_charge(action, self._written(action)),)\n",
        "            return ()\n",
        (
            "tests/unit/test_metering.py::test_a_failed_condition_costs_what_the_write_would_have",
            _THROTTLING + "test_a_failed_condition_costs_as_much_as_a_write",
        ),
    ),
    Defect(
        "what an operation cost beyond the least is no debt",
        "throttling.py",
        "if more > 0:",
        "if more > 0 and not taken:",
        (
            _THROTTLING + "test_what_is_let_through_runs_into_debt_that_the_next_waits_for",
            _THROTTLING + "test_a_page_is_read_whole_on_the_last_unit_and_its_cost_is_debt",
        ),
    ),
    Defect(
        "operations side by side all pass on the last unit",
        "throttling.py",
        "        self._settle({}, least)\n        taken += least\n",
        "",
        (_THROTTLING + "test_operations_side_by_side_do_not_all_pass_on_the_last_unit",),
    ),
    Defect(
        "a key that is throttled is taken for an item that is not there",
        "throttling.py",
        "if operation is operations[place] or isinstance(outcome, Failed):",
        "if operation is not None:",
        (_THROTTLING + "test_a_key_that_is_throttled_is_never_taken_for_an_item_that_is_not_there",),
    ),
    Defect(
        "the index is written for nothing",
        "throttling.py",
        "        if charge.partition is not None:\n",
        "        if charge.partition is not None and not charge.partition.in_index:\n",
        (_THROTTLING + "test_an_index_entry_is_paid_for_by_the_partition_of_the_index",),
    ),
)
