"""What a caller learns of limits: described when somebody looks, as it was found."""

from __future__ import annotations

import pickle

from leasegate import Availability, Limit
from leasegate.limits import index_limits
from leasegate.states import Observation, observe

NOW_MS = 1_790_000_000_000
LIMITS = index_limits([Limit.per_minute("rpm", 60), Limit.concurrent("streams", 2, 30)])
TATS = {"rpm": NOW_MS * 60 + 12 * 60_000}
HOLDERS = {"streams": {"one": NOW_MS + 400}}
AMOUNTS = {"rpm": 50, "streams": 2}

EAGER = observe(LIMITS, TATS, HOLDERS, AMOUNTS, NOW_MS)


def look() -> Availability:
    return Availability("key-1", "gpt-4", Observation(LIMITS, TATS, HOLDERS, AMOUNTS, NOW_MS))


def test_an_observation_shows_what_was_there_when_it_was_made() -> None:
    availability = look()
    assert availability["rpm"].available == 48
    assert availability["rpm"].retry_after_ms == 2_000
    assert availability["streams"].available == 1
    assert availability["streams"].retry_after_ms == 400
    assert availability["rpm"] is availability["rpm"]


def test_an_observation_equals_and_prints_as_the_states_that_it_describes() -> None:
    eager = Availability("key-1", "gpt-4", EAGER)
    assert look() == eager
    assert dict(look()) == EAGER
    assert list(look()) == ["rpm", "streams"]
    assert len(look()) == 2
    assert repr(look()) == repr(eager)


def test_an_availability_is_the_same_after_pickling_whether_somebody_looked_or_not() -> None:
    seen, unseen = look(), look()
    assert seen["rpm"].name == "rpm"
    for availability in (seen, unseen):
        assert pickle.loads(pickle.dumps(availability)) == Availability("key-1", "gpt-4", EAGER)  # noqa: S301 - our own
