"""Defects of the direct path."""

from typing import Final

from scripts.mutations.defect import Defect

_FAULTS: Final = "tests/direct/test_faults.py::test_it_ends_the_same_after_as_many_requests"

DEFECTS: Final = (
    Defect(
        "the checksum of an answer is not looked at",
        "repository/direct/connections.py",
        "if expected is not None and crc32(content) != expected:",
        "if expected is None and crc32(content) != expected:",
        (f"{_FAULTS}[a wrong checksum-one attempt]",),
    ),
    Defect(
        "a connection that died while it was idle is used",
        "repository/direct/connections.py",
        "return not self._poll.poll(0)",
        "return True",
        ("tests/direct/test_faults.py::test_a_connection_that_died_while_it_was_idle_costs_no_attempt",),
    ),
    Defect(
        "what an attempt met is not told, and the request is sent again",
        "repository/direct/client.py",
        "token = attempted(answer.met)",
        "token = attempted(None)",
        (f"{_FAULTS}[500-one attempt]", f"{_FAULTS}[a reset-three attempts]"),
    ),
    Defect(
        "renewed credentials are not signed with",
        "repository/direct/signing.py",
        "if form is None or not 0 <= now_s - form.since_s < 1 or form.credentials != credentials:",
        "if form is None or not 0 <= now_s - form.since_s < 1:",
        ("tests/direct/test_signing.py::test_what_lasts_is_derived_once",),
    ),
    Defect(
        "a listener that came later is not asked",
        "repository/direct/path.py",
        "if registered is not self._seen:",
        "if self._seen is None:",
        (
            "tests/direct/test_trust.py::"
            "test_whoever_listens_on_the_way_is_asked_from_then_on_and_until_it_leaves[before-send.dynamodb.UpdateItem]",
        ),
    ),
)
