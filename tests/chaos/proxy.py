"""A TCP proxy that is a bad wire: it delays, throttles, swallows, closes one half, and resets."""

from __future__ import annotations

import asyncio
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any

_CHUNK = 16 * 1024
_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a RST


class Proxy:
    """Listens at `port` of 127.0.0.1, and leads to `target`, a port that may be told later. Use it with `with`.

    `delay`: seconds that each piece waits; `rate`: bytes per second, None for no limit. Both act at once.
    """

    def __init__(self, target: int = 0) -> None:
        self.target = target
        self.delay = 0.0
        self.rate: float | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._open = {"there": asyncio.Event(), "back": asyncio.Event()}
        self._writers: dict[asyncio.StreamWriter, str] = {}  # to which side each leads
        self._ended: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10.0)

    async def _start(self) -> None:
        for valve in self._open.values():
            valve.set()
        self._server = await asyncio.start_server(self._serve, sock=self._listener)

    async def _end(self) -> None:
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)  # in which the sockets are closed

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers[writer] = "back"
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            del self._writers[writer]
            return
        self._writers[far_writer] = "there"
        for direction, source, sink in (("there", reader, far_writer), ("back", far_reader, writer)):
            pump = asyncio.ensure_future(self._pump(direction, source, sink))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, direction: str, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Hand on what comes, until its end or the sink's."""
        with suppress(OSError):
            while piece := await source.read(_CHUNK):
                await asyncio.sleep(self.delay + (len(piece) / self.rate if self.rate else 0.0))
                await self._open[direction].wait()
                if sink in self._ended:  # that half is closed: what comes for it is lost
                    continue
                sink.write(piece)
                await sink.drain()
            if sink.can_write_eof():
                sink.write_eof()
                return
        sink.transport.abort()

    # What happens to the wire. May be called from any thread.

    def swallow(self, direction: str, on: bool) -> None:
        """Hand nothing on, `there` or `back`, until it is off again. No end is told."""
        valve = self._open[direction]
        self._loop.call_soon_threadsafe(valve.clear if on else valve.set)

    def reset(self) -> None:
        """RST to both ends of every connection."""
        self._each(self._reset)

    def half_close(self, direction: str) -> None:
        """FIN to the end that lies `there`, or `back`; the other direction stays."""

        def act(writer: asyncio.StreamWriter) -> None:
            if self._writers[writer] == direction and writer.can_write_eof():
                self._ended.add(writer)
                writer.write_eof()

        self._each(act)

    @staticmethod
    def _reset(writer: asyncio.StreamWriter) -> None:
        connection: socket.socket = writer.get_extra_info("socket")
        with suppress(OSError):  # it was closed meanwhile
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        writer.transport.abort()

    def _each(self, act: Callable[[asyncio.StreamWriter], object]) -> None:
        async def work() -> None:
            for writer in list(self._writers):
                if writer.transport.is_closing():
                    del self._writers[writer]
                    self._ended.discard(writer)
                else:
                    act(writer)

        self._run(work())


def destroy_sockets(port: int) -> bool:
    """`ss -K`: the kernel resets every connection from or to a port. False where this machine can't do that."""
    if shutil.which("ss") is None:
        return False
    where = f"( sport = :{port} or dport = :{port} )"
    told = subprocess.run(["ss", "-K", "-t", "state", "established", where], capture_output=True, text=True)
    return told.returncode == 0 and "not supported" not in told.stderr


def can_destroy_sockets() -> bool:
    """Whether `ss -K` does what it says here."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as near, listener.accept()[0] as far:
            if not destroy_sockets(port):
                return False
            far.settimeout(1.0)
            near.settimeout(1.0)
            try:
                return near.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True
