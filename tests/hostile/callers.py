"""What the figures about strangers and roles share: a slave that counts what is done with it, and calls by hand."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import grpc
from grpc_status import rpc_status

from interaction import TLS, Master, Slave
from interaction.exception import RequestException, ResponseException
from interaction.v1 import slave_service_pb2 as messages
from interaction.v1.slave_service_pb2_grpc import SlaveServiceStub
from tests.contract.wire import NO_PROXY, duration_of, metadata_of, new_token, payload_of

SLOW = 2.0  # seconds that the slave's hook takes, where it is asked to
PATIENCE = 5.0  # seconds that a caller waits
DAY = 86_400.0


class Counting(Slave):
    """Its hook takes long for whoever asks for that."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.sessions = 0
        self.tasks = 0

    def _before_connection(self, data: Mapping[str, Any]) -> None:
        self.sessions += 1
        if data.get("slow"):
            threading.Event().wait(SLOW)

    def _process_task(self, task: Mapping[str, Any]) -> Mapping[str, Any]:
        self.tasks += 1
        return task


class Listening:
    """An address at which somebody listens who never says a word, and counts who dials it."""

    def __init__(self) -> None:
        self.dials = 0
        self._held: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()

    def _count(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.dials += 1
            self._held.append(connection)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for connection in self._held:
            connection.close()


@contextmanager
def channel_to(port: int, tls: TLS | None = None, name: str = "", own: TLS | None = None) -> Iterator[grpc.Channel]:
    """Of somebody who knows the authority of `tls`, and has the certificate of `own`, or none."""
    options: list[tuple[str, Any]] = [*NO_PROXY, ("grpc.use_local_subchannel_pool", 1)]
    if tls is None:
        with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            yield channel
        return
    shown = (None, None) if own is None else (own.key, own.certificate)
    credentials = grpc.ssl_channel_credentials(tls.authority, *shown)
    options.append(("grpc.ssl_target_name_override", name))
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
        yield channel


@contextmanager
def flood(port: int, address: Callable[[], str], callers: int = 48) -> Iterator[None]:
    """So many call a slave at once, one call after the other, each of which would wait for long."""
    over = threading.Event()

    def come(stub: SlaveServiceStub) -> None:
        while not over.is_set():
            refused(partial(stub.Connect, connect_request(address(), DAY), 2.0, metadata_of(new_token())))

    with ExitStack() as stack:
        stubs = [SlaveServiceStub(stack.enter_context(channel_to(port))) for _ in range(callers)]
        threads = [threading.Thread(target=come, args=(stub,), daemon=True) for stub in stubs]
        for thread in threads:
            stack.callback(thread.join)
        stack.callback(over.set)
        for thread in threads:
            thread.start()
        threading.Event().wait(1.0)  # they have taken every place by then
        yield


def connect_request(address: str, lease: float = 10.0, *, slow: bool = False) -> messages.ConnectRequest:
    data = payload_of({"slow": True}) if slow else None
    return messages.ConnectRequest(master_address=address, lease=duration_of(lease), data=data)


def refused(call: Callable[[], object]) -> bool:
    """Whether a call fails, by its peer's decision or on the way."""
    try:
        call()
    except grpc.RpcError:
        return True
    return False


def refused_for_its_certificate(call: Callable[[], object]) -> bool:
    try:
        call()
    except grpc.RpcError as error:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it is a call as well
        return status is not None and b"CERTIFICATE_INVALID" in status.SerializeToString()
    return False


def seconds_until_connected(master: Master, port: int, at_most: float) -> float:
    """How long the slave's own master needs for a session with it, which it then ends; as long as it tries, if none."""
    began = time.monotonic()
    connection = master.new_connection(f"it-{began}", "127.0.0.1", port)
    while True:
        try:
            connection.connect()
        except (RequestException, ResponseException):
            if time.monotonic() - began > at_most:
                return time.monotonic() - began
            threading.Event().wait(0.2)  # until somebody else's session is over
            continue
        seconds = time.monotonic() - began
        connection.close()
        return seconds
