"""A gRPC server as both sides run it: guarded, with health and reflection."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable, Sequence

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from interaction.config import ServiceOptions
from interaction.rpc import transport
from interaction.rpc.descriptors import Share
from interaction.rpc.guard import Guard

_GRACE = 0.1  # seconds that calls under way get at the end


class Server:
    """One server, started once. `add` registers the servicer of `service` at it. `tuning` are options of gRPC's."""

    def __init__(
        self,
        options: ServiceOptions,
        service: str,
        guard: Guard,
        add: Callable[[grpc.aio.Server], None],
        tuning: Sequence[tuple[str, int]] = (),
    ) -> None:
        self._options = options
        self.guard = guard
        self._service = service
        self._health = health.aio.HealthServicer()
        self._share = Share()
        self._server = grpc.aio.server(
            interceptors=[guard],
            options=[*transport.server_options(options.max_message_bytes), *self._share.options, *tuning],
        )
        add(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if options.reflection:
            names = (service, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)

    async def start(self) -> int:
        """Serve; returns the port. Raises OSError where the port can't be had."""
        port = transport.bind(self._server, self._options.host, self._options.port, self._options.tls)
        await self._server.start()
        for name in ("", self._service):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return port

    async def drain(self) -> None:
        """Tell who asks for the health that nothing new is served. What is served goes on."""
        for name in ("", self._service):
            await self._health.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)

    async def stop(self) -> None:
        """Tell who watches the health, end what is under way, and let go of the port."""
        await self._health.enter_graceful_shutdown()
        await asyncio.shield(self._server.stop(_GRACE))
        self._share.give_back()

    def leave_alone(self) -> None:
        """Its loop has ended: it can't be stopped any more, and if it were deleted it would complain of that."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._server))
