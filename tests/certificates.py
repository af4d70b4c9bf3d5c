"""Certificates that nobody vouches for, for servers of tests on loopback."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make_certificate(folder: Path, *, of: str) -> Path:
    """Make a certificate, on the curve P-256, valid for two days; its file has the key too.

    ``of`` is what it vouches for, as ``DNS:localhost`` or ``IP:127.0.0.1``. Needs openssl on PATH.
    """
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
        f" -addext subjectAltName={of} -keyout key.pem -out certificate.pem"
    )
    subprocess.run(command.split(), check=True, capture_output=True, cwd=folder)
    both = folder / "both.pem"
    both.write_text((folder / "certificate.pem").read_text() + (folder / "key.pem").read_text())
    return both
