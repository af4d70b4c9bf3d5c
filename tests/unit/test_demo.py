"""The demonstration's own judgement of what it saw."""

import json

from scripts.api import Answer
from scripts.demo import LIMITS, Asked, check

GRANTED = Answer(200, {}, json.dumps({"granted": True}).encode())
REFUSED = Answer(429, {}, json.dumps({"violated-policies": ["tpm"]}).encode())
FORBIDDEN = Answer(403, {}, b"{}")

# 10,000 tokens at 500 a request; a minute's refill is as much again.
CAPACITY = 20


def asked(*answers: Answer, seconds: float = 0.0) -> list[Asked]:
    return [Asked("ann", 0.0, seconds, answer) for answer in answers]


def test_the_numbers_here_are_those_of_the_demonstration() -> None:
    assert {limit.name: limit.capacity for limit in LIMITS} == {"rpm": 60, "tpm": CAPACITY * 500}


def test_the_capacity_and_a_refusal_pass() -> None:
    assert check(asked(*[GRANTED] * CAPACITY, REFUSED))


def test_one_grant_above_the_capacity_fails() -> None:
    assert not check(asked(*[GRANTED] * (CAPACITY + 1), REFUSED))


def test_what_flowed_back_while_it_ran_is_allowed() -> None:
    assert check(asked(*[GRANTED] * (CAPACITY + 1), REFUSED, seconds=3.0))
    assert not check(asked(*[GRANTED] * (CAPACITY + 2), REFUSED, seconds=3.0))


def test_a_run_without_a_refusal_or_without_a_grant_shows_nothing() -> None:
    assert not check(asked(*[GRANTED] * CAPACITY))
    assert not check(asked(REFUSED))


def test_any_other_answer_fails() -> None:
    assert not check(asked(GRANTED, REFUSED, FORBIDDEN))
