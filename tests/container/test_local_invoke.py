"""The samples in containers of the Lambda image: one of each function by `sam local invoke`, all in warm ones.

A container of its own takes `sam local invoke` some ten seconds, so `sam local start-lambda` keeps one for each
function, and every sample goes there.

Needs a container engine with Lambda's image at hand. Without one these tests are skipped;
LEASEGATE_CONTAINER_TESTS=1 makes them fail instead.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from leasegate import Administrator, Limiter
from leasegate.repository.dynamodb import DynamoRepository
from scripts.deployment import client, dynamodb_client
from scripts.processes import accepts_connections, free_port, heed_interrupts, stop, tied_to_parent, wait_until_up
from scripts.stack import Stack
from scripts.toolchain import ROOT, SAM, sam_environment
from tests.samples import AGGREGATOR, BACKFILL, EVENTS, REQUESTS, SWEEP, check_counted, load_event, seed

# First of all fixtures: no stack is deployed for tests that are skipped.
pytestmark = pytest.mark.usefixtures("engine")


def engine_runs() -> bool:
    """Say whether a container engine answers."""
    return (
        shutil.which("docker") is not None
        and not subprocess.run(["docker", "version"], capture_output=True).returncode
    )


@pytest.fixture(scope="session")
def engine() -> None:
    """Require a container engine where LEASEGATE_CONTAINER_TESTS says so; skip without one elsewhere."""
    if not engine_runs():
        reason = "no container engine answers (`docker version` fails), and `sam local invoke` needs one"
        if os.environ.get("LEASEGATE_CONTAINER_TESTS") == "1":
            pytest.fail(f"LEASEGATE_CONTAINER_TESTS=1, but {reason}")
        pytest.skip(reason)


@pytest.fixture(scope="module")
def env_vars(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fill the stack's table, and write the file that leads a container to it."""
    with DynamoRepository(dynamodb_client(stack.endpoint_url), stack.table_name) as repository:
        seed(Limiter(repository))
    path = tmp_path_factory.mktemp("container") / "env.json"
    path.write_text(json.dumps(stack.container_variables()))
    return path


@pytest.fixture(scope="module")
def containers(env_vars: Path, built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """Keep a container of every function warm, from its first sample to the last of all."""
    port = free_port()
    log = tmp_path_factory.mktemp("start-lambda") / "log"
    command = [
        *(str(SAM), "local", "start-lambda", "--config-file", str(ROOT / "samconfig.toml")),
        *("--config-env", "local", "--template", str(built / "template.yaml")),
        *("--env-vars", str(env_vars), "--port", str(port)),
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            tied_to_parent(command),
            env=sam_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=heed_interrupts,
        )
    try:
        wait_until_up(process, partial(accepts_connections, port), name="sam local start-lambda", log=log)
        yield Containers(f"http://127.0.0.1:{port}")
    finally:
        process.send_signal(signal.SIGINT)  # so that it removes its containers
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        stop(process)


class Containers:
    """The functions in their containers, behind an address that speaks as Lambda does."""

    def __init__(self, endpoint_url: str) -> None:
        self._lambda = client("lambda", endpoint_url)

    def invoke(self, function: str, name: str) -> dict[str, Any]:
        """Run a sample, and return what it answers."""
        reply = self._lambda.invoke(FunctionName=function, Payload=json.dumps(load_event(name)))
        answer: dict[str, Any] = json.loads(reply["Payload"].read())
        return answer


FIRST = {
    **{function: next(iter(samples)) for function, samples in REQUESTS.items()},
    "AggregatorFunction": next(iter(AGGREGATOR)),
    "BackfillFunction": next(iter(BACKFILL)),
    "SweepFunction": next(iter(SWEEP)),
}


@pytest.mark.parametrize(("function", "name"), FIRST.items())
def test_a_sample_of_each_function_runs_by_sam_local_invoke(
    stack: Stack, env_vars: Path, built: Path, function: str, name: str
) -> None:
    check(stack, function, name, invoke(function, name, built, env_vars))


@pytest.mark.parametrize(
    ("function", "name"),
    [
        *(("SweepFunction", name) for name in SWEEP),  # first, while there are no leases that it would wait for
        *((function, name) for function, samples in REQUESTS.items() for name in samples),
        *(("AggregatorFunction", name) for name in AGGREGATOR),
        *(("BackfillFunction", name) for name in BACKFILL),
    ],
)
def test_every_sample_runs_in_a_container(stack: Stack, containers: Containers, function: str, name: str) -> None:
    check(stack, function, name, containers.invoke(function, name))


def check(stack: Stack, function: str, name: str, answer: dict[str, Any]) -> None:
    """Hold an answer to what the sample comes to."""
    match function:
        case "BackfillFunction" if BACKFILL[name] is None:
            assert answer["status"] == "complete"
        case "BackfillFunction":
            assert answer["errorType"] == "InvalidRequest"
        case "SweepFunction":
            assert answer["is_complete"]
        case "AggregatorFunction":
            with DynamoRepository(dynamodb_client(stack.endpoint_url), stack.table_name) as repository:
                check_counted(Administrator(repository), name, answer)
        case _:
            assert answer["statusCode"] == REQUESTS[function][name].status


def invoke(function: str, name: str, built: Path, env_vars: Path) -> dict[str, Any]:
    """Run `sam local invoke` with a sample, and return what it answers."""
    result = subprocess.run(
        [
            *(SAM, "local", "invoke", function, "--config-file", ROOT / "samconfig.toml"),
            *("--config-env", "local", "--template", built / "template.yaml"),
            *("--event", EVENTS / f"{name}.json", "--env-vars", env_vars),
        ],
        env=sam_environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer
