"""The samples by `sam local invoke`: the built function in a container of the Lambda image.

Needs a container engine with Lambda's image at hand. Without one these tests are skipped;
LEASEGATE_CONTAINER_TESTS=1 makes them fail instead.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from leasegate import Administrator, Limiter
from leasegate.repository.dynamodb import DynamoRepository
from scripts.deployment import dynamodb_client
from scripts.stack import Stack
from scripts.toolchain import ROOT, SAM, sam_environment
from tests.samples import AGGREGATOR, BACKFILL, EVENTS, REQUESTS, SWEEP, check_counted, seed

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


@pytest.mark.parametrize(
    ("function", "name"), [(function, name) for function, samples in REQUESTS.items() for name in samples]
)
def test_a_request_runs_in_a_container(
    stack: Stack, env_vars: Path, built: Path, function: str, name: str
) -> None:
    answer = invoke(function, name, built, env_vars)
    assert answer["statusCode"] == REQUESTS[function][name].status


@pytest.mark.parametrize("name", BACKFILL)
def test_a_backfill_runs_in_a_container(stack: Stack, env_vars: Path, built: Path, name: str) -> None:
    answer = invoke("BackfillFunction", name, built, env_vars)
    if BACKFILL[name] is None:
        assert answer["status"] == "complete"
    else:
        assert answer["errorType"] == "InvalidRequest"


@pytest.mark.parametrize("name", SWEEP)
def test_a_sweep_runs_in_a_container(stack: Stack, env_vars: Path, built: Path, name: str) -> None:
    assert invoke("SweepFunction", name, built, env_vars)["is_complete"]


@pytest.mark.parametrize("name", AGGREGATOR)
def test_usage_is_counted_in_a_container(stack: Stack, env_vars: Path, built: Path, name: str) -> None:
    answer = invoke("AggregatorFunction", name, built, env_vars)
    with DynamoRepository(dynamodb_client(stack.endpoint_url), stack.table_name) as repository:
        check_counted(Administrator(repository), name, answer)


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
