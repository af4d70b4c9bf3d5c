"""Knowledge: bounded, aged, and never older than what it replaces."""

from __future__ import annotations

import pytest

from leasegate import InvalidRequest, Limit
from leasegate.knowledge import Ancestor, Defaults, Knowledge, Recent
from leasegate.limits import index_limits
from leasegate.schema import Bucket, StoredLimits

LIMITS = index_limits([Limit.per_second("rpm", 10)])


def bucket(version: int, stamp: str = "e:1") -> Bucket:
    return Bucket(stamp, LIMITS, {}, None, version, 0, {})


def defaults(version: int) -> Defaults:
    return Defaults(StoredLimits(LIMITS, version), None)


def test_only_the_entries_used_last_are_kept() -> None:
    recent: Recent[int, str] = Recent(2)
    for key in (1, 2):
        recent.put(key, str(key))
    assert recent.get(1) == "1"
    recent.put(3, "3")
    assert (recent.get(1), recent.get(2), recent.get(3)) == ("1", None, "3")
    assert len(recent) == 2


@pytest.mark.parametrize("name", ["max_age_ms", "refusal_age_ms", "max_buckets", "max_aged"])
def test_ages_and_sizes_out_of_range_are_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Knowledge(**{name: -1})
    assert caught.value.field == name


def test_a_late_reply_does_not_replace_a_later_state() -> None:
    knowledge = Knowledge()
    knowledge.learn_bucket("a", "r", bucket(5))
    knowledge.learn_bucket("a", "r", bucket(4))
    assert knowledge.bucket("a", "r") == bucket(5)
    knowledge.forget_bucket("a", "r")
    assert knowledge.bucket("a", "r") is None


def test_a_refusal_answers_for_its_age_and_ends_when_tokens_come_back() -> None:
    knowledge = Knowledge(refusal_age_ms=1_000)
    knowledge.learn_bucket("a", "r", bucket(5), refused_at_ms=10_000)
    assert knowledge.refused_bucket("a", "r", 10_999) == bucket(5)
    assert knowledge.refused_bucket("a", "r", 11_000) is None
    knowledge.learn_bucket("a", "r", bucket(6))
    assert knowledge.refused_bucket("a", "r", 10_500) == bucket(6)
    knowledge.learn_return("a", "r", bucket(7))
    assert knowledge.refused_bucket("a", "r", 10_500) is None


def test_a_refusal_under_other_limits_does_not_stand() -> None:
    knowledge = Knowledge()
    knowledge.learn_bucket("a", "r", bucket(5), refused_at_ms=10_000)
    knowledge.learn_bucket("a", "r", bucket(6, "e:2"))
    assert knowledge.refused_bucket("a", "r", 10_001) is None


def test_defaults_are_believed_for_their_age_only() -> None:
    knowledge = Knowledge(max_age_ms=30_000)
    knowledge.learn_defaults("r", defaults(1), 100_000)
    assert knowledge.defaults("r", 129_999) == defaults(1)
    assert knowledge.defaults("r", 130_000) is None
    assert knowledge.defaults("other", 100_000) is None


def test_one_caller_at_a_time_is_told_to_refresh_from_half_the_age_on() -> None:
    knowledge = Knowledge(max_age_ms=30_000)
    knowledge.learn_defaults("r", defaults(1), 100_000)
    assert not knowledge.claim_defaults_refresh("r", 114_999)
    assert knowledge.claim_defaults_refresh("r", 115_000)
    assert not knowledge.claim_defaults_refresh("r", 115_001)
    assert knowledge.claim_defaults_refresh("r", 116_000), "the first never came back"
    knowledge.learn_defaults("r", defaults(2), 116_000)
    assert not knowledge.claim_defaults_refresh("r", 117_000)


def test_an_earlier_read_does_not_replace_a_later_one() -> None:
    knowledge = Knowledge()
    knowledge.learn_defaults("r", defaults(2), 100_500)
    knowledge.learn_defaults("r", defaults(1), 100_000)
    assert knowledge.defaults("r", 100_600) == defaults(2)


def test_a_clock_that_is_set_back_far_does_not_freeze_what_is_known() -> None:
    knowledge = Knowledge(max_age_ms=30_000)
    knowledge.learn_defaults("r", defaults(1), 9_000_000)
    assert knowledge.defaults("r", 1_000_000) is None
    knowledge.learn_defaults("r", defaults(2), 1_000_000)
    assert knowledge.defaults("r", 1_000_001) == defaults(2)


def test_what_this_process_changed_is_forgotten() -> None:
    knowledge = Knowledge()
    knowledge.learn_defaults("r", defaults(1), 0)
    knowledge.learn_defaults("s", defaults(1), 0)
    knowledge.learn_ancestor("p", "r", Ancestor(None, frozenset()), 0)
    knowledge.forget_defaults("r")
    assert (knowledge.defaults("r", 0), knowledge.defaults("s", 0)) == (None, defaults(1))
    knowledge.forget_defaults(None)
    assert knowledge.defaults("s", 0) is None
    knowledge.forget_ancestor("p")
    assert knowledge.ancestor("p", "r", 0) is None
