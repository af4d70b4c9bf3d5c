"""Servers that do nothing, for whoever measures what a client does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmark.null_server import make_certificate, null_server


@pytest.fixture(scope="session")
def null_endpoint() -> Iterator[str]:
    """Run a server that does nothing; the value is its URL."""
    with null_server() as url:
        yield url


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate of loopback."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def null_tls_endpoint(certificate: Path) -> Iterator[str]:
    """Run one that speaks TLS; the value is its URL."""
    with null_server(certificate) as url:
        yield url
