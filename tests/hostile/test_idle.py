"""Ten thousand connections that say nothing, or hello and then nothing: each costs little, and a task still runs."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.contract.slave_programs import WAIT
from tests.hostile.conftest import Pair
from tests.hostile.http2 import PREFACE, SETTINGS, frame

SPARE = 500  # descriptors that this process needs beside
WANTED = 10_000


@pytest.fixture(scope="module", autouse=True)  # before the processes start, which inherit it
def many() -> Iterator[int]:
    """How many connections this machine lets a process have: the soft limit is raised, and put back at the end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard if hard != resource.RLIM_INFINITY else WANTED + 2 * SPARE
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(most, WANTED + 2 * SPARE)), hard))
    try:
        yield min(WANTED, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("role", ["master", "slave"])
@pytest.mark.parametrize("greeting", [b"", PREFACE + frame(SETTINGS)], ids=["silent", "polite"])
def test_idle_connections_are_cheap_and_hold_nobody_up(many: int, pair: Pair, role: str, greeting: bytes) -> None:
    peer = pair.peer(role)
    before = peer.memory()
    with ExitStack() as stack:
        for _ in range(many):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", peer.port), timeout=WAIT))
            connection.sendall(greeting)
        if greeting:  # it has been read by the last one's answer
            assert connection.recv(9)
        seconds = pair.works(within=WAIT)
        each = (peer.memory() - before) * 1024 / many
        print(f"{role}: {many} connections, {each:.1f} KiB each; a task meanwhile took {seconds * 1000:.0f} ms")
        assert each < 64
    pair.assert_unharmed(most=many * 64 / 1024 + 64)
