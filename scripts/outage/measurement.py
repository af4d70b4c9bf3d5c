"""Calls limiters all the time while their table is down, and keeps what becomes of each call."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, get_args

from leasegate import Limit, Limiter, RateLimitExceeded, StoreError
from leasegate.repository.dynamodb import DynamoRepository, client_config, dynamodb_client
from leasegate.schema import bucket_key, used_attribute
from leasegate.spender import OnUnavailable
from scripts import template
from scripts.outage.proxy import Proxy, Trouble
from scripts.outage.records import Admission, Call, Record

if TYPE_CHECKING:
    from botocore.config import Config
    from mypy_boto3_dynamodb import DynamoDBClient

type Limiters = dict[OnUnavailable, Limiter]

TABLE: Final = "outage"
RESOURCE: Final = "gpt-4"
LIMIT: Final = Limit.per_second("requests", 20, burst=20)
ANSWERS: Final = 5
"""So many each limiter must have had before the outage, and has to have after it, for a measurement to be one."""
CHOICES: Final[tuple[OnUnavailable, ...]] = get_args(OnUnavailable.__value__)
TROUBLES: Final[tuple[Trouble, ...]] = get_args(Trouble.__value__)


@contextmanager
def limiters(endpoint_url: str, deadline_ms: int) -> Iterator[Limiters]:
    """Build a limiter of each kind, with a client of its own."""
    with ExitStack() as stack:
        built: Limiters = {}
        for choice in CHOICES:
            client = _client(endpoint_url, client_config())
            stack.callback(client.close)
            repository = stack.enter_context(DynamoRepository(client, TABLE))
            built[choice] = Limiter(repository, timeout_ms=deadline_ms, on_unavailable=choice)
        yield built


class Caller:
    """Asks its limiters in turn until it is told to stop, with a pause after each call."""

    def __init__(self, limiters: Limiters, pause_s: float) -> None:
        """Start at once, on a thread of its own."""
        self.calls: dict[OnUnavailable, list[Call]] = {choice: [] for choice in limiters}
        self._limiters = limiters
        self._pause_s = pause_s
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._go_on)
        self._thread.start()

    def stop(self) -> None:
        """Let the last call end."""
        self._is_over.set()
        self._thread.join()

    def _go_on(self) -> None:
        while True:
            for choice, limiter in self._limiters.items():
                if self._is_over.wait(self._pause_s):
                    return
                began_s = time.monotonic()
                verdict = _ask(limiter, choice)
                self.calls[choice].append(Call(began_s, time.monotonic(), verdict))


def measure(
    endpoint_url: str,
    way: Proxy,
    seconds: float,
    *,
    deadline_ms: int = 500,
    threads: int = 8,
    troubles: Sequence[Trouble] = TROUBLES,
    before_s: float = 2,
    after_s: float = 5,
    pause_s: float = 0.02,
) -> list[Record]:
    """Break the way to the table off for so long, a share of it for each kind of trouble; return what was seen."""
    client = _client(
        endpoint_url, client_config(connect_timeout_s=10, read_timeout_s=30)
    )  # it may have just begun
    template.create_table(client, TABLE)
    with DynamoRepository(client, TABLE) as repository:
        for choice in CHOICES:
            Limiter(repository, timeout_ms=30_000).set_limits(choice, [LIMIT], resource=RESOURCE)
    start_ms = time.time_ns() // 1_000_000
    with limiters(way.endpoint_url, deadline_ms) as asked:
        callers = [Caller(asked, pause_s) for _ in range(threads)]
        try:
            time.sleep(before_s)
            _wait_for_answers(callers, 0)
            down_s = time.monotonic()
            for trouble in troubles:
                way.break_off(trouble)
                time.sleep(seconds / len(troubles))
            way.repair()
            up_s = time.monotonic()
            time.sleep(after_s)
            _wait_for_answers(callers, up_s)
        finally:
            for caller in callers:
                caller.stop()
    elapsed_ms = time.time_ns() // 1_000_000 - start_ms
    bound = LIMIT.capacity + LIMIT.amount * elapsed_ms // LIMIT.period_ms
    records = []
    for choice in CHOICES:
        calls = [call for caller in callers for call in caller.calls[choice]]
        admission = Admission(_used(client, choice), bound)
        records.append(Record(choice, deadline_ms, down_s, up_s, calls, admission))
    client.close()
    return records


def _wait_for_answers(callers: Sequence[Caller], since_s: float) -> None:
    """Wait until each limiter had some answers of the table to calls that began since a time."""
    for choice in CHOICES:
        while (
            sum(
                call.is_answered and call.began_s > since_s
                for caller in callers
                for call in tuple(caller.calls[choice])
            )
            < ANSWERS
        ):
            time.sleep(0.05)


def _ask(limiter: Limiter, entity_id: str) -> str:
    try:
        lease = limiter.acquire(entity_id, RESOURCE, {LIMIT.name: 1})
    except RateLimitExceeded as error:
        if not error.refusals:
            return "declined"
        return "remembered" if error.cached else "refused"
    except StoreError as error:
        return "unsure" if error.maybe_applied else "failed"
    return "allowed" if lease.degraded else "granted"


def _client(endpoint_url: str, config: Config) -> DynamoDBClient:
    return dynamodb_client(
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",  # noqa: S106 - an emulator asks for some
        config=config,
    )


def _used(client: DynamoDBClient, entity_id: str) -> int:
    key = bucket_key(entity_id, RESOURCE)
    answer = client.get_item(TableName=TABLE, Key={"PK": {"S": key.pk}, "SK": {"S": key.sk}}, ConsistentRead=True)
    return int(answer["Item"][used_attribute(LIMIT.name)]["N"])
