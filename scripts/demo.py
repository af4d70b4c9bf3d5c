"""The demonstration: the real SAM stack on this machine grants and refuses, in front of one's eyes.

Brings up a stack of its own, stores limits with the library, lets several clients ask the API at once until
each has been refused, shows what happened, and checks that no more was granted than the limits allow. Then one
client loses answers and asks again (:mod:`scripts.gateway`), what is counted from the table's stream is held to
what both parts spent (:mod:`scripts.ledger`), and X-Ray's record to what the functions said of their round trips
(:mod:`scripts.traces.witness`).
"""

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from leasegate import Limit, Limiter
from leasegate.repository.dynamodb import DynamoRepository
from scripts import gateway, ledger
from scripts.api import Answer, ApiClient
from scripts.deployment import dynamodb_client
from scripts.ledger import RESOURCE
from scripts.processes import StartError, end_like_interrupted
from scripts.progress import say, step
from scripts.stack import Stack, embedded_stack
from scripts.traces import witness
from scripts.traces.daemon import listening

ENTITY = "key-1"
LIMITS = (Limit.per_minute("rpm", 60), Limit.per_minute("tpm", 10_000))
CLIENTS = ("ann", "bob", "cay", "dan")
CONSUME = {"rpm": 1, "tpm": 500}
REFUSALS_EACH = 2
MOST_REQUESTS_EACH = 40

# A table as wide as its content where there is no terminal to ask.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request and its answer; times in seconds since the first client began."""

    client: str
    began_s: float
    ended_s: float
    answer: Answer

    @property
    def is_granted(self) -> bool:
        return self.answer.status == 200


def main() -> int:
    """Run the demonstration; 1 if something is not as promised."""
    end_like_interrupted()
    try:
        with listening() as daemon, embedded_stack("demo", xray_daemon=daemon.address) as stack:
            with step(f"Storing limits for {ENTITY} on {RESOURCE} with the library"):
                store_limits(stack)
            with step(f"Starting a function instance for each of {len(CLIENTS)} clients"):
                start_instances(stack)
            with step(
                f"{len(CLIENTS)} clients POST /acquire at once, until each was refused {REFUSALS_EACH} times"
            ):
                asked = ask_until_refused(stack)
            show(asked)
            passed = check(asked)
            with step("One client that loses answers, and asks again"):
                steps = gateway.spend_a_day(stack.api())
            console.print(gateway.render(steps))
            passed = passed and all(each.is_right for each in steps)
            with step("Waiting until all that is counted from the table's stream"):
                counts = ledger.await_counts(stack.api(), [spent(asked), gateway.SPENT])
            console.print(ledger.render(counts))
            passed = passed and all(count.is_right for count in counts)
            recorded = witness.witness(daemon.collect())
            console.print(witness.render(recorded))
            passed = passed and bool(recorded) and all(seen.is_right for seen in recorded)
            say("Taking the stack down.")
    except StartError as error:
        say(f"[red]Failed:[/] {escape(str(error))}")
        return 1
    except KeyboardInterrupt:
        say("Interrupted; the stack is down.")
        return 130
    return 0 if passed else 1


def store_limits(stack: Stack) -> None:
    """Set the limits as an administrator would, straight in the table."""
    with DynamoRepository(dynamodb_client(stack.endpoint_url), stack.table_name) as repository:
        limiter = Limiter(repository)
        limiter.set_limits(ENTITY, list(LIMITS), resource=RESOURCE)
        gateway.store_limits(limiter)


def start_instances(stack: Stack) -> None:
    """Send as many empty requests at once as there are clients: instances that are busy make Lambda start more."""
    api = stack.api()
    with ThreadPoolExecutor(len(CLIENTS)) as pool:
        for _answer in pool.map(lambda _client: api.post("/acquire", {}), CLIENTS):
            pass


def ask_until_refused(stack: Stack) -> list[Asked]:
    """Let all clients ask at once; return every answer in the order in which they came."""
    api = stack.api()
    ended = threading.Event()
    started = time.monotonic()

    def ask(client: str) -> list[Asked]:
        answers: list[Asked] = []
        while not ended.is_set() and len(answers) < MOST_REQUESTS_EACH:
            answers.append(ask_once(api, client, started))
            if sum(not asked.is_granted for asked in answers) == REFUSALS_EACH:
                break
        return answers

    with ThreadPoolExecutor(len(CLIENTS)) as pool:
        try:
            return sorted(
                (asked for answers in pool.map(ask, CLIENTS) for asked in answers), key=lambda a: a.ended_s
            )
        finally:
            ended.set()


def ask_once(api: ApiClient, client: str, started: float) -> Asked:
    """Ask for one request's tokens."""
    body = {"entity_id": ENTITY, "resource": RESOURCE, "consume": CONSUME}
    began = time.monotonic() - started
    answer = api.post("/acquire", body)
    return Asked(client, began, time.monotonic() - started, answer)


def spent(asked: list[Asked]) -> ledger.Spent:
    """Return what the clients were granted together."""
    granted = sum(one.is_granted for one in asked)
    return ledger.Spent(ENTITY, granted, {name: granted * tokens for name, tokens in CONSUME.items()})


def show(asked: list[Asked]) -> None:
    """Print every answer, and the headers of one grant and one refusal."""
    limits = ", ".join(f"{limit.capacity:,} {limit.name}" for limit in LIMITS)
    table = Table(title=f"{ENTITY} on {RESOURCE} may spend {limits}; each request costs {CONSUME['tpm']} tpm")
    table.add_column("at", justify="right")
    table.add_column("who")
    table.add_column("verdict")
    for limit in LIMITS:
        table.add_column(f"{limit.name} left", justify="right")
    table.add_column("retry after", justify="right")
    table.add_column("round trips", justify="right")
    for one in asked:
        table.add_row(
            f"{one.ended_s:.2f} s",
            one.client,
            verdict(one.answer),
            *(remaining(one.answer, limit.name) for limit in LIMITS),
            f"{value} s" if (value := one.answer.headers.get("retry-after")) else "",
            one.answer.headers.get("leasegate-round-trips", "?"),
        )
    console.print(table)
    for status, title in ((200, "a grant"), (429, "a refusal")):
        example = next((one.answer for one in asked if one.answer.status == status), None)
        if example:
            console.print(f"\n[bold]The headers of {title}[/]\n{escape(headers(example))}", soft_wrap=True)


def verdict(answer: Answer) -> str:
    """Say in a word what was answered."""
    match answer.status:
        case 200:
            return "[green]granted[/]"
        case 429:
            policies = ", ".join(answer.json().get("violated-policies", ()))
            return f"[yellow]refused[/] by {escape(policies)}"
        case status:
            return f"[red]{status}[/] {escape(answer.body.decode(errors='replace'))}"


def remaining(answer: Answer, name: str) -> str:
    """Say what is left of a limit."""
    if answer.status not in {200, 429}:
        return ""
    state: dict[str, Any] = answer.json()["limits"][name]
    return f"{state['available']:,}"


def headers(answer: Answer) -> str:
    """Write an answer's status and headers as they went over the wire."""
    shown = (f"{name}: {value}" for name, value in answer.headers.items() if not name.lower().startswith("x-amz"))
    return "\n".join((f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}", *shown))


def check(asked: list[Asked]) -> bool:
    """Say whether what was granted is what the limits allow, exactly; and whether anything was refused at all."""
    console.print()
    strange = [one for one in asked if one.answer.status not in {200, 429}]
    granted = sum(one.is_granted for one in asked)
    passed = not strange and 0 < granted < len(asked)
    if not passed:
        console.print(
            f"[red]✗[/] {granted} of {len(asked)} granted, {len(strange)} answers that are neither yes nor no"
        )
    # Rounded up: the clock that decided may have read any moment of the run.
    elapsed_ms = int(1000 * (max(one.ended_s for one in asked) - min(one.began_s for one in asked))) + 1
    for limit in LIMITS:
        spent = granted * CONSUME[limit.name]
        refilled = elapsed_ms * limit.amount // limit.period_ms
        allowed = spent <= limit.capacity + refilled
        passed = passed and allowed
        sign, word = ("[green]✓[/]", "within") if allowed else ("[red]✗[/]", "ABOVE")
        allowance = f"{limit.capacity:,} + {refilled:,} refilled in {elapsed_ms / 1000:.2f} s"
        console.print(f"{sign} {limit.name}: {spent:,} granted, {word} {allowance}", soft_wrap=True)
    return passed


if __name__ == "__main__":
    # Credentials come with each client; nothing of the user's account is read.
    os.environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)
    sys.exit(main())
