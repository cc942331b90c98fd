"""A relay that looks at HTTP/2 frames, and judges a client's PINGs as servers of gRPC do by default."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PING = 0x0, 0x1, 0x6
ACK = 0x1
PERMITTED = 300.0  # seconds between two PINGs of a client to which nothing was said meanwhile


class FrameWatch:
    """Relays to a port. `strikes` counts the PINGs that came too soon after another: the third is answered GOAWAY
    too_many_pings. `said` counts the frames by which servers said something."""

    def __init__(self, port: int) -> None:
        self.target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.strikes = self.said = 0
        self._open = [self._listener]
        self._valves: list[Event] = []
        Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            self._open += [client, server]
            judge = _Judge(self)
            self._valves.append(judge.passes)
            Thread(target=_relay, args=(client, server, judge.from_client, len(PREFACE)), daemon=True).start()
            Thread(target=_relay, args=(server, client, judge.from_server, 0), daemon=True).start()

    def hang(self) -> None:
        """From now on nothing passes on the connections that are open; they stay so, and others are as before."""
        for passes in self._valves:
            passes.clear()

    def snap(self) -> None:
        """The connections that are open break; others are as before."""
        for one in self._open[1:]:
            _end(one)

    def close(self) -> None:
        for passes in self._valves:
            passes.set()
        for one in self._open:
            _end(one)
            one.close()


class _Judge:
    """One connection."""

    def __init__(self, watch: FrameWatch) -> None:
        self._watch = watch
        self._last_ping: float | None = None
        self.passes = Event()
        self.passes.set()

    def from_client(self, kind: int, flags: int) -> None:
        self.passes.wait()
        if kind == PING and not flags & ACK:
            now = time.monotonic()
            if self._last_ping is not None and now - self._last_ping < PERMITTED:
                self._watch.strikes += 1
            self._last_ping = now

    def from_server(self, kind: int, flags: int) -> None:
        self.passes.wait()
        if kind in (DATA, HEADERS):
            self._last_ping = None
            self._watch.said += 1


def _relay(source: socket.socket, target: socket.socket, look: Callable[[int, int], None], skip: int) -> None:
    """Pass on what comes. A frame is looked at before its last byte is passed on."""
    unread = b""
    with suppress(OSError):
        while part := source.recv(65536):
            unread += part
            while len(unread) >= skip + 9:
                header = unread[skip : skip + 9]
                unread, skip = unread[skip + 9 :], int.from_bytes(header[:3], "big")
                look(header[3], header[4])
            target.sendall(part)
    _end(target)


def _end(one: socket.socket) -> None:
    with suppress(OSError):  # it has ended
        one.shutdown(socket.SHUT_RDWR)


@contextmanager
def frame_watch(port: int) -> Iterator[FrameWatch]:
    """Relay to that port, until the end of the block."""
    watch = FrameWatch(port)
    try:
        yield watch
    finally:
        watch.close()
