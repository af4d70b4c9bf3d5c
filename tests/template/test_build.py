"""What `sam build` made: complete without what the Lambda runtime has, and free of it."""

import csv
import json
import marshal
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash
from pathlib import Path
from types import CodeType
from typing import Any, Final

import pytest

from scripts.coldstart.artifacts import build_layer
from scripts.toolchain import MINISTACK_PYTHON, ROOT

# What Lambda's Python 3.13 has beside the standard library, as far as these functions are concerned.
RUNTIME = ["boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six.py", "urllib3"]


# Folders of the package that no function uses, and whose libraries the layer does not have.
COMMAND_ALONE = ["cli", "declaration", "pricing", "simulation"]

LAYER_BYTES: Final = 6_000_000
"""What the layer may take as a zip file."""
UNCHECKED_HASH: Final = 0b01
"""PEP 552: bytecode that knows its source by a hash (1), and is not compared with it (2 would say that it is)."""


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with the packages of the Lambda runtime, and nothing else."""
    folder = tmp_path_factory.mktemp("runtime")
    (site_packages,) = (MINISTACK_PYTHON.parents[1] / "lib").glob("python3.*/site-packages")
    for name in RUNTIME:
        source = site_packages / name
        if source.is_dir():
            shutil.copytree(source, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


def run_as_lambda(built: Path, runtime: Path, function: str, program: str) -> Any:  # noqa: ANN401 - a JSON document
    """Run a program in a function's folder with Lambda's search path: the function, the layer, the runtime."""
    search_path = [built / function, built / "LimiterLayer" / "python", runtime]
    result = subprocess.run(
        # -S: no site-packages, neither of this environment nor of the interpreter.
        [MINISTACK_PYTHON, "-S", "-B", "-c", program],
        cwd=built / function,
        env={
            "PYTHONPATH": ":".join(map(str, search_path)),
            "AWS_DEFAULT_REGION": "us-east-1",
            "TABLE_NAME": "none",
            "POWERTOOLS_SERVICE_NAME": "leasegate",
            "POWERTOOLS_METRICS_NAMESPACE": "Leasegate",
            "LAMBDA_TASK_ROOT": str(built / function),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def functions() -> list[str]:
    """Name the built folders of functions/."""
    return [
        f"{path.name.capitalize()}Function"
        for path in sorted((ROOT / "functions").iterdir())
        if path.is_dir() and not path.name.startswith(("_", "."))
    ]


def test_the_layer_holds_no_sdk_and_no_machine_code(built: Path) -> None:
    layer = built / "LimiterLayer" / "python"

    assert not list(layer.glob("boto*"))
    assert not [path for path in layer.rglob("*") if path.suffix in {".so", ".pyd"}]


def test_every_module_of_the_layer_comes_compiled(built: Path) -> None:
    layer = built / "LimiterLayer" / "python"
    compiled = {Path(cache_from_source(str(path))): path for path in layer.rglob("*.py")}

    assert set(layer.rglob("*.pyc")) == compiled.keys()
    for bytecode, source in compiled.items():
        content = bytecode.read_bytes()
        assert content[:4] == MAGIC_NUMBER
        assert int.from_bytes(content[4:8], "little") == UNCHECKED_HASH, bytecode
        assert content[8:16] == source_hash(source.read_bytes()), bytecode


def test_bytecode_names_its_source_as_it_lies_in_lambda(built: Path) -> None:
    layer = built / "LimiterLayer" / "python"

    for bytecode in layer.rglob("*.pyc"):
        source = bytecode.parents[1].relative_to(layer) / f"{bytecode.name.partition('.')[0]}.py"
        named = {code.co_filename for code in codes(marshal.loads(bytecode.read_bytes()[16:]))}  # noqa: S302 - built here
        assert named == {f"/opt/python/{source}"}


def codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def test_the_layer_is_built_alike_each_time(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Or its hash, and with it the published version, would change without a change.
    monkeypatch.setenv("PYTHONHASHSEED", "4711")
    again = build_layer(tmp_path / "layer", tmp_path / "make.log")

    assert contents(again) == contents(built / "LimiterLayer")


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_layer_is_small(built: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "layer"), "zip", built / "LimiterLayer"))

    assert archive.stat().st_size <= LAYER_BYTES


@pytest.mark.parametrize("package", ["leasegate", "leasegate_lambda"])
def test_the_layer_holds_the_packages_without_what_only_the_command_uses(built: Path, package: str) -> None:
    source = ROOT / "layers" / "limiter" / package
    shipped = built / "LimiterLayer" / "python" / package

    not_shipped = tuple(f"{folder}/" for folder in COMMAND_ALONE)
    assert modules(shipped) == {
        path: content for path, content in modules(source).items() if not path.startswith(not_shipped)
    }
    assert (shipped / "py.typed").exists()


def modules(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.py")}


def test_the_layer_holds_what_is_pinned_and_no_more(built: Path) -> None:
    layer = built / "LimiterLayer" / "python"
    lines = (ROOT / "layers" / "limiter" / "requirements.txt").read_text().splitlines()
    pinned = {
        line.split()[0].replace("-", "_") for line in lines if "==" in line and not line.startswith((" ", "#"))
    }

    shipped = {path.name.removesuffix(".dist-info").replace("-", "==", 1) for path in layer.glob("*.dist-info")}
    assert shipped == pinned


def test_every_file_of_the_layer_is_ours_or_of_a_package_that_is_pinned(built: Path) -> None:
    layer = built / "LimiterLayer" / "python"
    recorded = {
        layer / row[0]
        for record in layer.glob("*.dist-info/RECORD")
        for row in csv.reader(record.read_text().splitlines())
    }
    strangers = [
        path
        for path in layer.rglob("*")
        if path.is_file()
        and path not in recorded
        and path.parent.name != "__pycache__"
        and path.relative_to(layer).parts[0] not in ("leasegate", "leasegate_lambda")
        and path.name not in ("INSTALLER", "REQUESTED", "direct_url.json")
    ]
    assert strangers == []
    assert [path.name for path in (built / "LimiterLayer").iterdir()] == ["python"]


@pytest.mark.parametrize("function", functions())
def test_a_function_imports_with_layer_and_runtime_alone(built: Path, runtime: Path, function: str) -> None:
    origins = run_as_lambda(
        built,
        runtime,
        function,
        "import app, sys, json; print(json.dumps({name: sys.modules[name].__file__ for name in"
        " ('app', 'leasegate', 'leasegate_lambda', 'aws_lambda_powertools', 'aws_xray_sdk', 'wrapt',"
        " 'botocore')}))",
    )

    places = {
        name: next(place for place in (built / function, built / "LimiterLayer", runtime) if str(place) in origin)
        for name, origin in origins.items()
    }
    assert places == {
        "app": built / function,
        "leasegate": built / "LimiterLayer",
        "leasegate_lambda": built / "LimiterLayer",
        "aws_lambda_powertools": built / "LimiterLayer",
        "aws_xray_sdk": built / "LimiterLayer",
        "wrapt": built / "LimiterLayer",
        "botocore": runtime,
    }


def test_every_module_of_the_package_imports_with_the_runtime_alone(built: Path, runtime: Path) -> None:
    imported = run_as_lambda(
        built,
        runtime,
        "AcquireFunction",
        "import json, pkgutil, importlib, leasegate;"
        " print(json.dumps([importlib.import_module(m.name).__name__"
        " for m in pkgutil.walk_packages(leasegate.__path__, 'leasegate.')]))",
    )

    assert "leasegate.limiter" in imported


@pytest.mark.parametrize("function", functions())
def test_a_function_is_one_file(built: Path, function: str) -> None:
    assert [path.name for path in (built / function).iterdir()] == ["app.py"]
