"""HTTP/2 by hand, frame by frame: what no gRPC library would send."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterable

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS = 0x1, 0x4
CANCEL = (8).to_bytes(4, "big")
_FIRST_WINDOW = 65_535
_INITIAL_WINDOW_SIZE = b"\x00\x04"

Field = tuple[bytes, bytes]


def frame(kind: int, flags: int = 0, stream: int = 0, content: bytes = b"") -> bytes:
    return len(content).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + content


def fields(pairs: Iterable[Field]) -> bytes:
    """A header block: every field a literal that is not indexed and not compressed."""
    return b"".join(b"\x00" + _string(name) + _string(value) for name, value in pairs)


def _string(text: bytes) -> bytes:
    length = len(text)
    if length < 127:
        return bytes([length]) + text
    rest, written = length - 127, bytearray([127])
    while rest >= 128:
        written.append(rest % 128 + 128)
        rest //= 128
    written.append(rest)
    return bytes(written) + text


def call_fields(path: str, *metadata: Field) -> list[Field]:
    """The header fields of a gRPC call."""
    return [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path.encode()),
        (b":authority", b"localhost"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
        *metadata,
    ]


def message(content: bytes, *, compressed: bool = False) -> bytes:
    """A gRPC message with its prefix."""
    return bytes([compressed]) + len(content).to_bytes(4, "big") + content


class Connection:
    """One connection. Streams have odd numbers from 1."""

    def __init__(self, port: int, timeout: float = 20.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = bytearray()
        self._window = _FIRST_WINDOW  # of the connection; each stream has its own, as large at first
        self._first_window = _FIRST_WINDOW  # of a stream
        self._stream_windows: dict[int, int] = {}  # beyond the first
        self._ended: set[int] = set()  # by the peer
        self.send(PREFACE + frame(SETTINGS))

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send(self, content: bytes) -> None:
        self._socket.sendall(content)

    def open(self, stream: int, path: str, *metadata: Field, flags: int = END_HEADERS) -> None:
        """Send the headers of a call."""
        self.send(frame(HEADERS, flags, stream, fields(call_fields(path, *metadata))))

    def hear(self) -> None:
        """Take in what has come, and wait for nothing but the rest of a frame."""
        while len(self._received) >= 9 or select.select([self._socket], [], [], 0)[0]:
            self.receive()

    def room(self, stream: int | None = None) -> int:
        """How many bytes of data may be sent, on a stream or on any."""
        if stream is None:
            return self._window
        if stream in self._ended:
            return 0
        return min(self._window, self._first_window + self._stream_windows.get(stream, 0))

    def has_ended(self, stream: int) -> bool:
        """Whether the peer has ended it."""
        return stream in self._ended

    def send_data(self, stream: int, content: bytes, *, end: bool) -> None:
        """Send a piece for which there is room."""
        self.send(frame(DATA, END_STREAM if end else 0, stream, content))
        self._window -= len(content)
        self._stream_windows[stream] = self._stream_windows.get(stream, 0) - len(content)

    def data(self, stream: int, content: bytes, *, end: bool = True) -> None:
        """Send data as fast as the peer lets, unless it ends the stream before."""
        sent = 0
        while sent < len(content) and stream not in self._ended:
            window = self._first_window + self._stream_windows.get(stream, 0)
            room = min(self._window, window, 16_384, len(content) - sent)
            if room <= 0:
                self.receive()
                continue
            last = end and sent + room == len(content)
            self.send(frame(DATA, END_STREAM if last else 0, stream, content[sent : sent + room]))
            sent += room
            self._window -= room
            self._stream_windows[stream] = self._stream_windows.get(stream, 0) - room

    def receive(self) -> tuple[int, int, int, bytes]:
        """The next frame: kind, flags, stream, content. Raises EOFError at the end. Pings and settings are answered."""
        header = self._exactly(9)
        length, kind, flags = int.from_bytes(header[:3], "big"), header[3], header[4]
        stream, content = int.from_bytes(header[5:], "big"), self._exactly(length)
        if kind == WINDOW_UPDATE:
            more = int.from_bytes(content, "big")
            if stream:
                self._stream_windows[stream] = self._stream_windows.get(stream, 0) + more
            else:
                self._window += more
        elif kind == RST_STREAM or (kind in (HEADERS, DATA) and flags & END_STREAM):
            self._ended.add(stream)
        elif kind in (SETTINGS, PING) and not flags & 1:
            for at in range(0, length if kind == SETTINGS else 0, 6):
                if content[at : at + 2] == _INITIAL_WINDOW_SIZE:
                    self._first_window = int.from_bytes(content[at + 2 : at + 6], "big")
            self.send(frame(kind, 1, 0, content if kind == PING else b""))
        return kind, flags, stream, content

    def until_end_of(self, stream: int) -> None:
        """Read until the peer has ended a stream."""
        while stream not in self._ended:
            self.receive()

    def until_ping(self) -> None:
        """Ask for a ping's echo, and read until it comes: all that was sent before has been read by the peer."""
        self.send(frame(PING, 0, 0, b"are you?"))
        while True:
            kind, flags, _, content = self.receive()
            if kind == PING and flags & 1 and content == b"are you?":
                return

    def _exactly(self, length: int) -> bytes:
        while len(self._received) < length:
            more = self._socket.recv(65_536)
            if not more:
                raise EOFError("the peer has closed the connection")
            self._received += more
        taken = bytes(self._received[:length])
        del self._received[:length]
        return taken
