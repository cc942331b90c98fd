"""A process that plays many slaves: one server, and for each session a connection of its own to the master."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Coroutine, Mapping
from typing import Any, TypeAlias

import grpc
import grpc.aio

from bench.scale.player import HEARTBEAT, Player
from bench.scale.process import answer_commands
from bench.scale.wheel import Wheel
from interaction.core.lease import Lease
from interaction.core.model import ResultStatus
from interaction.rpc import convert, payload
from interaction.rpc.status import Context
from interaction.v1 import master_service_pb2, slave_service_pb2

SERVICE = "interaction.v1.SlaveService"
_Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"  # generic for the type checker alone
_MESSAGE_BYTES = 64 * 1024 * 1024


class Generator:
    """Serves `SlaveService`, as far as a master with simple slaves needs it. `span`: seconds between two beats."""

    def __init__(self, span: float) -> None:
        self._span = span
        self._wheel = Wheel()
        self._counts: Counter[str] = Counter()
        self._slowest = [0.0]
        self._players: dict[str, Player] = {}  # by token
        self._lives: set[asyncio.Task[None]] = set()
        self._incarnation = uuid.uuid4().hex
        self._connected = slave_service_pb2.ConnectResponse(
            incarnation=self._incarnation, slots=1, max_message_bytes=_MESSAGE_BYTES
        ).SerializeToString()
        self._pinged = slave_service_pb2.SlaveServicePingResponse(
            incarnation=self._incarnation, language="bench"
        ).SerializeToString()
        self._result = payload.encode({"sum": 3}, "result")
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        handlers: dict[str, _Handler] = {
            "Ping": grpc.unary_unary_rpc_method_handler(self._ping),
            "Connect": grpc.unary_unary_rpc_method_handler(self._connect),
            "Disconnect": grpc.unary_unary_rpc_method_handler(self._disconnect),
            "NewTask": grpc.unary_unary_rpc_method_handler(self._new_task),
        }
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])

    async def start(self) -> int:
        """Serve; returns the port."""
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return port

    # What a master calls: messages as they are, since parsing would cost the processor that the master needs.

    async def _ping(self, request: bytes, context: Context) -> bytes:
        return self._pinged

    async def _connect(self, request: bytes, context: Context) -> bytes:
        message = slave_service_pb2.ConnectRequest.FromString(request)
        token, lease = _token(context), convert.read_lease(message.lease)
        assert lease is not None, "a master of ours grants a lease"
        if token not in self._players:
            self._play(token, HEARTBEAT, message.master_address, lease)
        return self._connected

    def _play(self, token: str, path: str, address: str, lease: float) -> None:
        now = asyncio.get_running_loop().time()
        player = Player(self._wheel, self._counts, self._slowest, path, address, token, Lease(lease, self._span, now))
        self._players[token] = player
        self._keep(player.live())

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._lives.add(task)
        task.add_done_callback(self._lives.discard)

    async def _disconnect(self, request: bytes, context: Context) -> bytes:
        player = self._players.pop(_token(context), None)
        if player is not None:
            player.end()
        return b""

    async def _new_task(self, request: bytes, context: Context) -> bytes:
        task = slave_service_pb2.NewTaskRequest.FromString(request).task
        report = convert.write_result(task.id, ResultStatus.COMPLETED, self._result, None)
        message = master_service_pb2.ReportResultRequest(result=report)
        self._keep(self._players[_token(context)].report(message.SerializeToString()))
        return b""

    # What the measurement asks, on the loop.

    async def figures(self) -> Mapping[str, object]:
        """What has happened so far; what was slowest, since this was asked before."""
        slowest = {"acknowledgement": self._slowest[0], "turn": self._wheel.latest}
        self._slowest[0] = self._wheel.latest = 0.0
        return {"counts": self._counts, "slowest": slowest}

    async def mute(self, count: int) -> Mapping[str, object]:
        """So many beat no more, and keep their streams."""
        for player in list(self._players.values())[:count]:
            player.mute()
        return {}

    async def cut(self, count: int) -> Mapping[str, object]:
        """So many close their connections without a word; the process goes on, and answers pings."""
        for player in list(self._players.values())[-count:]:
            player.end()
        return {}

    async def open(self, count: int, path: str, address: str, lease: float, each: float) -> Mapping[str, object]:
        """Without a master: open so many streams by themselves, one each so many seconds."""
        for number in range(count):
            self._play(f"{number:043}", path, address, lease)
            await asyncio.sleep(each)
        return {}


def _token(context: Context) -> str:
    metadata = context.invocation_metadata() or ()
    return next(str(value) for key, value in metadata if key == "token")


async def _run(options: Mapping[str, float]) -> None:
    generator, loop, over = Generator(options["span"]), asyncio.get_running_loop(), asyncio.Event()
    port = await generator.start()

    def listen() -> None:
        def on_loop(method: Any) -> Any:
            return lambda **asked: asyncio.run_coroutine_threadsafe(method(**asked), loop).result()

        commands = {name: on_loop(getattr(generator, name)) for name in ("figures", "mute", "cut", "open")}
        try:
            answer_commands({"port": port}, commands)
        finally:
            loop.call_soon_threadsafe(over.set)

    threading.Thread(target=listen, daemon=True).start()
    await over.wait()


if __name__ == "__main__":
    asyncio.run(_run(json.loads(sys.argv[1])))
