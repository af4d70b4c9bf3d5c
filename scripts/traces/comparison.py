"""Before and after, in one run: each case put to the sequential algorithm and to Leasegate, and what X-Ray saw."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from leasegate.repository.dynamodb import DynamoRepository
from leasegate.tracing import Trace
from scripts import template
from scripts.deployment import dynamodb_client
from scripts.progress import step
from scripts.stack import embedded_stack
from scripts.traces.cases import CASES, Case
from scripts.traces.contestants import Leasegate, Sequential, run
from scripts.traces.daemon import listening
from scripts.traces.deployed import deploy_baseline, observed, stop_deliveries
from scripts.traces.distance import distance

DELAY_MS: Final = 50
"""How much later DynamoDB's answers arrive; on one machine the way takes no time, and all would be computing.

Far more than it takes to send two calls: those that overlap were side by side.
"""

_TABLE_NAME: Final = "sequential"


class Comparison(NamedTuple):
    """What both did in a case."""

    case: Case
    before: Trace
    after: Trace

    @property
    def saved(self) -> int:
        """How many times less DynamoDB is waited for."""
        return self.before.depth - self.after.depth


def compare(cases: Sequence[Case] = CASES, delay_ms: int = DELAY_MS) -> tuple[Comparison, ...]:
    """Deploy both to an emulator of their own, and put the cases to them in their order, DynamoDB so far away.

    Calls and depths are the same in every run; times are not.
    """
    with (
        listening() as daemon,
        embedded_stack("traces", enforce_iam=False, xray_daemon=daemon.address) as stack,
    ):
        client = dynamodb_client(stack.endpoint_url)
        template.create_table(client, _TABLE_NAME)
        stop_deliveries(stack.endpoint_url)
        baseline = deploy_baseline(stack.endpoint_url, stack.layer_arn, _TABLE_NAME)
        with (
            distance(stack.endpoint_url, delay_ms) as far,
            observed(stack.endpoint_url, baseline, daemon, far) as before,
            observed(stack.endpoint_url, stack.acquire_function_name, daemon, far) as after,
            DynamoRepository(client, stack.table_name) as repository,
            step(f"Asking both, {len(cases)} cases, with DynamoDB {delay_ms} ms away"),
        ):
            sequential = Sequential(before, client, _TABLE_NAME)
            leasegate = Leasegate(after, repository)
            # At once: most of the time both wait.
            with ThreadPoolExecutor(2) as pool:
                return tuple(
                    [Comparison(case, *pool.map(run, (sequential, leasegate), (case, case))) for case in cases]
                )
