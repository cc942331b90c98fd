"""The disk under the journal is full, really: a small file system of its own, filled and freed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from interaction import Master, TaskStatus
from interaction.exception import JournalError
from tests.contract.conftest import Worker

WAIT = 30.0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Use up every byte."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(b"\0" * size) == size:
                    pass
            except OSError:
                continue
    return ballast


def test_a_full_disk_refuses_what_is_new_loses_nothing_and_recovers(small_disk: Path) -> None:
    url = f"sqlite:///{small_disk / 'master.db'}"
    with Worker("127.0.0.1", 0, channel=7, request_retry_waiting=0.1) as slave:
        with Master("127.0.0.1", 0, channel=7, journal=url) as master:
            connection = master.new_connection("conn", "127.0.0.1", slave.port)
            connection.connect()
            running = connection.new_task({"wait": "x" * 100})
            told: list[object] = []
            running.on_complete(lambda data, result: told.append(result))
            running.start()
            ballast = fill(small_disk)

            refused = connection.new_task({"payload": os.urandom(100_000).hex()})
            with pytest.raises(JournalError, match="full"):
                refused.start()
            assert refused.status is TaskStatus.START_FAILED
            assert isinstance(refused.error, JournalError)
            assert connection.is_connected

            ballast.unlink()
            slave.go_on.set()
            assert running.join(WAIT).result == {"waited": "x" * 100}
            assert told == [{"waited": "x" * 100}]
            again = connection.new_task({"a": 1, "b": 2})
            again.start()
            assert again.join(WAIT).result == {"sum": 3}
        assert slave.ran == [{"wait": "x" * 100}, {"a": 1, "b": 2}]


def test_a_result_that_can_not_be_written_is_kept_by_its_slave(small_disk: Path) -> None:
    url = f"sqlite:///{small_disk / 'master.db'}"
    with Worker("127.0.0.1", 0, channel=7, request_retry_waiting=0.1) as slave:
        with Master("127.0.0.1", 0, channel=7, journal=url) as master:
            connection = master.new_connection("conn", "127.0.0.1", slave.port)
            connection.connect()
            large = "x" * 300_000  # there is room for the task, and none for its result beside it
            task = connection.new_task({"echo": large})
            ballast = small_disk / "ballast"
            ballast.write_bytes(b"\0" * 1_400_000)
            task.start()
            with pytest.raises(TimeoutError):
                task.join(1.0)
            assert task.status is TaskStatus.STARTED
            ballast.unlink()
            assert task.join(WAIT).result == large
        assert len(slave.ran) == 1
