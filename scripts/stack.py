"""The embedded stack: the real SAM application on an emulator on loopback.

    python -m scripts.stack up      build, deploy, and leave it running; again: deploy what has changed
    python -m scripts.stack down    end it

`up` writes .local/stack.json (where everything is) and .local/env.json (for `sam local invoke --env-vars`).
Tests and the demonstration run stacks of their own beside it, with `embedded_stack()`.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import urllib3
from rich.markup import escape

from scripts import deployment, ministack
from scripts.api import ApiClient
from scripts.locks import exclusive
from scripts.processes import StartError, end_like_interrupted
from scripts.progress import say, step
from scripts.toolchain import ACCESS_KEY_ID, LOCAL, REGION, ROOT, SECRET_ACCESS_KEY

STACK_FILE = LOCAL / "stack.json"
ENV_FILE = LOCAL / "env.json"
FOLDER = LOCAL / "stack"
# SAM's own default, so that `sam local invoke` finds what `up` built.
BUILD_FOLDER = ROOT / ".aws-sam" / "build"


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack that answers, as stack.json describes it."""

    api_url: str
    endpoint_url: str
    container_endpoint_url: str
    table_name: str
    region: str
    access_key_id: str
    secret_access_key: str
    acquire_function_name: str
    admin_function_name: str
    backfill_function_name: str
    sweep_function_name: str
    aggregator_function_name: str
    usage_dead_letters_url: str
    layer_arn: str
    pid: int
    build_folder: str
    log: str

    def api(self) -> ApiClient:
        """Return a client that signs as the emulated account."""
        return ApiClient(
            self.api_url,
            region=self.region,
            access_key_id=self.access_key_id,
            secret_access_key=self.secret_access_key,
        )

    def function_name(self, logical_id: str) -> str:
        """Return the name under which a function of template.yaml was deployed."""
        return {
            "AcquireFunction": self.acquire_function_name,
            "AdminFunction": self.admin_function_name,
            "BackfillFunction": self.backfill_function_name,
            "SweepFunction": self.sweep_function_name,
            "AggregatorFunction": self.aggregator_function_name,
        }[logical_id]

    def container_variables(self) -> dict[str, Any]:
        """Return what `sam local invoke --env-vars` needs so that a container talks to this stack."""
        return {
            "Parameters": {
                "DYNAMODB_ENDPOINT": self.container_endpoint_url,
                "TABLE_NAME": self.table_name,
                "SQS_ENDPOINT": self.container_endpoint_url,
                "USAGE_DEAD_LETTERS_URL": self.usage_dead_letters_url,
            }
        }


def bring_up(
    folder: Path, build_folder: Path, *, enforce_iam: bool, outlives_caller: bool, xray_daemon: str | None = None
) -> Stack:
    """Build, start an emulator in a folder, deploy to it, and wait for the first answer.

    Leaves nothing running if it fails or is interrupted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "sam.log"
    with step("Building the functions and the layer (sam build)"):
        deployment.build(build_folder, log)
    try:
        with step("Starting MiniStack"):
            server = ministack.start(
                folder, enforce_iam=enforce_iam, outlives_parent=outlives_caller, xray_daemon=xray_daemon
            )
        return deploy(server, folder, build_folder)
    except BaseException:
        ministack.stop(folder)
        raise


def deploy(server: ministack.Server, folder: Path, build_folder: Path) -> Stack:
    """Deploy what was built to an emulator that runs, and wait for the first answer."""
    log = folder / "sam.log"
    with step("Deploying table, layer, functions, queue and API (sam deploy)"):
        deployment.deploy(build_folder, server.endpoint_url, log)
        found = deployment.outputs(server.endpoint_url)
    stack = Stack(
        api_url=found["ApiUrl"],
        endpoint_url=server.endpoint_url,
        container_endpoint_url=server.container_endpoint_url,
        table_name=found["TableName"],
        region=REGION,
        access_key_id=ACCESS_KEY_ID,
        secret_access_key=SECRET_ACCESS_KEY,
        acquire_function_name=found["AcquireFunctionName"],
        admin_function_name=found["AdminFunctionName"],
        backfill_function_name=found["BackfillFunctionName"],
        sweep_function_name=found["SweepFunctionName"],
        aggregator_function_name=found["AggregatorFunctionName"],
        usage_dead_letters_url=found["UsageDeadLettersUrl"],
        layer_arn=found["LayerArn"],
        pid=server.pid,
        build_folder=str(build_folder),
        log=str(folder / "ministack.log"),
    )
    with step("Waiting for the first answer"):
        wait_until_answered(stack)
    return stack


def wait_until_answered(stack: Stack, timeout_s: float = 30) -> None:
    """Wait until the acquire function itself has answered; an empty request costs nothing."""
    api = stack.api()
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            answer = api.post("/acquire", {})
            what = f"{answer.status} {answer.body.decode(errors='replace')}"
            # The gateway's own errors are plain JSON.
            if answer.headers.get("content-type", "").startswith("application/problem+json"):
                return
        except urllib3.exceptions.HTTPError as error:
            what = str(error)
        if time.monotonic() > deadline:
            raise StartError(f"POST {stack.api_url}/acquire does not reach the function: {what}\nSee {stack.log}")
        time.sleep(0.2)


@contextmanager
def embedded_stack(name: str, *, enforce_iam: bool = True, xray_daemon: str | None = None) -> Iterator[Stack]:
    """Run a stack of one's own, beside that of `up` and any other; nothing of it is left afterwards.

    Functions are held to the policies of their roles unless `enforce_iam` says otherwise. What they record for
    X-Ray goes to `xray_daemon`, a host and port.
    """
    LOCAL.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=LOCAL))
    try:
        yield bring_up(
            folder,
            folder / "sam" / "build",
            enforce_iam=enforce_iam,
            outlives_caller=False,
            xray_daemon=xray_daemon,
        )
    finally:
        ministack.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


def up() -> Stack:
    """Run the stack of this checkout; if it runs already, deploy to it what has changed and keep its data."""
    with exclusive(LOCAL / "up.lock"):
        server = running_server()
        if server is None:
            # What a crash may have left.
            ministack.stop(FOLDER)
            shutil.rmtree(FOLDER, ignore_errors=True)
            STACK_FILE.unlink(missing_ok=True)
            stack = bring_up(FOLDER, BUILD_FOLDER, enforce_iam=False, outlives_caller=True)
        else:
            say(f"Already up (process {server.pid}); deploying what has changed.")
            with step("Building the functions and the layer (sam build)"):
                deployment.build(BUILD_FOLDER, FOLDER / "sam.log")
            stack = deploy(server, FOLDER, BUILD_FOLDER)
        STACK_FILE.write_text(json.dumps(asdict(stack), indent=2) + "\n")
        ENV_FILE.write_text(json.dumps(stack.container_variables(), indent=2) + "\n")
        return stack


def running_server() -> ministack.Server | None:
    """Return the server that `up` started, or None if there is none, or none that answers."""
    pid = ministack.running_pid(FOLDER)
    if pid is None or not STACK_FILE.exists():
        return None
    try:
        known = json.loads(STACK_FILE.read_text())
        server = ministack.Server(known["endpoint_url"], known["container_endpoint_url"], pid)
    except (ValueError, KeyError):
        return None
    return server if ministack.answers(server.endpoint_url) else None


def down() -> bool:
    """End what `up` started, and only that; say whether there was anything."""
    with exclusive(LOCAL / "up.lock"):
        was_up = ministack.stop(FOLDER)
        shutil.rmtree(FOLDER, ignore_errors=True)
        STACK_FILE.unlink(missing_ok=True)
        ENV_FILE.unlink(missing_ok=True)
        return was_up


def example(stack: Stack) -> str:
    """Write the command that asks a stack for one request of sixty a minute."""
    body = {
        "entity_id": "key-1",
        "resource": "gpt-4",
        "consume": {"rpm": 1},
        "limits": [{"name": "rpm", "amount": 60, "period": "minute"}],
    }
    keys = f"{stack.access_key_id}:{stack.secret_access_key}"
    return (
        f"curl -i {stack.api_url}/acquire \\\n"
        f"  --aws-sigv4 aws:amz:{stack.region}:execute-api --user {keys} \\\n"
        f"  -H 'content-type: application/json' -d '{json.dumps(body)}'"
    )


def main() -> int:
    """Run the command line."""
    end_like_interrupted()
    parser = argparse.ArgumentParser(
        prog="stack", description="The embedded stack: SAM on an emulator on loopback."
    )
    parser.add_argument("command", choices=["up", "down"])
    try:
        if parser.parse_args().command == "down":
            say("The embedded stack is down." if down() else "No embedded stack was up.")
            return 0
        stack = up()
    except StartError as error:
        say(f"[red]Failed:[/] {escape(str(error))}")
        return 1
    except KeyboardInterrupt:
        say("Interrupted.")
        return 130
    say(f"\n[bold green]The embedded stack is up.[/] Ask it:\n\n{escape(example(stack))}\n")
    say(f"Written down in {STACK_FILE.relative_to(ROOT)}. End it with: make down")
    return 0


if __name__ == "__main__":
    sys.exit(main())
