"""A peer that answers whatever a test wants, and a log that must stay clean."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import Queue
from typing import Any, TypeVar

import grpc
import pytest

from interaction.v1 import master_service_pb2 as of_master
from interaction.v1 import slave_service_pb2 as of_slave

INCARNATION = "a" * 32
GARBAGE = [b"\xff\xff\xff", b"\x0a\x02\xff\xfe", b"\x0a\x7fshort"]
_Peer = TypeVar("_Peer", bound="AnyPeer")
Answer = Callable[[bytes, grpc.ServicerContext], bytes]
Beats = Callable[[Iterator[bytes]], Iterator[bytes]]


class AnyPeer(grpc.GenericRpcHandler):
    """A server of every method: it answers with the bytes that a test says."""

    def __init__(self) -> None:
        self.port = 0
        self.calls: Queue[str] = Queue()
        self.answers: dict[str, Answer] = {
            "Ping": says(of_slave.SlaveServicePingResponse(incarnation=INCARNATION)),
            "Connect": says(of_slave.ConnectResponse(incarnation=INCARNATION)),
            "Disconnect": says(of_slave.DisconnectResponse()),
            "NewTask": says(of_slave.NewTaskResponse()),
            "ReportResult": says(of_master.ReportResultResponse(acknowledgement=1)),  # type: ignore[arg-type]
        }
        self.beats: Beats = acknowledging

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        method = call.method.rpartition("/")[2]
        self.calls.put(method)
        if method == "Heartbeat":
            return grpc.stream_stream_rpc_method_handler(lambda requests, _: self.beats(requests))
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self.answers[method](request, context))


def says(message: Any) -> Answer:
    content: bytes = message if isinstance(message, bytes) else message.SerializeToString()
    return lambda _, __: content


def acknowledging(requests: Iterator[bytes]) -> Iterator[bytes]:
    for request in requests:
        sequence = of_master.HeartbeatRequest.FromString(request).sequence
        yield of_master.HeartbeatResponse(sequence=sequence).SerializeToString()


def any_peer() -> Iterator[AnyPeer]:
    with served(AnyPeer()) as peer:
        yield peer


@contextmanager
def served(peer: _Peer, *interceptors: grpc.ServerInterceptor) -> Iterator[_Peer]:
    """Serve it on a free port."""
    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads, options=[("grpc.so_reuseport", 0)], interceptors=list(interceptors))
        server.add_generic_rpc_handlers((peer,))
        peer.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield peer
        finally:
            server.stop(grace=None).wait()


def clean_log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Whatever a peer answers, no log has a traceback, and no line that the peer has written."""
    caplog.set_level(logging.DEBUG)
    yield caplog
    for record in caplog.records:
        if record.name != "grpc._server":  # the peer's own
            assert record.exc_info is None, record.getMessage()
            assert "\n" not in record.getMessage()
