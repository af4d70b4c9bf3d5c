"""Where processes of pytest come from: forks of one that has imported all but what is tried, which is slow."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Sequence
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Final

import pytest

_IMPORTED: Final = (
    "aws_lambda_powertools",
    "aws_xray_sdk.core",
    "boto3",
    "cfnlint.decode.cfn_yaml",
    "hypothesis.strategies",
    "jsonschema",
    "moto.backends",
    "pytest",
    "rich.progress",
)
"""What tests import for seconds, and that has nothing of this package."""
_OURS: Final = frozenset({"leasegate", "leasegate_lambda", "scripts", "tests"})
_PLUGINS: Final = ("--import-mode=importlib", "-p", "xdist", "-p", "no:cacheprovider")
"""Others would be imported anew each time, and what defects are tried by needs none."""


@cache
def prepared() -> ForkServerContext:
    """Return what starts processes as forks of the one that is prepared."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_IMPORTED])
    return context


def run_pytest(checkout: Path, arguments: Sequence[str], output: str) -> None:
    """Run pytest in a checkout, as a process group, and end with its exit code; what it prints goes to a file."""
    os.setsid()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    paths = [str(checkout / "layers" / "limiter"), str(checkout)]
    os.environ |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": os.pathsep.join(paths)}
    with open(output, "wb") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    os.chdir(checkout)
    for name in [name for name in sys.modules if name.partition(".")[0] in _OURS]:
        del sys.modules[name]
    sys.path[:] = [*paths, *sys.path]
    sys.exit(pytest.main(["-q", "-o", "addopts=", *_PLUGINS, *arguments]))


def _end_with_parent() -> None:
    """Take this process's group along when the one that asked for it ends, however that one ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "it is a fork"
    parent.join()
    os.killpg(0, signal.SIGKILL)
