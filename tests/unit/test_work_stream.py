"""How a slave serves one stream of the fast road: what is read, what is written, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, cast

import grpc
import grpc.aio
import pytest

from interaction.core.model import TaskOffer
from interaction.core.outcomes import Accepted
from interaction.exception import ResponseException, SlaveSlaveNotConnected, SlaveTaskAlreadyExist
from interaction.rpc.status import Context
from interaction.rpc.work_stream import Said, serve
from interaction.v1 import slave_service_pb2 as pb
from interaction.v1.payload_pb2 import Payload
from interaction.v1.task_pb2 import Task

ID = "00000000-0000-4000-8000-000000000001"
Ended = asyncio.Future[ResponseException | None]


class Handler:
    """Accepts every task, and writes down what happens in which order."""

    room = 1 << 20
    full = False

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.may_read = asyncio.Event()
        self.may_read.set()
        self._said: asyncio.Queue[Said | None] = asyncio.Queue()

    def acknowledged(self, task_ids: Sequence[str]) -> None:
        self.happened.append(f"acknowledged {len(task_ids)}")

    def check(self, task_id: str, incarnation: str) -> None:
        if self.full:
            raise SlaveTaskAlreadyExist("no place")

    def offer(self, offer: TaskOffer) -> None:
        self.happened.append("offer")
        self._said.put_nowait(Accepted(offer.task_id, {}))

    def refuse(self, task_id: str, refusal: ResponseException) -> None:
        self.happened.append("refuse")

    async def ready(self) -> None:
        await self.may_read.wait()

    async def next(self) -> Sequence[Said]:
        said = await self._said.get()
        return [] if said is None else [said]

    def written(self, said: Sequence[Said]) -> None:
        self.happened.append("written")

    def close(self) -> None:
        if "closed" not in self.happened:
            self.happened.append("closed")
            self._said.put_nowait(None)


class Peer:
    """The master's end of the call: its messages, and whether it reads."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[pb.WorkRequest | None] = asyncio.Queue()
        self.reads = asyncio.Event()
        self.gone = False
        self.status: grpc.StatusCode | None = None

    def say(self, *task_ids: str) -> None:
        tasks = [Task(id=task_id, data=Payload(json="{}")) for task_id in task_ids]
        self._messages.put_nowait(pb.WorkRequest(tasks=tasks, acknowledged=["x"]))

    def close(self) -> None:
        self._messages.put_nowait(None)

    async def messages(self) -> AsyncIterator[pb.WorkRequest]:
        while (message := await self._messages.get()) is not None:
            yield message

    # As a servicer's context.

    def trailing_metadata(self) -> None:
        return None

    async def write(self, message: pb.WorkResponse) -> None:
        await self.reads.wait()
        if self.gone:
            raise grpc.aio.InternalError("the call is gone")

    async def abort(self, code: grpc.StatusCode, details: str, trailing: object = ()) -> None:
        assert not self.gone
        self.status = code
        raise grpc.aio.AbortError


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def on_a_loop() -> None:
        asyncio.run(test())

    on_a_loop.__name__ = test.__name__
    return on_a_loop


def served(peer: Peer, handler: Handler) -> tuple[asyncio.Task[None], Ended]:
    ended: Ended = asyncio.get_running_loop().create_future()
    context = cast(Context, peer)
    return asyncio.ensure_future(serve(peer.messages(), context, handler, ended)), ended


async def settle() -> None:
    """Let everything happen that can."""
    for _ in range(20):
        await asyncio.sleep(0)


@run
async def test_nothing_more_is_taken_once_the_stream_ends_though_a_write_is_under_way() -> None:
    """What would be said of it could not be said any more."""
    peer, handler = Peer(), Handler()
    serving, ended = served(peer, handler)
    peer.say(ID)
    await settle()
    assert handler.happened == ["acknowledged 1", "offer"]
    ended.set_result(SlaveSlaveNotConnected("over"))
    await settle()
    peer.say(ID)
    await settle()
    assert handler.happened == ["acknowledged 1", "offer", "closed"]
    assert not serving.done(), "the write is not broken off"
    peer.reads.set()
    with pytest.raises(grpc.aio.AbortError):
        await serving
    assert peer.status is grpc.StatusCode.FAILED_PRECONDITION
    assert handler.happened == ["acknowledged 1", "offer", "closed", "written"]


@run
async def test_a_stream_gives_way_to_a_newer_one() -> None:
    peer, handler = Peer(), Handler()
    serving, ended = served(peer, handler)
    await settle()
    ended.set_result(None)
    with pytest.raises(grpc.aio.AbortError):
        await serving
    assert peer.status is grpc.StatusCode.ABORTED
    assert handler.happened == ["closed"]


@run
async def test_a_stream_that_its_master_closes_ends_well() -> None:
    peer, handler = Peer(), Handler()
    peer.reads.set()
    serving, _ = served(peer, handler)
    peer.say(ID)
    await settle()
    peer.close()
    await serving
    assert peer.status is None
    assert handler.happened == ["acknowledged 1", "offer", "written", "closed"]


@run
async def test_an_id_that_is_none_ends_it() -> None:
    peer, handler = Peer(), Handler()
    peer.reads.set()
    serving, _ = served(peer, handler)
    peer.say(ID, "x", ID)
    with pytest.raises(grpc.aio.AbortError):
        await serving
    assert peer.status is grpc.StatusCode.INVALID_ARGUMENT
    assert handler.happened.count("offer") == 1


@run
async def test_who_can_not_be_written_to_is_not_told_how_it_ends() -> None:
    """gRPC would log a traceback."""
    peer, handler = Peer(), Handler()
    serving, ended = served(peer, handler)
    peer.say(ID)
    await settle()
    ended.set_result(None)
    peer.gone = True
    peer.reads.set()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert peer.status is None
    assert handler.happened[-1] == "closed"


@run
async def test_tasks_wait_until_the_handler_is_ready() -> None:
    peer, handler = Peer(), Handler()
    peer.reads.set()
    serving, _ = served(peer, handler)
    handler.may_read.clear()
    peer.say(ID)
    await settle()
    assert handler.happened == ["acknowledged 1"]
    handler.may_read.set()
    await settle()
    assert "offer" in handler.happened
    peer.close()
    await serving


@run
async def test_a_task_that_is_not_taken_whatever_it_is_is_not_read() -> None:
    peer, handler = Peer(), Handler()
    handler.full = True
    serving, ended = served(peer, handler)
    peer.say(ID, ID)
    await settle()
    assert handler.happened == ["acknowledged 1", "refuse", "refuse"]
    ended.set_result(SlaveSlaveNotConnected("over"))
    peer.reads.set()
    with pytest.raises(grpc.aio.AbortError):
        await serving
