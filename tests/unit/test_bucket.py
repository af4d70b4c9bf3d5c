"""The integer bucket against a token bucket of rational numbers: equal decisions, always."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leasegate import Limit, bucket
from leasegate.identifiers import MAX_TOKENS
from leasegate.limits import DAY_MS, MAX_PERIOD_MS

YEAR_2026_MS = 1_767_225_600_000
YEAR_2100_MS = 4_102_444_800_000

tokens = st.integers(1, 50) | st.integers(1, MAX_TOKENS)
limits = st.builds(
    Limit,
    st.just("tpm"),
    tokens,
    tokens,
    st.sampled_from((1, 7, 1_000, 60_000, 3_600_000, DAY_MS)) | st.integers(1, MAX_PERIOD_MS),
)
steps = st.lists(
    st.tuples(
        st.sampled_from(("acquire", "give back", "debt", "change")),
        st.fractions(0, 2),  # an amount, in capacities
        st.integers(0, 100) | st.integers(0, DAY_MS),  # ms since the step before
        limits,
    ),
    max_size=40,
)


@dataclass
class RationalBucket:
    """The textbook token bucket: a rational number of tokens, refilled as time goes by."""

    limit: Limit
    tokens: Fraction
    at_ms: int

    def pass_time(self, now_ms: int) -> None:
        refill = Fraction((now_ms - self.at_ms) * self.limit.amount, self.limit.period_ms)
        self.tokens = min(Fraction(self.limit.capacity), self.tokens + refill)
        self.at_ms = now_ms

    def acquire(self, cost: int) -> bool:
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True

    def change(self, new: Limit) -> None:
        """Keep what is missing, rounded up to the new limit's smallest part of a token."""
        missing = self.limit.capacity - self.tokens
        if (self.limit.amount, self.limit.period_ms) != (new.amount, new.period_ms):
            missing = Fraction(math.ceil(missing * new.period_ms), new.period_ms)
        self.limit, self.tokens = new, new.capacity - missing


@settings(max_examples=600, deadline=None)
@given(limit=limits, start_ms=st.integers(0, YEAR_2100_MS), history=steps)
def test_every_decision_equals_the_rational_bucket(
    limit: Limit, start_ms: int, history: list[tuple[str, Fraction, int, Limit]]
) -> None:
    model = RationalBucket(limit, Fraction(limit.capacity), start_ms)
    tat: int | None = None
    now_ms = start_ms
    for verb, share, elapsed_ms, other in history:
        now_ms += elapsed_ms
        model.pass_time(now_ms)
        limit = model.limit
        amount = math.floor(share * limit.capacity)
        assert bucket.tokens_available(limit, tat, now_ms) == math.floor(model.tokens)
        if verb == "acquire":
            can = bucket.can_grant(limit, tat, amount, now_ms)
            assert can == model.acquire(amount)
            assert can == (bucket.retry_after_ms(limit, tat, amount, now_ms) == 0)
            if can:
                tat = bucket.spend(limit, tat, amount, now_ms)
        elif verb == "give back":
            tat = bucket.give_back(limit, tat, amount)
            model.tokens = min(Fraction(limit.capacity), model.tokens + amount)
        elif verb == "debt":
            tat = bucket.spend(limit, tat, amount, now_ms)
            model.tokens -= amount
        else:
            tat = bucket.rebase(limit, other, tat, now_ms)
            model.change(other)


@given(limit=limits, now_ms=st.integers(YEAR_2026_MS, YEAR_2100_MS), spent=tokens, cost=tokens)
def test_the_retry_time_is_the_first_ms_at_which_the_cost_fits(
    limit: Limit, now_ms: int, spent: int, cost: int
) -> None:
    tat = bucket.spend(limit, None, spent, now_ms)
    wait_ms = bucket.retry_after_ms(limit, tat, cost, now_ms)
    if cost > limit.capacity:
        assert wait_ms is None
        return
    assert wait_ms is not None
    assert bucket.can_grant(limit, tat, cost, now_ms + wait_ms)
    assert wait_ms == 0 or not bucket.can_grant(limit, tat, cost, now_ms + wait_ms - 1)


@pytest.mark.parametrize(
    "limit",
    [
        Limit.per_day("slow", 1),
        Limit.per_second("fast", 1_000_000),
        Limit("huge", MAX_TOKENS, MAX_TOKENS, 1),
        Limit("tiny", 1, 1, MAX_PERIOD_MS),
        Limit.per_minute("burst", 1, burst=100),
    ],
    ids=lambda limit: limit.name,
)
@pytest.mark.parametrize("now_ms", [0, YEAR_2026_MS, YEAR_2100_MS])
def test_a_new_bucket_grants_exactly_its_capacity_then_one_more_after_the_retry_time(
    limit: Limit, now_ms: int
) -> None:
    tat = bucket.spend(limit, None, limit.capacity - 1, now_ms)
    assert bucket.can_grant(limit, tat, 1, now_ms)
    tat = bucket.spend(limit, tat, 1, now_ms)
    assert not bucket.can_grant(limit, tat, 1, now_ms)
    assert bucket.tokens_available(limit, tat, now_ms) == 0
    wait_ms = bucket.retry_after_ms(limit, tat, 1, now_ms)
    assert wait_ms == -(-limit.period_ms // limit.amount)
    assert not bucket.can_grant(limit, tat, 1, now_ms + wait_ms - 1)
    assert bucket.can_grant(limit, tat, 1, now_ms + wait_ms)


def test_the_worked_example_of_sixty_a_minute() -> None:
    rpm = Limit.per_minute("rpm", 60)
    one = bucket.spend(rpm, None, 1, 0)
    assert one == 60_000
    sixty = bucket.spend(rpm, None, 60, 0)
    assert sixty == 3_600_000
    assert bucket.retry_after_ms(rpm, sixty, 1, 0) == 1_000
    assert bucket.next_token_ms(rpm, sixty, 0) == 1_000
    assert bucket.full_at_ms(rpm, sixty, 0) == 60_000
    assert bucket.next_token_ms(rpm, None, 0) is None


def test_a_debt_is_paid_before_anything_is_granted() -> None:
    rpm = Limit.per_minute("rpm", 60)
    tat = bucket.spend(rpm, None, 100, 0)
    assert bucket.tokens_available(rpm, tat, 0) == -40
    assert bucket.retry_after_ms(rpm, tat, 0, 0) == 40_000
    assert bucket.retry_after_ms(rpm, tat, 1, 0) == 41_000


def test_what_comes_back_to_a_full_bucket_makes_it_no_fuller() -> None:
    rpm = Limit.per_minute("rpm", 60)
    tat = bucket.give_back(rpm, bucket.spend(rpm, None, 1, 0), 50)
    assert bucket.tokens_available(rpm, tat, 0) == 60
    assert bucket.give_back(rpm, None, 5) is None


def test_other_limits_never_forgive_a_part_of_a_debt() -> None:
    thirds, sevenths = Limit("tpm", 10, 1, 3), Limit("tpm", 10, 1, 7)
    a_third_of_a_token = 1_000 + 1
    assert bucket.rebase(thirds, sevenths, a_third_of_a_token, 1_000) == 1_000 + 3
    assert bucket.rebase(sevenths, thirds, 1_000 + 3, 1_000) == 1_000 + 2


PACKAGE = Path(bucket.__file__).parent
PURE = [
    *("bucket", "changes", "coverage", "knowledge", "limits", "states", "windows"),
    *("schema/items", "schema/usage", "repository/wire", "repository/evaluation"),
]
FLOWS = [f"flows/{path.stem}" for path in (PACKAGE / "flows").glob("*.py")]


@pytest.mark.parametrize("module", PURE + FLOWS)
def test_no_decision_meets_a_float(module: str) -> None:
    nodes = list(ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())))
    assert not [node for node in nodes if isinstance(node, ast.Div)]
    assert not [node for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, float)]
    assert not [node for node in nodes if isinstance(node, ast.Name) and node.id == "float"]
