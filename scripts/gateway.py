"""A gateway's day in seven requests: what is granted once stays granted once, whatever the network does.

The second part of the demonstration. Each request shows what a promise is worth; all of them are checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from rich.markup import escape
from rich.table import Table

from leasegate import Limit, Limiter
from scripts.api import Answer, ApiClient
from scripts.ledger import RESOURCE, Spent

ENTITY: Final = "key-2"
LIMITS: Final = (Limit("tpd", 10_000, 1, 86_400_000), Limit.concurrent("streams", 2, lease_seconds=600))
ESTIMATE: Final = 500
USED: Final = 812
SPENT: Final = Spent(ENTITY, 3, {"tpd": USED + 2 * ESTIMATE})
"""What is spent in the end: three grants, of which one was settled."""


@dataclass(frozen=True, slots=True)
class Step:
    """One request, and whether its answer is what it should be."""

    what: str
    answer: Answer
    is_right: bool

    @property
    def says(self) -> str:
        """What the answer says, in a few words."""
        document = self.answer.json()
        if "outcome" in document:
            said = f"{document['outcome']}, {document['consumed']['tpd']} used"
        elif "violated-policies" in document:
            said = f"refused by {', '.join(document['violated-policies'])}"
        elif self.answer.status >= 400:
            said = str(document["detail"])
        else:
            left = {name: state["available"] for name, state in document["limits"].items()}
            said = ", ".join(f"{tokens:,} {name} left" for name, tokens in left.items())
        return f"{said} (as before)" if "idempotent-replayed" in self.answer.headers else said


def store_limits(limiter: Limiter) -> None:
    """Allow so many tokens that do not come back while one looks, and two streams at a time."""
    limiter.set_limits(ENTITY, LIMITS, resource=RESOURCE)


def spend_a_day(api: ApiClient) -> list[Step]:
    """Acquire, lose the answer, ask again, settle, settle again, and look what is left."""
    steps: list[Step] = []

    def step(what: str, answer: Answer, is_right: Callable[[Answer], bool]) -> dict[str, Any]:
        steps.append(Step(what, answer, is_right(answer)))
        return answer.json()

    first = acquire(api, "request-1")
    lease = step("acquire under a key", first, lambda answer: answer.status == 200)
    step("the answer got lost: again", acquire(api, "request-1"), lambda answer: answer.body == first.body)
    step("something else under that key", acquire(api, "request-1", 501), lambda answer: answer.status == 422)
    step("a second stream", acquire(api, "request-2"), lambda answer: answer.status == 200)
    step("a third", acquire(api, "request-3"), lambda answer: answer.status == 429)
    if lease.get("lease"):
        path = f"/leases/{lease['lease']['id']}/settle"
        settled = api.post(path, {"actual": {"tpd": USED}})
        step("the first ends: settle", settled, lambda answer: answer.status == 200)
        again = api.post(path, {"actual": {"tpd": USED + 1}})
        step("the answer got lost: again", again, lambda answer: answer.body == settled.body)
        step("a third, now", acquire(api, "request-3"), lambda answer: answer.status == 200)
    left = LIMITS[0].capacity - USED - 2 * ESTIMATE
    step(
        "what is left",
        api.get(f"/entities/{ENTITY}/available?resource={RESOURCE}"),
        lambda answer: answer.status == 200 and answer.json()["limits"]["tpd"]["available"] == left,
    )
    return steps


def acquire(api: ApiClient, key: str, tokens: int = ESTIMATE) -> Answer:
    """Ask for a stream, and the tokens that it may need."""
    body = {"entity_id": ENTITY, "resource": RESOURCE, "consume": {"tpd": tokens, "streams": 1}}
    return api.post("/acquire", body, headers={"Idempotency-Key": f'"{key}"'})


def render(steps: list[Step]) -> Table:
    """Show every request with its answer."""
    tokens, streams = LIMITS
    table = Table(title=f"{ENTITY} may spend {tokens.capacity:,} {tokens.name} in {streams.capacity} streams")
    table.add_column("request")
    table.add_column("status", justify="right")
    table.add_column("answer")
    table.add_column("round trips", justify="right")
    for step in steps:
        sign = "[green]✓[/]" if step.is_right else "[red]✗[/]"
        trips = step.answer.headers.get("leasegate-round-trips", "?")
        table.add_row(f"{sign} {step.what}", str(step.answer.status), escape(step.says), trips)
    return table
