"""Exact token-bucket arithmetic, in integers and milliseconds: nothing is rounded.

The state of one limit with capacity C and A tokens every P ms is a single integer, ``tat``: the time at
which the bucket would be full again, times A. (GCRA's theoretical arrival time, scaled so that it stays an
integer; ITU-T I.371.) A missing or past ``tat`` is a full bucket, so refilling needs no write. With
``N = now_ms * A``, one token weighs P:

    60 a minute, burst 60: A = 60, P = 60000, C = 60. At t = 0 one token makes tat = 60000, which is one
    second's refill. Sixty tokens make tat = 3 600 000 = N + C*P: empty; the next waits 1000 ms.
"""

from __future__ import annotations

from .limits import Limit


def tokens_available(limit: Limit, tat: int | None, now_ms: int) -> int:
    """Count the whole tokens that can be spent now; negative in debt."""
    return (_ceiling(limit, now_ms) - _busy_until(limit, tat, now_ms)) // limit.period_ms


def can_grant(limit: Limit, tat: int | None, cost: int, now_ms: int) -> bool:
    """Say whether ``cost`` tokens are there now."""
    return _busy_until(limit, tat, now_ms) + cost * limit.period_ms <= _ceiling(limit, now_ms)


def spend(limit: Limit, tat: int | None, cost: int, now_ms: int) -> int:
    """Return the state after ``cost`` tokens were taken, into debt if they are not there."""
    return _busy_until(limit, tat, now_ms) + cost * limit.period_ms


def give_back(limit: Limit, tat: int | None, tokens: int) -> int | None:
    """Return the state after ``tokens`` came back; never more than full, because full is any past ``tat``."""
    return None if tat is None else tat - tokens * limit.period_ms


def retry_after_ms(limit: Limit, tat: int | None, cost: int, now_ms: int) -> int | None:
    """Return in how many ms ``cost`` tokens will be there: 0 for now, None for never (cost above capacity)."""
    if cost > limit.capacity:
        return None
    missing = _busy_until(limit, tat, now_ms) + cost * limit.period_ms - _ceiling(limit, now_ms)
    return max(0, -(-missing // limit.amount))


def next_token_ms(limit: Limit, tat: int | None, now_ms: int) -> int | None:
    """Return in how many ms one more token will be there; None when the bucket is full."""
    available = tokens_available(limit, tat, now_ms)
    return retry_after_ms(limit, tat, available + 1, now_ms)


def full_at_ms(limit: Limit, tat: int | None, now_ms: int) -> int:
    """Return the time in ms, rounded up, at which the bucket is full if nobody spends; now if it is."""
    return -(-_busy_until(limit, tat, now_ms) // limit.amount)


def rebase(old: Limit, new: Limit, tat: int | None, now_ms: int) -> int | None:
    """Carry a state over to changed limits: the debt in tokens stays, rounded up to the new scale.

    ``debt = max(0, tat - N_old) / P_old`` tokens were spent and are not refilled; ``N_new + ceil(debt *
    P_new)`` says the same of the new limit. Under an unchanged rate the state is unchanged.
    """
    if tat is None or (old.amount == new.amount and old.period_ms == new.period_ms):
        return tat
    debt = tat - now_ms * old.amount
    if debt <= 0:
        return None
    return now_ms * new.amount - (-debt * new.period_ms // old.period_ms)


def _busy_until(limit: Limit, tat: int | None, now_ms: int) -> int:
    now = now_ms * limit.amount
    return now if tat is None or tat < now else tat


def _ceiling(limit: Limit, now_ms: int) -> int:
    return now_ms * limit.amount + limit.capacity * limit.period_ms
