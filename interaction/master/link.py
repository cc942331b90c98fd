"""One session with one slave, on the loop: its calls, its heartbeat, its tasks, and its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from interaction.core.model import Acknowledgement, ConnectAnswer, Data, TaskResult
from interaction.core.registry import Ledger
from interaction.core.session import STREAM_GRACE, Lose, Probe, Session
from interaction.exception import (
    LossReason,
    MasterSlaveTokenInvalid,
    RequestException,
    SlaveMasterTokenInvalid,
    SlaveSlaveNotConnected,
    TaskLost,
)
from interaction.master.task import Task
from interaction.rpc.payload import Encoded
from interaction.rpc.retry import Policy
from interaction.rpc.slave_client import SlaveClient

_log = logging.getLogger("interaction.master")
_T = TypeVar("_T")
_End = Callable[[str | None], None]


class LinkOwner(Protocol):
    """Who keeps the links."""

    def link_over(self, link: Link) -> None:
        """The session has ended."""

    def in_background(self, work: Awaitable[object]) -> None:
        """Have something done without waiting for it."""


class Link:
    """One session, from `connect()` until its end. All is called on the loop.

    `lost` is called when it has ended otherwise than by the master's own will, after its tasks have ended.
    """

    def __init__(
        self,
        name: str,
        token: str,
        session: Session,
        client: SlaveClient,
        owner: LinkOwner,
        lost: Callable[[LossReason], object],
    ) -> None:
        self.name = name
        self.token = token
        self.session = session
        self.max_message_bytes = 0
        self._client = client
        self._owner = owner
        self._lost = lost
        self._tasks: Ledger[Task] = Ledger()
        self._calls: set[asyncio.Task[object]] = set()  # under way: the end of the session ends them
        self._end_stream: _End | None = None
        self._stream_awaited: asyncio.Future[None] | None = None
        self._over_because = ""

    async def connect(self, address: str, data: Encoded, policy: Policy) -> ConnectAnswer:
        """Open the session. Where that fails the session is over."""
        try:
            answer = await self._call(self._client.connect(self.token, address, self.session.lease, data, policy))
        except BaseException:
            self._finish("the connection was not made", None)
            raise
        self.max_message_bytes = answer.max_message_bytes
        loop = asyncio.get_running_loop()
        probe = self.session.opened(answer.incarnation, loop.time())
        loop.call_later(STREAM_GRACE, lambda: self._do(self.session.expect_stream()))
        _log.info("%s: connected to a slave of incarnation %s", self.name, answer.incarnation[:8])
        self._do(probe)
        return answer

    async def disconnect(self, data: Encoded, policy: Policy) -> Data:
        """End the session by asking the slave."""
        self.session.parting(True)
        try:
            answer = await self._call(self._client.disconnect(self.token, data, policy))
        except (SlaveSlaveNotConnected, SlaveMasterTokenInvalid) as refusal:
            self.lose(LossReason.DISCONNECTED, f"the slave says: {refusal.message}")
            raise
        finally:
            self.session.parting(False)
        self.lose(LossReason.DISCONNECTED, "it was disconnected")
        return answer

    async def release(self, data: Encoded, policy: Policy, patience: float) -> Data | None:
        """End the session by asking the slave, without waiting long for it: after `patience` it ends all the same.

        Returns the slave's answer, or None where it did not come in time. Raises what the slave refuses with.
        """
        self.session.parting(True)
        asking = asyncio.ensure_future(self._client.disconnect(self.token, data, policy))
        await asyncio.wait({asking}, timeout=patience)
        self.session.parting(False)
        if asking.done() and asking.exception() is None:
            self.lose(LossReason.DISCONNECTED, "it was disconnected")
            return asking.result()
        failure = asking.exception() if asking.done() else None
        if failure is not None and not isinstance(
            failure, (RequestException, SlaveSlaveNotConnected, SlaveMasterTokenInvalid)
        ):
            raise failure
        if not asking.done():
            self._owner.in_background(self._close_after(asking))
        self._finish(
            "it was given up: the slave did not answer", LossReason.DISCONNECTED, keep_client=not asking.done()
        )
        return None

    async def _close_after(self, asking: asyncio.Future[Data]) -> None:
        await asyncio.wait({asking})
        asking.exception()  # nobody waits for it any more
        await self._client.close()

    async def new_task(self, task: Task, data: Encoded, policy: Policy) -> Data:
        """Hand over one task, and mark it as accepted before anything else can happen to it."""
        if self.session.over:
            raise RequestException(f"connection {self.name!r} is over: {self._over_because}", "CANCELLED")
        self._tasks.add(task.id, task)
        try:
            answer = await self._call(
                self._client.new_task(self.token, self.session.incarnation, task.id, data, policy)
            )
        except BaseException as error:
            if not task.status.ended:  # else its result has come, or the session's end has closed it
                self._tasks.close(task.id, by_result=False)
            if isinstance(error, (SlaveSlaveNotConnected, SlaveMasterTokenInvalid)):
                self.lose(LossReason.DISCONNECTED, f"the slave says: {error.message}", asked=False)
            raise
        task.accept()
        return answer

    async def _call(self, call: Awaitable[_T]) -> _T:
        """Wait for a call, which the end of the session ends with a RequestException."""
        waiting = asyncio.current_task()
        assert waiting is not None, "called on the loop"
        self._calls.add(waiting)
        try:
            return await call
        except asyncio.CancelledError:
            if not self.session.over:
                raise
            raise RequestException(f"connection {self.name!r} is over: {self._over_because}", "CANCELLED") from None
        finally:
            self._calls.discard(waiting)

    # The slave's calls.

    def open_heartbeat(self, end: _End) -> HeartbeatStream:
        """The slave opens a heartbeat stream; an older one ends."""
        if self.session.over:
            raise MasterSlaveTokenInvalid("the session of this token is over")
        if self._end_stream is not None:
            self._end_stream(None)
        self._end_stream = end
        if self._stream_awaited is not None and not self._stream_awaited.done():
            self._stream_awaited.set_result(None)
        number = self.session.stream_opened(asyncio.get_running_loop().time())
        if number > 1:
            _log.info("%s: the slave has opened its heartbeat stream again", self.name)
        return HeartbeatStream(self, number)

    async def streaming(self) -> None:
        """Wait until there is a heartbeat stream: what is said on it reaches the slave at once."""
        if self._end_stream is None:
            self._stream_awaited = self._stream_awaited or asyncio.get_running_loop().create_future()
            await self._stream_awaited

    def report(self, result: TaskResult) -> Acknowledgement:
        """The slave reports how a task ended."""
        task = self._tasks.get(result.task_id)
        if task is None:
            return self._tasks.acknowledge_again(result.task_id)
        acknowledgement = task.finish(result)
        self._tasks.close(result.task_id, by_result=acknowledgement is Acknowledgement.RECORDED)
        return acknowledgement

    def do(self, decision: Probe | Lose | None) -> None:
        """Carry out what the core has decided."""
        self._do(decision)

    def _do(self, decision: Probe | Lose | None) -> None:
        if isinstance(decision, Probe):
            if not decision.after:
                _log.info("%s: no heartbeat stream; asking who is there", self.name)
            self._owner.in_background(self._probe(decision.after))
        elif isinstance(decision, Lose):
            self._finish(decision.message, decision.reason, asked=False)

    async def _probe(self, after: float) -> None:
        await asyncio.sleep(after)
        if not self.session.over:
            self._do(self.session.probed(await self._client.probe()))

    # The end.

    def lose(self, reason: LossReason, message: str, *, asked: bool = True) -> None:
        """The session ends here, by the will of either side; a slave that is still there is told."""
        if self.session.end():
            self._finish(message, reason, asked=asked)

    def left(self, reason: LossReason, message: str) -> None:
        """The slave has ended the session, and with it the stream: there is nothing to tell."""
        self._end_stream = None
        self.lose(reason, message, asked=False)

    def _finish(
        self, message: str, reason: LossReason | None, *, asked: bool = True, keep_client: bool = False
    ) -> None:
        """Let go of everything. `reason` is None where the session had never begun; `asked`: the master wanted it."""
        self.session.end()
        self._over_because = message
        self._owner.link_over(self)
        if self._end_stream is not None:
            self._end_stream(message)
            self._end_stream = None
        current = asyncio.current_task()
        for call in self._calls:
            if call is not current:
                call.cancel()
        if reason is not None:
            level = logging.INFO if reason in (LossReason.DISCONNECTED, LossReason.DRAINED) else logging.WARNING
            unfinished = self._tasks.take_all()
            _log.log(level, "%s: lost (%s): %s; unfinished tasks: %d", self.name, reason.name, message, len(unfinished))
            for task in unfinished:
                task.lose(TaskLost(reason, f"connection {self.name!r} is lost: {message}"))
            if not asked:
                self._lost(reason)
        if not keep_client:
            self._owner.in_background(self._client.close())


class HeartbeatStream:
    """One heartbeat stream of a link."""

    def __init__(self, link: Link, number: int) -> None:
        self._link = link
        self._number = number

    def beat(self, sequence: int) -> int | None:
        """A beat came: what to acknowledge."""
        session = self._link.session
        return session.newest_beat if session.beat(self._number, sequence, asyncio.get_running_loop().time()) else None

    def leaving(self, reason: str, drained: bool) -> None:
        """The slave leaves."""
        message = f"the slave has left ({reason[:200]})" if reason else "the slave has left"
        self._link.left(LossReason.DRAINED if drained else LossReason.DISCONNECTED, message)

    def broken(self) -> None:
        """The stream ended without a word."""
        self._link.do(self._link.session.stream_broken(self._number))
