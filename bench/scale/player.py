"""One slave of the many: its heartbeat and its lease are those of a real one, and little else is there."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TypeAlias

import grpc
import grpc.aio

from bench.scale.wheel import Wheel
from interaction.address import parse_address
from interaction.core.lease import Lease
from interaction.rpc.metadata import call_metadata
from interaction.rpc.transport import open_channel
from interaction.v1 import master_service_pb2 as pb

HEARTBEAT = "/interaction.v1.MasterService/Heartbeat"
REPORT = "/interaction.v1.MasterService/ReportResult"
_OpenStream: TypeAlias = "grpc.aio.StreamStreamMultiCallable[bytes, bytes]"  # generic for the type checker alone
_Report: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"
_REOPEN = 1.0  # seconds after which a broken stream is opened again
_MESSAGE_BYTES = 64 * 1024 * 1024


class Player:
    """A slave with a session: beats until it is told that the session is over, or its lease is.

    `counts` are those of the whole process: `beats`, `acknowledgements`, `broken` streams, `lapsed` leases, `ended` by
    the master, and `streams` that are open now. `slowest` has the longest time to an acknowledgement, in seconds.
    """

    __slots__ = (
        "_address",
        "_call",
        "_channel",
        "_counts",
        "_lease",
        "_loop",
        "_metadata",
        "_over",
        "_path",
        "_slowest",
        "_wheel",
    )

    def __init__(
        self,
        wheel: Wheel,
        counts: Counter[str],
        slowest: list[float],
        path: str,
        address: str,
        token: str,
        lease: Lease,
    ) -> None:
        self._wheel = wheel
        self._counts = counts
        self._slowest = slowest
        self._loop = asyncio.get_running_loop()
        self._path = path
        self._address = address
        self._metadata = call_metadata(0, token)
        self._lease = lease
        self._over = False
        self._channel = open_channel(parse_address(address, 0), None, _MESSAGE_BYTES)
        self._call: grpc.aio.StreamStreamCall[bytes, bytes] | None = None

    async def live(self) -> None:
        """Beat on one stream after the other."""
        open_stream: _OpenStream = self._channel.stream_stream(self._path)
        while not self._over:
            call = self._call = open_stream(metadata=self._metadata)
            self._counts["streams"] += 1
            self._beat(call)
            try:
                while isinstance(answer := await call.read(), bytes):
                    self._acknowledged(answer)
            except grpc.aio.AioRpcError as error:
                self._counts[f"broken {error.code().name}: {error.details()}"] += 1
            except asyncio.CancelledError:  # it was ended here
                if not self._over:
                    raise
            self._counts["streams"] -= 1
            self._call = None
            if not self._over:
                self._counts["broken"] += 1
                await asyncio.sleep(random.uniform(0.1, _REOPEN))
        await self._channel.close()

    def _beat(self, call: grpc.aio.StreamStreamCall[bytes, bytes]) -> None:
        if self._over or self._call is not call:
            return
        now = self._loop.time()
        if self._lease.expired(now):
            self._counts["lapsed"] += 1
            self.end()
            return
        content = pb.HeartbeatRequest(sequence=self._lease.beat(now)).SerializeToString()
        self._loop.create_task(self._write(call, content))
        self._wheel.after(self._lease.pause(random.random()), lambda: self._beat(call))

    async def _write(self, call: grpc.aio.StreamStreamCall[bytes, bytes], content: bytes) -> None:
        try:
            await call.write(content)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the reader meets the same
            return
        self._counts["beats"] += 1

    def _acknowledged(self, content: bytes) -> None:
        answer = pb.HeartbeatResponse.FromString(content)
        if answer.HasField("closing"):
            self._counts["ended"] += 1
            self._over = True
        elif self._lease.expired(self._loop.time()):  # nothing revives it
            self._counts["lapsed"] += 1
            self.end()
        else:
            self._counts["acknowledgements"] += 1
            self._lease.acknowledged(answer.sequence, answer.lease.ToTimedelta().total_seconds() or None)
            self._slowest[0] = max(self._slowest[0], self._loop.time() - self._lease.renewed_at)

    async def report(self, content: bytes) -> None:
        """Report the end of a task."""
        try:
            call: _Report = self._channel.unary_unary(REPORT)
            await call(content, metadata=self._metadata, timeout=30.0)
            self._counts["reports"] += 1
        except grpc.aio.AioRpcError as error:
            self._counts[f"not reported {error.code().name}"] += 1

    def end(self) -> None:
        """Close the connection, without a word."""
        self._over = True
        if self._call is not None:
            self._call.cancel()

    def mute(self) -> None:
        """Beat no more, and keep the stream open."""
        self._over = True
