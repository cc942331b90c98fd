"""What is compressed is not taken, by servers or by clients: 62 KiB unpack to 64 MiB before anybody has a say."""

from __future__ import annotations

import socket
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import grpc
import pytest

from interaction import Master, RequestException
from interaction.v1.slave_service_pb2 import ConnectRequest
from tests.contract.slave_programs import CHANNEL, WAIT
from tests.contract.wire import NO_PROXY, duration_of, metadata_of, new_token
from tests.hostile.conftest import MIB, Pair
from tests.hostile.http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    SETTINGS,
    Connection,
    fields,
    frame,
    message,
)
from tests.hostile.process import Adder
from tests.hostile.test_floods import PATHS
from tests.hostile.test_messages import STREAMS, UNARY


def bomb(mebibytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(MIB)) for _ in range(mebibytes)) + packer.flush()


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_no_server_takes_a_compressed_message_on_any_call(pair: Pair, compression: grpc.Compression) -> None:
    for role, path in [*UNARY, *STREAMS]:
        metadata = metadata_of(pair.token() if role == "master" or "NewTask" in path else new_token())
        with grpc.insecure_channel(f"127.0.0.1:{pair.peer(role).port}", NO_PROXY) as channel:
            call = channel.stream_stream(path, bytes, bytes)(
                iter([bytes(5000)]), metadata=metadata, timeout=WAIT, compression=compression
            )
            assert call.code() is grpc.StatusCode.UNIMPLEMENTED, path
            assert "compression" in (call.details() or "").lower()
    pair.works()


@pytest.mark.parametrize("role", ["master", "slave"])
def test_forty_bombs_of_62_kib_are_not_unpacked(pair: Pair, role: str) -> None:
    content = message(bomb(60), compressed=True)
    path = "/interaction.v1.SlaveService/NewTask" if role == "slave" else "/interaction.v1.MasterService/ReportResult"
    brought = [(b"channel", b"%d" % CHANNEL), (b"token", pair.token().encode()), (b"grpc-encoding", b"gzip")]
    with Connection(pair.peer(role).port) as connection:
        for stream in range(1, 81, 2):
            connection.open(stream, path, *brought)
            connection.data(stream, content)
        for stream in range(1, 81, 2):
            connection.until_end_of(stream)
    pair.assert_unharmed(32)


@pytest.fixture
def packing_server() -> Iterator[int]:
    """A server that answers whatever comes first on each connection with a message of 60 MiB, in 62 KiB."""
    answer = frame(SETTINGS) + frame(SETTINGS, 1)
    answer += frame(
        HEADERS,
        END_HEADERS,
        1,
        fields([(b":status", b"200"), (b"content-type", b"application/grpc"), (b"grpc-encoding", b"gzip")]),
    )
    content = message(bomb(60), compressed=True)
    answer += b"".join(frame(DATA, 0, 1, content[at : at + 16_384]) for at in range(0, len(content), 16_384))
    answer += frame(HEADERS, END_HEADERS | END_STREAM, 1, fields([(b"grpc-status", b"0")]))
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    taken, _ = listening.accept()
                    with taken, suppress(OSError):
                        taken.settimeout(WAIT)
                        heard = b""
                        while b"application/grpc" not in heard and (more := taken.recv(65_536)):
                            heard += more
                        if heard.startswith(PREFACE) and b"application/grpc" in heard:
                            taken.sendall(answer)
                            while taken.recv(65_536):
                                pass

        thread = Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
    thread.join(WAIT)


def peak() -> float:
    """The most that this process has had of memory, in MiB, since it was last asked."""
    status = Path("/proc/self/status").read_text()
    Path("/proc/self/clear_refs").write_text("5")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def test_no_master_takes_a_compressed_answer(packing_server: int) -> None:
    with Master("127.0.0.1", 0, channel=CHANNEL, request_retries=0, request_timeout=WAIT) as master:
        peak()
        before = peak()
        for _ in range(3):
            with pytest.raises(RequestException):
                master.new_connection("packing", "127.0.0.1", packing_server).connect()
        assert peak() - before < 32


def test_no_slave_takes_a_compressed_answer(packing_server: int) -> None:
    """It is told that its master is there, and sends its beats."""
    with Adder("127.0.0.1", 0, channel=CHANNEL, pacemaker=False) as slave:
        peak()
        before = peak()
        request = ConnectRequest(master_address=f"127.0.0.1:{packing_server}", lease=duration_of(0.5))
        with grpc.insecure_channel(f"127.0.0.1:{slave.port}", NO_PROXY) as channel:
            call = channel.unary_unary(PATHS["slave"] + "Connect", ConnectRequest.SerializeToString, bytes)
            with suppress(grpc.RpcError):
                call(request, metadata=metadata_of(new_token()), timeout=WAIT)
            slave.close()
        assert peak() - before < 32
