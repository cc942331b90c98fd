"""Few descriptors, and strangers that hold connections: what a living session needs is left to it."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from interaction.rpc.transport import HANDSHAKE_SECONDS
from tests.contract.slave_programs import WAIT
from tests.hostile.conftest import Pair, Peer

FEW, STRANGERS = 256, 300


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The processes that are started now may open few, and we enough."""
    monkeypatch.setenv("DESCRIPTORS", str(FEW))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 3 * STRANGERS + soft), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("role", ["master", "slave"])
def test_idle_connections_leave_descriptors_to_a_living_session(
    few: None, make_pair: Callable[..., Pair], role: str
) -> None:
    pair = make_pair()
    peer = pair.peer(role)
    with ExitStack() as stack:
        for _ in range(STRANGERS):
            with suppress(OSError):  # closed as it came
                stack.enter_context(socket.create_connection(("127.0.0.1", peer.port), timeout=WAIT))
        pair.works()
        end = time.monotonic() + HANDSHAKE_SECONDS / 2  # before they are closed for having said nothing
        while (held := len(os.listdir(f"/proc/{peer.process.pid}/fd"))) > FEW - 32 and time.monotonic() < end:
            time.sleep(0.01)  # the others are closed as they come
        assert FEW // 4 < held <= FEW - 32
        pair.works()
    pair.works()


def test_a_master_and_its_slave_in_one_process_leave_it_descriptors_together(
    few: None, stack: ExitStack, tmp_path: Path
) -> None:
    peer = Peer("both", tmp_path / "both.log")
    stack.callback(peer.close)
    ports = (peer.port, int(peer.line()))
    for command, answer in ((f"connect {peer.port}", "connected"), ("run", "COMPLETED {'sum': 3}")):
        peer.say(command)
        assert peer.line() == answer
    with ExitStack() as strangers:
        for _ in range(STRANGERS):
            for port in ports:
                with suppress(OSError):
                    strangers.enter_context(socket.create_connection(("127.0.0.1", port), timeout=WAIT))
        end = time.monotonic() + HANDSHAKE_SECONDS / 2
        while (held := len(os.listdir(f"/proc/{peer.process.pid}/fd"))) > FEW - 32 and time.monotonic() < end:
            time.sleep(0.01)
        assert FEW // 4 < held <= FEW - 32
        peer.say("run")
        assert peer.line() == "COMPLETED {'sum': 3}"
