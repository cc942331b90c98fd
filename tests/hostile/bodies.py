"""Bodies that nobody asked for: a thousand streams of 64 MiB each, plain and packed, on every call of either side,
without a token, and with the right channel and a token that nobody has.

A message is sent as fast as the server lets, on all streams at once, until the server has ended them all or time is up.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread

from tests.contract.slave_programs import CHANNEL
from tests.hostile.conftest import MIB, Pair, Peer
from tests.hostile.figures import Effort, Figure
from tests.hostile.http2 import Connection, Field

STREAMS = 1024
SIZE = 64 * MIB
MOST_GROWTH, MOST_SECONDS = 64.0, 0.5
PIECE = bytes(16_384)

SLAVE, MASTER = "/interaction.v1.SlaveService/", "/interaction.v1.MasterService/"
COMMON = (
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
PATHS = {
    "slave": [
        *(SLAVE + name for name in ("Ping", "Connect", "Disconnect", "NewTask", "Work", "CancelTask")),
        *COMMON,
    ],
    "master": [*(MASTER + name for name in ("Ping", "Heartbeat", "ReportResult")), *COMMON],
}
INVENTED: tuple[Field, ...] = ((b"channel", b"%d" % CHANNEL), (b"token", b"t" * 43))
GZIP: Field = (b"grpc-encoding", b"gzip")


def packed() -> bytes:
    """A message of 64 MiB, in some 62 KiB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(MIB)) for _ in range(SIZE // MIB)) + packer.flush()


class Body:
    """What one stream sends: a prefix, and zeros or a content after it."""

    def __init__(self, content: bytes | None) -> None:
        length = SIZE if content is None else len(content)
        self._head = bytes([content is not None]) + length.to_bytes(4, "big") + (content or b"")
        self.left = len(self._head) + (length if content is None else 0)

    def take(self, most: int) -> bytes:
        """The next piece."""
        piece = self._head[:most] if self._head else PIECE[: min(most, self.left)]
        self._head = self._head[len(piece) :]
        self.left -= len(piece)
        return piece


class Sender:
    """One connection with many streams, each of which sends as much as it may."""

    def __init__(self, port: int, path: str, streams: int, content: bytes | None, *metadata: Field) -> None:
        self.connection = Connection(port)
        self.bodies = {number: Body(content) for number in range(1, 2 * streams, 2)}
        self.sent = 0
        self._metadata = (*metadata, GZIP) if content is not None else metadata
        self._path = path
        self._unopened = list(self.bodies)

    def step(self) -> bool:
        """Send what may be sent, and hear what is said. False when all streams have ended."""
        connection = self.connection
        for number in self._unopened[:64]:
            connection.open(number, self._path, *self._metadata)
        del self._unopened[:64]
        for number in list(self.bodies):
            body = self.bodies[number]
            while body.left and (room := connection.room(number)) > 0:
                piece = body.take(min(room, len(PIECE)))
                connection.send_data(number, piece, end=not body.left)
                self.sent += len(piece)
            if connection.room() <= 0:
                break
        connection.hear()
        for number in [number for number in self.bodies if connection.has_ended(number)]:
            del self.bodies[number]
        return bool(self.bodies)


def pour(
    port: int, path: str, content: bytes | None, *metadata: Field, streams: int = STREAMS, seconds: float = 5.0
) -> int:
    """Do it on eight connections. Returns how many bytes were sent."""
    end = time.monotonic() + seconds
    with ExitStack() as stack:
        senders = [Sender(port, path, streams // 8, content, *metadata) for _ in range(8)]
        for sender in senders:
            stack.callback(sender.connection.close)
        living = list(senders)
        while living and time.monotonic() < end:
            for sender in list(living):
                with suppress(OSError, EOFError):
                    if sender.step():
                        continue
                living.remove(sender)  # all its streams have ended, or the server has closed the connection
        return sum(sender.sent for sender in senders)


class Poured:
    """What came of one call's flood."""

    def __init__(self, role: str, path: str, plain: bool, named: bool) -> None:
        self.role, self.path, self.plain, self.named = role, path, plain, named
        self.sent = 0
        self.grown = 0.0
        self.slowest = 0.0

    def __str__(self) -> str:
        how = ("plain" if self.plain else "gzip") + (", invented token" if self.named else "")
        return (
            f"{self.role} {self.path.rpartition('/')[2]} {how}: {self.sent / MIB:.0f} MiB sent, grew by "
            f"{self.grown:.0f} MiB, a task took {1000 * self.slowest:.0f} ms at most"
        )


def poured(pair: Pair, role: str, path: str, content: bytes | None, *metadata: Field, streams: int = STREAMS) -> Poured:
    """Flood one call while tasks run."""
    found = Poured(role, path, content is None, bool(metadata))
    pair.forget()

    def run() -> None:
        found.sent = pour(pair.peer(role).port, path, content, *metadata, streams=streams)

    flood = Thread(target=run)
    flood.start()
    while flood.is_alive():
        found.slowest = max(found.slowest, pair.works())
    flood.join()
    found.grown = pair.grown(role)
    return found


def scene(folder: Path, streams: int = STREAMS) -> list[Poured]:
    """Each call of each side, plain and packed, each with a pair of its own."""
    found, bomb = [], packed()
    for role, paths in PATHS.items():
        for path, metadata, content in floods(paths, bomb):
            with ExitStack() as stack:
                peers = []
                for side in ("master", "slave"):
                    peers.append(Peer(side, folder / f"{side}.log"))
                    stack.callback(peers[-1].close)
                found.append(poured(Pair(*peers), role, path, content, *metadata, streams=streams))
                print(found[-1], flush=True)
    return found


def floods(paths: list[str], bomb: bytes) -> Iterator[tuple[str, tuple[Field, ...], bytes | None]]:
    """Calls, what each brings, and its message; an invented token means something to those that need one."""
    for path in paths:
        for metadata in ((), INVENTED) if path.startswith((SLAVE, MASTER)) and not path.endswith("/Ping") else ((),):
            for content in (None, bomb):
                yield path, metadata, content


def measure(folder: Path, effort: Effort) -> list[Figure]:
    """For the table."""
    found = scene(folder)
    worst, slowest = max(found, key=lambda one: one.grown), max(found, key=lambda one: one.slowest)
    who = "without a token, or with one that nobody has"
    what = f"{STREAMS:,} streams of {SIZE // MIB} MiB {who}, plain and gzip, every method, both sides"
    return [
        Figure(
            f"{what}: growth",
            f"< {MOST_GROWTH:.0f} MiB",
            f"{worst.grown:.0f} MiB ({worst.role}, {worst.path.rpartition('/')[2]})",
            worst.grown < MOST_GROWTH,
        ),
        Figure(
            "a task meanwhile",
            f"< {MOST_SECONDS:g} s",
            f"{slowest.slowest:.2f} s ({slowest.role}, {slowest.path.rpartition('/')[2]})",
            slowest.slowest < MOST_SECONDS,
        ),
    ]
