"""The limit to measure by: bare grpc.aio, which answers each message on a stream with one, as its manual has it."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator

import grpc
import grpc.aio

from bench.scale.process import answer_commands
from interaction.rpc.status import Context
from interaction.v1 import master_service_pb2 as pb

PATH = "/bench.Echo/Echo"


async def echo(requests: AsyncIterator[pb.HeartbeatRequest], context: Context) -> None:
    """Answer each message."""
    async for request in requests:
        await context.write(pb.HeartbeatResponse(sequence=request.sequence))


async def _run() -> None:
    server, loop, over = grpc.aio.server(), asyncio.get_running_loop(), asyncio.Event()
    handler = grpc.stream_stream_rpc_method_handler(
        echo, pb.HeartbeatRequest.FromString, pb.HeartbeatResponse.SerializeToString
    )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("bench.Echo", {"Echo": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    def listen() -> None:
        try:
            answer_commands({"port": port}, {})
        finally:
            loop.call_soon_threadsafe(over.set)

    threading.Thread(target=listen, daemon=True).start()
    await over.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(_run()))
