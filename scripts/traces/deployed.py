"""Functions under observation: deployed to an emulator, cold when asked to be, at a distance from the table.

A fresh instance is a function whose configuration has changed. Each calls itself by a name of its own in its
segments, so that one daemon can tell apart whatever runs on the same stack.
"""

from __future__ import annotations

import io
import itertools
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from leasegate.tracing import Trace
from scripts.deployment import client
from scripts.toolchain import ROOT
from scripts.traces.daemon import Daemon

BASELINE: Final = ROOT / "tests" / "benchmark" / "sequential" / "app.py"
BASELINE_NAME: Final = "sequential"

_WAIT: Final = {"Delay": 0.1, "MaxAttempts": 300}

_numbers = itertools.count(1)


class FunctionFailed(RuntimeError):
    """A function ended with an error, or not with the answer that was expected."""


class Instance(NamedTuple):
    """A process of a function, by the name under which it sends its segments."""

    lambda_client: Any
    daemon: Daemon
    function_name: str
    service: str

    def ask(self, event: Mapping[str, Any]) -> tuple[dict[str, Any], Trace]:
        """Return what it answers, and the trace of that. Raises :class:`FunctionFailed` for an error."""
        reply = self.lambda_client.invoke(FunctionName=self.function_name, Payload=json.dumps(event))
        text = reply["Payload"].read()
        if "FunctionError" in reply:
            raise FunctionFailed(f"{self.function_name}: {text.decode()}")
        trace, _ = self.daemon.take(self.service)
        return json.loads(text), trace


class DeployedFunction:
    """A function whose latest configuration is replaced for each instance."""

    def __init__(self, endpoint_url: str, name: str, daemon: Daemon, dynamodb_endpoint: str) -> None:
        """Have it reach the table at ``dynamodb_endpoint``, and tell its traces to ``daemon``."""
        self._client = client("lambda", endpoint_url)
        self._name = name
        self._daemon = daemon
        self._dynamodb_endpoint = dynamodb_endpoint
        self._variables: dict[str, str] = self._client.get_function_configuration(FunctionName=name)[
            "Environment"
        ]["Variables"]
        self._instance: Instance | None = None

    def instance(self) -> Instance:
        """Return the instance that was started last; it may have been asked of other things before."""
        return self._instance or self.start_instance()

    def start_instance(self) -> Instance:
        """Return an instance that has never been asked; the last one is not asked again."""
        service = f"{self._name}-{next(_numbers)}"
        changed = {"POWERTOOLS_SERVICE_NAME": service, "DYNAMODB_ENDPOINT": self._dynamodb_endpoint}
        self._client.update_function_configuration(
            FunctionName=self._name, Environment={"Variables": self._variables | changed}
        )
        self._client.get_waiter("function_updated_v2").wait(FunctionName=self._name, WaiterConfig=_WAIT)
        self._instance = Instance(self._client, self._daemon, self._name, service)
        return self._instance

    def restore(self) -> None:
        """Give it back the configuration it had."""
        self._client.update_function_configuration(
            FunctionName=self._name, Environment={"Variables": self._variables}
        )


@contextmanager
def observed(endpoint_url: str, name: str, daemon: Daemon, dynamodb_endpoint: str) -> Iterator[DeployedFunction]:
    """Put a deployed function under observation until the block ends."""
    function = DeployedFunction(endpoint_url, name, daemon, dynamodb_endpoint)
    try:
        yield function
    finally:
        function.restore()


def deploy_baseline(endpoint_url: str, layer_arn: str, table_name: str) -> str:
    """Deploy the sequential algorithm beside a stack, on a table that is there; return the function's name."""
    lambda_client = client("lambda", endpoint_url)
    lambda_client.create_function(
        FunctionName=BASELINE_NAME,
        Runtime="python3.13",
        Role="arn:aws:iam::000000000000:role/sequential",
        Handler="app.handler",
        Code={"ZipFile": _zipped(BASELINE)},
        Layers=[layer_arn],
        Timeout=10,
        MemorySize=1_024,
        TracingConfig={"Mode": "Active"},
        Environment={"Variables": {"TABLE_NAME": table_name}},
    )
    lambda_client.get_waiter("function_active_v2").wait(FunctionName=BASELINE_NAME, WaiterConfig=_WAIT)
    return BASELINE_NAME


def stop_deliveries(endpoint_url: str) -> None:
    """Stop delivering streams to functions: those would compete with what is observed for the processor."""
    lambda_client = client("lambda", endpoint_url)
    for mapping in lambda_client.list_event_source_mappings()["EventSourceMappings"]:
        lambda_client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)


def _zipped(path: Path) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.write(path, path.name)
    return archive.getvalue()
