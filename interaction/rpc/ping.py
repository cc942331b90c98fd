"""Whether a server of this process answers."""

from __future__ import annotations

import asyncio

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from interaction.address import Endpoint
from interaction.config import MIN_MAX_MESSAGE_BYTES
from interaction.rpc.transport import open_channel

_PATIENCE = 1.0


async def answers(endpoint: Endpoint) -> bool:
    """Whether the server at an endpoint of this machine says that it serves, within a second.

    A TLS server's certificate need not be good for the address that is dialled from inside, nor does the server need a
    client's certificate of its own: there, that the port takes a connection must do.
    """
    if endpoint.tls:
        try:
            dialling = asyncio.open_connection(endpoint.dialled_host, endpoint.port)
            _, writer = await asyncio.wait_for(dialling, _PATIENCE)
        except (OSError, asyncio.TimeoutError):
            return False
        writer.close()
        return True
    async with open_channel(endpoint, None, MIN_MAX_MESSAGE_BYTES) as channel:
        try:
            check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]  # made at run time
            answer = await check(health_pb2.HealthCheckRequest(), timeout=_PATIENCE)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
