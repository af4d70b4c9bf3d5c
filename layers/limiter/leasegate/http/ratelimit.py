"""The RateLimit-Policy and RateLimit fields, after draft-ietf-httpapi-ratelimit-headers-10 and RFC 9651.

Both are Lists of Strings with parameters::

    RateLimit-Policy: "rpm";q=60;w=60,"streams";q=20;qu="concurrent-requests","project-1/tpm";q=50000;w=60
    RateLimit: "rpm";r=3;t=1,"streams";r=0;t=1,"project-1/tpm";r=41200;t=12

``q`` is the capacity and ``w`` the seconds that an empty bucket takes to be full; a concurrency limit has no such
window, and its quota unit ``qu`` instead. ``r`` is what is available in whole tokens, 0 in debt, and ``t`` the
seconds until there is more: until the cost fits where it was refused, until one more token shows where it was not;
a full bucket has none. Seconds are rounded up. An ancestor's limits stand behind its id and a slash, which no id
contains.

Clients that are older than the draft know three fields of a single limit; :func:`write_fields` writes them too.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from ..states import Availability, LimitState

type HeaderStyle = Literal["standard", "legacy", "both"]
"""Which fields are written: those of the draft, those that there were before it, or all of them."""

HEADER_STYLES: Final[tuple[HeaderStyle, ...]] = ("standard", "legacy", "both")

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


def write_fields(policies: list[Policy], style: HeaderStyle = "standard") -> dict[str, str]:
    """Return the header fields of a style; none where there is no limit.

    The legacy fields tell of one limit, the tightest: of those that refused, the one with the longest wait; else
    the one with the smallest share of its capacity left. ``X-RateLimit-Reset`` is the seconds, rounded up, until
    that limit has more, as ``t`` is, and 0 where it is full: neither a time of day nor when it is full again.
    """
    fields: dict[str, str] = {}
    if style != "legacy":
        fields |= _write_standard(policies)
    if style != "standard":
        fields |= _write_legacy(policies)
    return fields


def seconds(milliseconds: int) -> int:
    """Return whole seconds, rounded up, that an RFC 9651 Integer can hold."""
    return min(-(-milliseconds // 1_000), _MAX_INTEGER)


def _write_standard(policies: list[Policy]) -> dict[str, str]:
    """Return both fields of the draft; none where there is no limit, as an empty List is no field.

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


def _write_legacy(policies: list[Policy]) -> dict[str, str]:
    if not policies:
        return {}
    refused = [policy for policy in policies if policy.refused]
    tightest = (
        max(refused, key=lambda policy: policy.state.retry_after_ms)
        if refused
        else min(policies, key=lambda policy: policy.state.available / policy.state.capacity)
    )
    return {
        "X-RateLimit-Limit": str(tightest.state.capacity),
        "X-RateLimit-Remaining": str(max(0, tightest.state.available)),
        "X-RateLimit-Reset": str(seconds(_wait_ms(tightest) or 0)),
    }


# Names and ids hold no character that a String would have to escape; capacities have at most 13 digits.


def _write_policy(policy: Policy) -> str:
    limit = policy.state.limit
    what = 'qu="concurrent-requests"' if limit.is_concurrent else f"w={seconds(limit.refill_ms)}"
    return f'"{policy.name}";q={limit.capacity};{what}'


def _write_limit(policy: Policy) -> str:
    field = f'"{policy.name}";r={max(0, policy.state.available)}'
    wait_ms = _wait_ms(policy)
    return field if wait_ms is None else f"{field};t={seconds(wait_ms)}"


def _wait_ms(policy: Policy) -> int | None:
    """Return in how many ms there is more; None where the bucket is full."""
    state = policy.state
    # In debt, one token more would still show as 0.
    return state.retry_after_ms if policy.refused or state.available < 0 else state.next_token_ms
