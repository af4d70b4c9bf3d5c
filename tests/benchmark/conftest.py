"""What benchmarks run on: servers that do nothing, DynamoDB Local when it is warm; and what results depend on."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from scripts.dynamodb_local import PACKAGE
from tests.benchmark.arena import Arena, arena, warm
from tests.benchmark.null_server import null_server
from tests.certificates import make_certificate
from tests.fixtures.dynamodb import Table


@pytest.fixture(scope="session")
def null_endpoint() -> Iterator[str]:
    """Run a server that does nothing; the value is its URL."""
    with null_server() as url:
        yield url


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate of loopback."""
    return make_certificate(tmp_path_factory.mktemp("certificate"), of="IP:127.0.0.1")


@pytest.fixture(scope="session")
def null_tls_endpoint(certificate: Path) -> Iterator[str]:
    """Run one that speaks TLS; the value is its URL."""
    with null_server(certificate) as url:
        yield url


@pytest.fixture(scope="session")
def warm_dynamodb_local(dynamodb_local: str, request: pytest.FixtureRequest) -> str:
    """Let DynamoDB Local get warm before anything is timed on it; the value is its endpoint."""
    if request.config.getoption("benchmark_enable"):
        warm(dynamodb_local)
    return dynamodb_local


@pytest.fixture
def on(warm_dynamodb_local: str, table: Table) -> Iterator[Arena]:
    """Open a fresh table for all that are compared."""
    with arena(warm_dynamodb_local, table.name) as opened:
        yield opened


def pytest_benchmark_update_machine_info(machine_info: dict[str, object]) -> None:
    """Tell results what they depend on, beside the machine."""
    machine_info["is_optimised"] = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    machine_info["versions"] = {name: version(name) for name in ("boto3", "botocore", "urllib3")}
    machine_info["emulator"] = PACKAGE
