"""What a session opened is closed with it, not when the garbage collector comes by."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from interaction import Master
from tests.contract.conftest import Worker

needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@needs_proc
@pytest.mark.usefixtures("no_collector")
def test_sessions_that_have_ended_hold_no_socket(master: Master, slave: Worker) -> None:
    def session() -> None:
        with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
            connection.new_task({"a": 1, "b": 2}).start().join()

    session()
    deadline, before = time.monotonic() + 10.0, descriptors()
    for _ in range(10):
        session()
    while descriptors() > before and time.monotonic() < deadline:
        threading.Event().wait(0.05)  # gRPC closes its sockets on threads of its own, and tells nobody
    assert descriptors() <= before
