"""The limit to measure by: bare grpc.aio, which answers each message with one. `python -m bench.echo` is its server."""

from __future__ import annotations

import asyncio
import sys
import threading
import uuid
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc
import grpc.aio

from bench.process import Process, answer_commands
from bench.system import AsyncSystem
from interaction.v1 import payload_pb2, slave_service_pb2, task_pb2

_SERVICE = "bench.Echo"
_OPTIONS = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
_ID = str(uuid.UUID(int=1))
_MESSAGE = b'{"a":1,"b":2}' + _ID.encode()  # as many bytes as say what a task says
_AT_ONCE = 100  # unary calls, where there are many to make
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"  # generic for the type checker alone


async def _unary(request: bytes, context: _Context) -> bytes:
    return request


async def _stream(requests: AsyncIterator[bytes], context: _Context) -> None:
    async for request in requests:
        await context.write(request)


async def _work(requests: AsyncIterator[slave_service_pb2.WorkRequest], context: _Context) -> None:
    """What a slave does at the least: read each task from its message, and write its result into one."""
    async for request in requests:
        outcomes = [
            slave_service_pb2.WorkOutcome(
                task_id=task.id,
                result=task_pb2.TaskResult(
                    task_id=task.id,
                    status=task_pb2.TASK_RESULT_STATUS_COMPLETED,
                    result=payload_pb2.Payload(json='{"sum":3}', buffers=task.data.buffers),
                ),
            )
            for task in request.tasks
        ]
        await context.write(slave_service_pb2.WorkResponse(outcomes=outcomes))


class Bare(AsyncSystem):
    """A channel to the server's process."""

    def open(self) -> None:
        """Start the server, and dial it."""
        server = self.stack.enter_context(Process("bench.echo", {}))
        self.run(self._open(server.ready["port"]))
        self.stack.callback(lambda: self.run(self.hang_up()))

    async def _open(self, port: int) -> None:
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", _OPTIONS)
        await self.dial()
        await self.round_trip(0)

    async def dial(self) -> None:
        """Make what the calls are made by."""
        raise NotImplementedError

    async def hang_up(self) -> None:
        """End what `open` began."""
        await self.channel.close()


class BareUnary(Bare):
    """A call for each message."""

    async def dial(self) -> None:
        """Make the method."""
        self._call: Any = self.channel.unary_unary(f"/{_SERVICE}/Unary")

    async def round_trip(self, number: int) -> None:
        """One call."""
        await self.carry(_MESSAGE)

    async def carry(self, content: Any) -> None:
        """One call with these bytes."""
        assert len(await self._call(bytes(content))) == len(content)

    async def many(self, count: int) -> None:
        """So many calls, a hundred at once."""
        numbers = iter(range(count))

        async def some() -> None:
            for number in numbers:
                await self.round_trip(number)

        await asyncio.gather(*(some() for _ in range(_AT_ONCE)))


class BareStream(Bare):
    """One stream of messages: ping, pong."""

    async def dial(self) -> None:
        """Open the stream."""
        self._call: Any = self.channel.stream_stream(f"/{_SERVICE}/Stream")()

    async def hang_up(self) -> None:
        """End the stream before its channel."""
        await self._call.done_writing()
        assert await self._call.code() == grpc.StatusCode.OK
        await super().hang_up()

    def message(self, number: int) -> Any:
        """What stands for a task."""
        return _MESSAGE

    def package(self, content: Any) -> Any:
        """A message with these bytes."""
        return bytes(content)

    async def _read(self) -> None:
        assert await self._call.read() is not grpc.aio.EOF

    async def round_trip(self, number: int) -> None:
        """One message each way."""
        await self._call.write(self.message(number))
        await self._read()

    async def carry(self, content: Any) -> None:
        """One message each way with these bytes."""
        await self._call.write(self.package(content))
        await self._read()

    async def many(self, count: int) -> None:
        """So many messages, the answers read meanwhile."""

        async def read() -> None:
            for _ in range(count):
                await self._read()

        reading = asyncio.ensure_future(read())
        for number in range(count):
            await self._call.write(self.message(number))
        await reading


class BareWork(BareStream):
    """The same stream with the messages of the project's fast road, a task in each, written and read."""

    async def dial(self) -> None:
        """Open the stream."""
        self._call = self.channel.stream_stream(
            f"/{_SERVICE}/Work",
            request_serializer=slave_service_pb2.WorkRequest.SerializeToString,
            response_deserializer=slave_service_pb2.WorkResponse.FromString,
        )()

    def message(self, number: int) -> Any:
        """A task."""
        return _request(payload_pb2.Payload(json=f'{{"a":{number},"b":2}}'))

    def package(self, content: Any) -> Any:
        """A task with these bytes."""
        return _request(payload_pb2.Payload(json="{}", buffers=[bytes(content)]))


def _request(data: payload_pb2.Payload) -> slave_service_pb2.WorkRequest:
    return slave_service_pb2.WorkRequest(tasks=[task_pb2.Task(id=_ID, data=data)])


async def _serve() -> None:
    server, loop, over = grpc.aio.server(options=_OPTIONS), asyncio.get_running_loop(), asyncio.Event()
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(_unary),
        "Stream": grpc.stream_stream_rpc_method_handler(_stream),
        "Work": grpc.stream_stream_rpc_method_handler(
            _work, slave_service_pb2.WorkRequest.FromString, slave_service_pb2.WorkResponse.SerializeToString
        ),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(_SERVICE, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    def listen() -> None:
        try:
            answer_commands({"port": port}, {})
        finally:
            loop.call_soon_threadsafe(over.set)

    threading.Thread(target=listen, daemon=True).start()
    await over.wait()
    await server.stop(None)


if __name__ == "__main__":
    sys.exit(asyncio.run(_serve()))
