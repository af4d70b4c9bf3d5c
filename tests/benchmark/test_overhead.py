"""What a call costs its own process: by the repository and by a plain boto3 client, on a server that does nothing.

Counts hold wherever tests run. Processor time is compared by `make bench` alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
import pytest

from leasegate.repository.direct import DirectCalls
from leasegate.repository.dynamodb import dynamodb_client
from tests.benchmark.calls import PLAIN
from tests.benchmark.counting import count_allocations, count_instructions
from tests.benchmark.turns import BOTO3, OURS, take_turns
from tests.benchmark.workload import ACQUIRE, CREDENTIALS, operations, pairs
from tests.unmocked import unmocked

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

NAMES: Final = (*operations(), ACQUIRE)
GATES: Final[Mapping[str, float]] = dict.fromkeys(NAMES, 0.15) | {"UpdateItem, refused": 0.20, ACQUIRE: 0.25}
"""The processor time that a call may take of the plain client's; an acquire, of the plain client's UpdateItem."""
TLS_GATE: Final = 0.20
ALLOCATIONS_MAX: Final = 200
INSTRUCTIONS_MAX: Final = 0.10
"""What a call may take of the plain client's: 0.40 of its 4 million, where Python was built for speed."""
ROUNDS: Final = 25
CALLS: Final = 40

# In one process, so that all are counted once.
pytestmark = pytest.mark.xdist_group("overhead")


class Pair:
    """The same calls by the repository and by a plain boto3 client."""

    def __init__(self, endpoint_url: str, verify: Path | None, stack: ExitStack) -> None:
        options: dict[str, Any] = {"endpoint_url": endpoint_url, "verify": verify and str(verify), **CREDENTIALS}
        self._client = unmocked(dynamodb_client(direct=True, **options))
        self._plain = unmocked(boto3.client("dynamodb", **options))
        for client in (self._client, self._plain):
            stack.enter_context(closing(client))
        self.calls = {name: (ours, theirs) for name, ours, theirs in pairs(self._client, self._plain)}

    def take_detours(self) -> int:
        assert isinstance(self._client, DirectCalls)
        return self._client.direct.take_detours()


@pytest.fixture(scope="module")
def pair(null_endpoint: str) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(null_endpoint, None, stack)


@pytest.fixture(scope="module")
def tls_pair(null_tls_endpoint: str, certificate: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(null_tls_endpoint, certificate, stack)


@pytest.fixture(scope="module")
def allocations(null_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, float]:
    return count_allocations(null_endpoint, tmp_path_factory.mktemp("allocations"))


@pytest.fixture(scope="module")
def instructions(null_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, float]:
    return count_instructions(null_endpoint, tmp_path_factory.mktemp("instructions"))


def compare(benchmark: BenchmarkFixture, pair: Pair, name: str, gate: float) -> None:
    ours, theirs = pair.calls[name]
    compared = take_turns(benchmark, ours, {BOTO3: theirs}, rounds=ROUNDS, calls=CALLS)
    assert pair.take_detours() == 0
    if compared is not None:
        benchmark.extra_info |= {"case": name, "gate": gate, **compared.describe()}
        assert compared.ratio_to(BOTO3) <= gate


@pytest.mark.benchmark(group="overhead", timer=time.process_time)
@pytest.mark.parametrize("name", NAMES)
def test_a_call_takes_a_fraction_of_the_plain_clients_processor_time(
    benchmark: BenchmarkFixture, pair: Pair, name: str
) -> None:
    compare(benchmark, pair, name, GATES[name])


@pytest.mark.benchmark(group="overhead over TLS", timer=time.process_time)
@pytest.mark.parametrize("name", [name for name in NAMES if name != ACQUIRE])
def test_over_tls_too(benchmark: BenchmarkFixture, tls_pair: Pair, name: str) -> None:
    compare(benchmark, tls_pair, name, TLS_GATE)


@pytest.mark.benchmark(group="allocations")
@pytest.mark.parametrize("name", NAMES)
def test_a_call_asks_for_little_memory(
    benchmark: BenchmarkFixture, allocations: Mapping[str, float], name: str
) -> None:
    check_count(benchmark, allocations, name, None if name == ACQUIRE else ALLOCATIONS_MAX)


@pytest.mark.benchmark(group="instructions")
@pytest.mark.parametrize("name", NAMES)
def test_a_call_takes_few_instructions(
    benchmark: BenchmarkFixture, instructions: Mapping[str, float], name: str
) -> None:
    check_count(benchmark, instructions, name)


def check_count(
    benchmark: BenchmarkFixture, counts: Mapping[str, float], name: str, most: float | None = None
) -> None:
    """Hold a count to what a call may have: so many, else a share of the plain client's or its UpdateItem's."""
    count = benchmark.pedantic(counts.__getitem__, (name,))
    plain = counts[f"{PLAIN}{name}"]
    benchmark.extra_info |= {"case": name, OURS: count, BOTO3: plain}
    share = GATES[ACQUIRE] if name == ACQUIRE else INSTRUCTIONS_MAX
    assert 0 < count <= (share * min(plain, counts[f"{PLAIN}UpdateItem"]) if most is None else most)
