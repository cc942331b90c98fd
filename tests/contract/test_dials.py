"""A slave dials an address that was named to it for as long as somebody wants a session for that, and no longer."""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import grpc
import pytest

from interaction.core import engagement
from interaction.v1 import slave_service_pb2 as messages
from interaction.v1 import slave_service_pb2_grpc as services
from tests.contract.conftest import MakeSlave, Worker
from tests.contract.recording_master import recording_master
from tests.contract.slave_programs import WAIT
from tests.contract.wire import NO_PROXY, duration_of, metadata_of, new_token

HANGS_UP = 0.5  # seconds
SILENCE = 3.0  # seconds in which gRPC would dial again a few times
SLACK = 0.5


class Dialled:
    """An address that counts who dials it, and resets each connection, or takes it and says nothing."""

    def __init__(self, *, resets: bool, port: int = 0) -> None:
        self.times: list[float] = []
        self._resets = resets
        self._held: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", port))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def _take(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.times.append(time.monotonic())
                if self._resets:
                    connection.close()
                else:
                    self._held.append(connection)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for connection in self._held:
            connection.close()


@pytest.fixture
def uncollected() -> Iterator[None]:
    """What is let go of late is found when memory is next collected, which may be in a minute: here never."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.fixture
def connect(make_slave: MakeSlave, stack: ExitStack) -> Callable[[str, float], None]:
    """Ask a free slave for a session, and wait so long for what comes of it."""
    slave = make_slave(Worker)
    stub = services.SlaveServiceStub(stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{slave.port}", NO_PROXY)))

    def ask(address: str, patience: float) -> None:
        request = messages.ConnectRequest(master_address=address, lease=duration_of(86_400.0))
        with pytest.raises(grpc.RpcError):
            stub.Connect(request, metadata=metadata_of(new_token()), timeout=patience)

    return ask


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("resets", [True, False])
@pytest.mark.parametrize("patience", [HANGS_UP, WAIT])
def test_nobody_is_dialled_once_the_claim_is_over(
    connect: Callable[[str, float], None], monkeypatch: pytest.MonkeyPatch, resets: bool, patience: float
) -> None:
    """Its caller has hung up, or it has had its time."""
    monkeypatch.setattr(engagement, "PROOF_SECONDS", 1.5)
    dialled = Dialled(resets=resets)
    try:
        connect(dialled.address, patience)
        over = time.monotonic() + SLACK
        threading.Event().wait(SILENCE)
        assert dialled.times, "it was dialled"
        assert [moment - over for moment in dialled.times if moment > over] == []
    finally:
        dialled.close()


@pytest.mark.usefixtures("uncollected")
def test_nobody_is_dialled_once_the_session_is_over(make_slave: MakeSlave, stack: ExitStack) -> None:
    """Its master has gone, and at its address is somebody else, who resets what comes."""
    slave = make_slave(Worker)
    stub = services.SlaveServiceStub(stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{slave.port}", NO_PROXY)))
    with recording_master() as master:
        request = messages.ConnectRequest(master_address=master.address, lease=duration_of(1.5))
        stub.Connect(request, metadata=metadata_of(new_token()), timeout=WAIT)
    dialled = Dialled(resets=True, port=int(master.address.rpartition(":")[2]))
    try:
        assert slave.lost_connection.wait(WAIT)
        over = time.monotonic() + SLACK
        threading.Event().wait(SILENCE)
        assert dialled.times, "it was dialled"
        assert [moment - over for moment in dialled.times if moment > over] == []
    finally:
        dialled.close()
