"""The emulator's process: found by its lock, ended, and never mistaken for a stranger."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import ministack
from scripts.processes import StartError


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    ministack.stop(tmp_path)


def start(folder: Path) -> ministack.Server:
    return ministack.start(folder, enforce_iam=False, outlives_parent=False, xray_daemon=None)


def test_a_started_one_answers_and_is_found_by_its_folder(folder: Path) -> None:
    server = start(folder)

    assert ministack.answers(server.endpoint_url)
    assert ministack.running_pid(folder) == server.pid


def test_a_stopped_one_is_gone(folder: Path) -> None:
    server = start(folder)

    assert ministack.stop(folder)

    assert not ministack.answers(server.endpoint_url)
    assert not has_process(server.pid)
    assert not ministack.stop(folder)


def test_a_folder_has_one_at_most(folder: Path) -> None:
    start(folder)

    with pytest.raises(StartError, match="is running already"):
        start(folder)


def test_two_folders_have_a_port_each(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    try:
        assert start(folder).endpoint_url != start(other).endpoint_url
    finally:
        ministack.stop(other)


def test_one_that_crashed_counts_as_ended_and_can_be_followed(folder: Path) -> None:
    crashed = start(folder)
    os.kill(crashed.pid, signal.SIGKILL)
    os.waitpid(crashed.pid, 0)

    assert ministack.running_pid(folder) is None
    assert ministack.answers(start(folder).endpoint_url)


def test_a_stranger_with_its_number_is_left_alone(folder: Path) -> None:
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        (folder / "server.pid").write_text(str(stranger.pid))

        assert not ministack.stop(folder)

        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def has_process(pid: int) -> bool:
    for _ in range(20):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.05)
    return True
