"""Defects of repetition and of failures: what is applied twice, what is taken for an answer."""

from typing import Final

from scripts.mutations.defect import Defect

_RETRIES: Final = "tests/simulation/test_retries.py::"

DEFECTS: Final = (
    Defect(
        "a write does not ask whether its request was applied already",
        "flows/spending.py",
        "    conditions.append(NotEquals(slot, request.id))\n",
        "",
        (
            _RETRIES
            + "test_without_keys_only_writes_that_were_forgotten_before_they_were_repeated_are_charged_twice",
        ),
    ),
    Defect(
        "what is given back leaves no request id, and comes back twice",
        "flows/spending.py",
        """        changes.append(Add(schema.used_attribute(name), tokens))
    return _bucket_update(key, changes, conditions, request)
""",
        """        changes.append(Add(schema.used_attribute(name), tokens))
    changes += (Add(schema.VERSION, 1), Set(schema.WRITTEN_AT, request.now_ms))
    return Update(key, tuple(changes), AllOf(tuple(conditions)))
""",
        ("tests/unit/test_lease.py::test_a_settlement_whose_reply_was_lost_is_written_once_when_repeated",),
    ),
    Defect(
        "a charge of unknown outcome is taken back though it never came",
        "flows/spending.py",
        "[Equals(request.attribute, request.id), Equals(schema.STAMP, state.stamp)]",
        "[Equals(schema.STAMP, state.stamp)]",
        ("tests/unit/test_limiter.py::test_a_level_that_does_not_answer_leaves_nothing_spent_at_any_level",),
    ),
    Defect(
        "a transaction is repeated under a new token",
        "repository/calls.py",
        '        try:\n            self._speaker.ask("TransactWriteItems", self._request)',
        "        self._request.body = self._request.body.replace('Token\":\"', 'Token\":\"x')\n"
        '        try:\n            self._speaker.ask("TransactWriteItems", self._request)',
        ("tests/unit/test_dynamo_retries.py::test_a_conflict_is_repeated_under_the_same_token",),
    ),
    Defect(
        "a key that was not answered is taken for an item that is not there",
        "repository/reads.py",
        "        if unprocessed:\n",
        "        if not self._found and unprocessed:\n",
        (
            "tests/unit/test_dynamo_retries.py::test_an_unanswered_key_is_never_taken_for_absent",
            "tests/unit/test_dynamo_retries.py::test_unprocessed_keys_are_asked_for_again_and_only_they",
        ),
    ),
    Defect(
        "a lost reply of a write is taken for a write that never was",
        "repository/dynamodb.py",
        "maybe_applied |= failure.maybe_applied and call.writes",
        "maybe_applied = False",
        ("tests/unit/test_dynamo_retries.py::test_a_write_without_an_answer_may_have_been_applied",),
    ),
    Defect(
        "missing permissions are taken for unavailability by a limiter that allows",
        "spender.py",
        'if self._on_unavailable == "raise" or isinstance(error, StoreDenied):',
        'if self._on_unavailable == "raise":',
        ("tests/unit/test_limiter.py::test_missing_permissions_are_never_taken_for_unavailability",),
    ),
    Defect(
        "missing permissions are repeated and reported as unavailability",
        "repository/failures.py",
        "_DENIED: Final = Failure(StoreDenied)",
        "_DENIED: Final = Failure(StoreUnavailable, is_transient=True)",
        ("tests/unit/test_dynamo_retries.py::test_a_denial_is_reported_at_once",),
    ),
)
