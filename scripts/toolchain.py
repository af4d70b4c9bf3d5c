"""Where the tools of this checkout are, and in which surroundings they run.

`make` installs them. Each has an environment of its own, because aws-sam-cli, MiniStack and the development
tools hold back each other's versions.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.processes import StartError, last_lines

ROOT = Path(__file__).resolve().parents[1]
LOCAL = ROOT / ".local"
SAM = LOCAL / "tools" / "sam" / "bin" / "sam"
MINISTACK_PYTHON = LOCAL / "tools" / "ministack" / "bin" / "python3.13"
# Only tests need it: `make test` installs it.
LAMBDA_PYTHON = LOCAL / "tools" / "lambda" / "bin" / "python3.13"
# `make docs` and tests need it, and install it.
MKDOCS = LOCAL / "tools" / "docs" / "bin" / "mkdocs"
# As .venv, with the oldest SDK that the package allows.
OLDEST_PYTHON = LOCAL / "tools" / "oldest" / "bin" / "python3.13"
# What `make peers` compares with.
PEERS_PYTHON = LOCAL / "tools" / "peers" / "bin" / "python3.13"

REGION = "us-east-1"
# MiniStack's own root credentials; they open nothing else.
ACCESS_KEY_ID = "test"
SECRET_ACCESS_KEY = "test"  # noqa: S105 - not a secret


def emulated_account() -> dict[str, str]:
    """Return the AWS settings with which a tool reaches the emulator's account and no real one."""
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def sam_environment(endpoint_url: str | None = None) -> dict[str, str]:
    """Return the variables to run SAM with: this user's, without their AWS account.

    Its own environment comes first on PATH, so that the python3.13 it builds with is one that works and has pip.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    variables = {
        **kept,
        **emulated_account(),
        "PATH": f"{SAM.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": "0.5",
    }
    if endpoint_url:
        variables["AWS_ENDPOINT_URL"] = endpoint_url
    return variables


def require(*tools: Path) -> None:
    """Raise `StartError` if a tool has not been installed yet."""
    for tool in tools:
        if not tool.exists():
            raise StartError(f"{tool.relative_to(ROOT)} is missing; `make tools` installs it")


def run_logged(command: Sequence[str | Path], *, env: Mapping[str, str], log: Path, cwd: Path = ROOT) -> None:
    """Run a tool with its output in a log; raise `StartError` with the end of that log if it fails."""
    with log.open("ab") as output:
        output.write(f"$ {' '.join(map(str, command))}\n".encode())
        output.flush()
        result = subprocess.run(command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    if result.returncode:
        name = " ".join(map(str, (Path(command[0]).name, *command[1:2])))
        raise StartError(f"`{name}` failed with {result.returncode}; the end of {log}:\n{last_lines(log)}")
