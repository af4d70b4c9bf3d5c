"""What whoever spends is told: of leases and adjustments, now and again, one by one and in batches."""

from __future__ import annotations

import json
from typing import Any

import pytest

from leasegate import (
    AcquireRequest,
    InvalidRequest,
    Lease,
    LeaseEnd,
    Limit,
    Limiter,
    RateLimitExceeded,
    Renewal,
    StoreUnavailable,
)
from leasegate.http.ratelimit import HEADER_STYLES, HeaderStyle
from leasegate.http.replies import Reply, reply_to_error
from leasegate.http.verdicts import (
    reply_to_adjustment,
    reply_to_availability,
    reply_to_batch,
    reply_to_end,
    reply_to_grant,
    reply_to_renewal,
)
from leasegate.operations import Failed, Operation, Outcome
from tests.contract import fits
from tests.fixtures.tables import NOW_MS, MemoryTable

RPM, STREAMS = Limit.per_minute("rpm", 60), Limit.concurrent("streams", 20, 30)
DAY_MS = 86_400_000


def body_of(reply: Reply) -> dict[str, Any]:
    """Parse a reply's body."""
    body: dict[str, Any] = json.loads(reply.body)
    return body


@pytest.fixture
def limiter(table: MemoryTable) -> Limiter:
    return table.process()


class DeadRepository:
    """A table that answers nothing."""

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        return tuple([Failed(StoreUnavailable("no answer")) for _ in operations])


# --- grants ----------------------------------------------------------------------------------------


def test_a_lease_that_is_not_durable_is_not_shown(limiter: Limiter) -> None:
    reply = reply_to_grant(limiter.acquire("key-1", "gpt-4", {"rpm": 1}, limits=[RPM]), "standard")
    assert "lease" not in body_of(reply)
    assert fits("Grant", body_of(reply))


def test_a_durable_lease_is_shown_with_all_its_times(limiter: Limiter) -> None:
    lease = limiter.acquire(
        "key-1", "gpt-4", {"rpm": 1, "streams": 2}, limits=[RPM, STREAMS], durable=True, expires_in=600
    )
    body = body_of(reply_to_grant(lease, "standard"))
    assert fits("Grant", body)
    assert body["lease"] == {
        "id": lease.id,
        "expires_at_ms": NOW_MS + 600_000,
        "held_until_ms": NOW_MS + 30_000,
        "kept_until_ms": NOW_MS + 600_000 + DAY_MS,
    }


def test_times_that_a_lease_does_not_have_are_null(limiter: Limiter) -> None:
    lease = limiter.acquire("key-1", "gpt-4", {"rpm": 1}, limits=[RPM], durable=True)
    shown = body_of(reply_to_grant(lease, "standard"))["lease"]
    assert (shown["expires_at_ms"], shown["held_until_ms"]) == (None, None)
    assert shown["kept_until_ms"] == NOW_MS + DAY_MS


def test_a_replayed_grant_is_the_first_answer_to_the_byte_and_marked(table: MemoryTable) -> None:
    limits = [RPM, STREAMS, Limit("tpm", 7_000, 333, 77_777)]
    replies = []
    for _ in range(2):
        lease = table.process().acquire(
            "key-1", "gpt-4", {"rpm": 7, "tpm": 11}, limits=limits, idempotency_key="a", expires_in=60
        )
        replies.append(reply_to_grant(lease, "standard"))
        table.now_ms += 777
    first, again = replies
    assert again.body == first.body
    assert again.headers == {**first.headers, "Idempotent-Replayed": "true"}
    assert (first.counted, again.counted) == (("Granted",), ("Granted", "Replayed"))


def test_a_grant_without_the_table_says_so_and_claims_nothing_of_limits_or_leases() -> None:
    limiter = Limiter(DeadRepository(), on_unavailable="allow")
    reply = reply_to_grant(limiter.acquire("key-1", "gpt-4", {"rpm": 1}, durable=True), "both")
    assert reply.headers == {"Leasegate-Degraded": "true", "Cache-Control": "no-store"}
    assert reply.counted == ("Granted", "Degraded")
    assert fits("Grant", body_of(reply))
    assert body_of(reply) == {
        "granted": True,
        "entity_id": "key-1",
        "resource": "gpt-4",
        "limits": {},
        "ancestors": [],
        "degraded": True,
    }


# --- the ends of leases ----------------------------------------------------------------------------


def test_an_end_says_how_and_when_and_what_was_spent() -> None:
    reply = reply_to_end("a" * 22, LeaseEnd("settled", {"tpm": 812, "rpm": 1}, NOW_MS))
    assert fits("LeaseEnd", body_of(reply))
    assert body_of(reply) == {
        "lease_id": "a" * 22,
        "outcome": "settled",
        "consumed": {"rpm": 1, "tpm": 812},
        "ended_at_ms": NOW_MS,
    }
    assert reply.headers == {"Cache-Control": "no-store"}
    assert reply.counted == ("Settled",)


def test_a_repeated_end_is_the_same_to_the_byte_and_marked() -> None:
    first = reply_to_end("a" * 22, LeaseEnd("released", {"tpm": 0, "rpm": 0}, NOW_MS))
    again = reply_to_end("a" * 22, LeaseEnd("released", {"rpm": 0, "tpm": 0}, NOW_MS, is_repeated=True))
    assert again.body == first.body
    assert again.headers == {**first.headers, "Idempotent-Replayed": "true"}
    assert (first.counted, again.counted) == (("Released",), ("Released", "Replayed"))


def test_a_renewal_says_until_when(limiter: Limiter) -> None:
    reply = reply_to_renewal("a" * 22, Renewal(NOW_MS, None))
    assert fits("Renewal", body_of(reply))
    assert body_of(reply) == {"lease_id": "a" * 22, "expires_at_ms": NOW_MS, "held_until_ms": None}
    assert reply.counted == ("Renewed",)


# --- what is left ----------------------------------------------------------------------------------


def test_an_adjustment_says_what_is_left_and_whether_it_was_made_before(table: MemoryTable) -> None:
    table.process().set_limits("key-1", [RPM], resource="gpt-4")
    adjusted = [table.process().adjust("key-1", "gpt-4", {"rpm": 61}, idempotency_key="a") for _ in range(2)]
    first, again = [reply_to_adjustment(each, "standard") for each in adjusted]
    assert fits("Standing", body_of(first))
    assert body_of(first)["limits"] == {"rpm": {"available": -1, "capacity": 60, "retry_after_ms": 2_000}}
    assert first.headers["RateLimit"] == '"rpm";r=0;t=2'
    assert again.body == first.body
    assert again.headers == {**first.headers, "Idempotent-Replayed": "true"}
    assert (first.counted, again.counted) == (("Adjusted",), ("Adjusted", "Replayed"))


def test_what_is_available_is_told_in_body_and_fields(limiter: Limiter) -> None:
    reply = reply_to_availability(limiter.available("key-1", "gpt-4", limits=[RPM]), "standard")
    assert fits("Standing", body_of(reply))
    assert body_of(reply) == {
        "entity_id": "key-1",
        "resource": "gpt-4",
        "limits": {"rpm": {"available": 60, "capacity": 60, "retry_after_ms": 0}},
        "ancestors": [],
    }
    assert reply.headers["RateLimit"] == '"rpm";r=60'
    assert reply.counted == ("Answered",)


@pytest.mark.parametrize("style", HEADER_STYLES)
def test_the_style_holds_for_every_reply_that_tells_of_limits(style: HeaderStyle, limiter: Limiter) -> None:
    limiter.set_limits("key-1", [RPM], resource="gpt-4")
    with pytest.raises(RateLimitExceeded) as refused:
        limiter.acquire("key-2", "gpt-4", {"streams": 21}, limits=[Limit.concurrent("streams", 25, 30)])
        limiter.acquire("key-2", "gpt-4", {"streams": 21}, limits=[Limit.concurrent("streams", 25, 30)])
    expected = {
        "standard": {"RateLimit", "RateLimit-Policy"},
        "legacy": {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"},
    }
    expected["both"] = expected["standard"] | expected["legacy"]
    for reply in (
        reply_to_grant(limiter.acquire("key-1", "gpt-4", {"rpm": 1}), style),
        reply_to_adjustment(limiter.adjust("key-1", "gpt-4", {"rpm": 1}), style),
        reply_to_availability(limiter.available("key-1", "gpt-4"), style),
        reply_to_error(refused.value, style),
    ):
        assert {name for name in reply.headers if "RateLimit" in name} == expected[style]


# --- batches ---------------------------------------------------------------------------------------


def test_a_batch_holds_what_each_would_have_been_answered_and_counts_it(limiter: Limiter) -> None:
    slow = Limit("rpm", 1, 1, 60_000)
    verdicts = limiter.acquire_many(
        [
            AcquireRequest("key-1", "gpt-4", {"rpm": 1}, limits=[slow]),
            AcquireRequest("key-1", "gpt-4", {"rpm": 1}, limits=[slow]),
            AcquireRequest("key-2", "gpt-4", {"rpm": 1}, limits=[RPM], idempotency_key="a"),
        ]
    )
    replies = [
        reply_to_grant(verdict, "both") if isinstance(verdict, Lease) else reply_to_error(verdict, "both")
        for verdict in verdicts
    ]
    replies.append(reply_to_error(InvalidRequest("consume.rpm", "must be an integer"), "both"))
    batch = reply_to_batch(replies)
    assert (batch.status, batch.headers) == (200, {"Cache-Control": "no-store"})
    assert fits("Verdicts", body_of(batch))
    results = body_of(batch)["results"]
    assert [result["status"] for result in results] == [200, 429, 200, 400]
    for result, reply in zip(results, replies, strict=True):
        assert json.dumps(result["body"], separators=(",", ":")) == reply.body
        assert {**result["headers"], "Cache-Control": "no-store"} == reply.headers
    assert "Retry-After" in results[1]["headers"]
    assert batch.counted == ("Granted", "Refused", "Granted", "Invalid")
