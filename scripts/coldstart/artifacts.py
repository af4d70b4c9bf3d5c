"""What Lambda would run: the layer as its Makefile builds it, the same without bytecode, and the function."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from scripts.toolchain import ROOT, run_logged, sam_environment

_LAYER: Final = ROOT / "layers" / "limiter"
_HANDLER: Final = ROOT / "functions" / "acquire" / "app.py"


def build_layer(folder: Path, log: Path) -> Path:
    """Build the layer into a folder, as `sam build` has it built; return the folder."""
    command: list[str | Path] = ["make", "-C", _LAYER, "build-LimiterLayer", f"ARTIFACTS_DIR={folder}"]
    run_logged(command, env=sam_environment(), log=log)
    return folder


def without_bytecode(layer: Path, folder: Path) -> Path:
    """Copy a layer without its bytecode; return the folder."""
    return Path(shutil.copytree(layer, folder, ignore=shutil.ignore_patterns("__pycache__")))


def copy_function(folder: Path) -> Path:
    """Copy the function's one file, as `sam build` does; return the folder."""
    folder.mkdir()
    shutil.copy(_HANDLER, folder)
    return folder
