"""The RateLimit-Policy and RateLimit fields, after draft-ietf-httpapi-ratelimit-headers-10 and RFC 9651.

Both are Lists of Strings with integer parameters::

    RateLimit-Policy: "rpm";q=60;w=60,"tpm";q=10000;w=60,"project-1/tpm";q=50000;w=60
    RateLimit: "rpm";r=3;t=1,"tpm";r=0;t=12,"project-1/tpm";r=41200;t=1

``q`` is the capacity and ``w`` the seconds that an empty bucket takes to be full. ``r`` is what is available in
whole tokens, 0 in debt, and ``t`` the seconds until there is more: until the cost fits where it was refused,
until one more token shows where it was not; a full bucket has none. Seconds are rounded up. An ancestor's
limits stand behind its id and a slash, which no id contains.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..states import Availability, LimitState

_MAX_INTEGER: Final = 999_999_999_999_999
"""RFC 9651 allows 15 digits; longer times (thirty million years) become this one."""

_MAX_FIELD_LENGTH: Final = 3_072
"""Both fields together must pass proxies and clients that take 8 KiB of header."""


class Policy(NamedTuple):
    """A limit as the fields name it; ``refused`` where it is one of those that said no."""

    name: str
    state: LimitState
    refused: bool


def name_policy(acquiring_id: str, entity_id: str, limit_name: str) -> str:
    """Return the policy name of a limit: plain for the entity that acquires, behind its id for an ancestor."""
    return limit_name if entity_id == acquiring_id else f"{entity_id}/{limit_name}"


def list_policies(availability: Availability, refused: frozenset[tuple[str, str]]) -> list[Policy]:
    """List the limits of all levels, nearest first; ``refused`` holds pairs of entity id and limit name."""
    own_id = availability.entity_id
    return [
        Policy(name_policy(own_id, level.entity_id, name), state, (level.entity_id, name) in refused)
        for level in (availability, *availability.ancestors)
        for name, state in level.items()
    ]


def write_fields(policies: list[Policy]) -> dict[str, str]:
    """Return both header fields; none where there is no limit, as an empty List is no field.

    Up to 64 limits with long ids would make headers that nobody accepts: those that refused come first and the
    nearest next, what does not fit is left out of both fields. The body has them all.
    """
    shown: list[tuple[int, str, str]] = []
    room = _MAX_FIELD_LENGTH
    for index, policy in sorted(enumerate(policies), key=lambda entry: not entry[1].refused):
        stated, left = _write_policy(policy), _write_limit(policy)
        room -= max(len(stated), len(left)) + 1
        if room < 0:
            break
        shown.append((index, stated, left))
    if not shown:
        return {}
    shown.sort()
    return {
        "RateLimit-Policy": ",".join([stated for _, stated, _ in shown]),
        "RateLimit": ",".join([left for _, _, left in shown]),
    }


def seconds(milliseconds: int) -> int:
    """Return whole seconds, rounded up, that an RFC 9651 Integer can hold."""
    return min(-(-milliseconds // 1_000), _MAX_INTEGER)


# Names and ids hold no character that a String would have to escape; capacities have at most 13 digits.


def _write_policy(policy: Policy) -> str:
    limit = policy.state.limit
    return f'"{policy.name}";q={limit.capacity};w={seconds(limit.refill_ms)}'


def _write_limit(policy: Policy) -> str:
    state = policy.state
    field = f'"{policy.name}";r={max(0, state.available)}'
    # In debt, one token more would still show as 0.
    wait_ms = state.retry_after_ms if policy.refused or state.available < 0 else state.next_token_ms
    return field if wait_ms is None else f"{field};t={seconds(wait_ms)}"
