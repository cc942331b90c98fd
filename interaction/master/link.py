"""One session with one slave, on the loop: its calls, its heartbeat, its tasks, and its end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

from interaction.core.custody import Custody, Ending
from interaction.core.journal import SessionRecord
from interaction.core.model import Acknowledgement, ConnectAnswer, Data, TaskResult
from interaction.core.session import STREAM_GRACE, Await, Lose, Probe, Session
from interaction.exception import (
    JournalError,
    LossReason,
    MasterSlaveTokenInvalid,
    RequestException,
    ResponseException,
    SlaveMasterTokenInvalid,
    SlaveSlaveNotConnected,
)
from interaction.master.base_task import BaseTask
from interaction.master.delivery import Delivery
from interaction.master.heartbeat import LATE, HeartbeatStream
from interaction.master.losses import how_it_ended, log_loss, tell_tasks
from interaction.master.notes import Notes
from interaction.rpc.convert import Report
from interaction.rpc.encoded import Encoded
from interaction.rpc.insist import attempt, insist
from interaction.rpc.retry import Policy
from interaction.rpc.slave_client import SlaveClient

_log = logging.getLogger("interaction.master")
_T = TypeVar("_T")
_End = Callable[[str | None], None]


class LinkOwner(Protocol):
    """Who keeps the links."""

    def link_opened(self, link: Link) -> None:
        """The session has begun, or goes on."""

    def link_gone(self, link: Link) -> None:
        """The session is about to end: nothing more is to be handed over."""

    def link_over(self, link: Link) -> None:
        """The session has ended."""

    async def turn_to_connect(self, link: Link) -> None:
        """Wait until it is its turn."""

    def ask_after(self, link: Link, probe: Probe) -> None:
        """Find out who is there."""

    def in_background(self, work: Awaitable[object]) -> None:
        """Have something done without waiting for it."""


class Link:
    """One session, from `connect()` until its end, on the loop.

    `policy` is that of its requests. `record` is what is written down of it; the slave's incarnation is empty there
    until it is known. `lost` is called when the session has ended otherwise than by the master's own will, after its
    tasks have ended.
    """

    def __init__(
        self,
        record: SessionRecord,
        session: Session,
        client: SlaveClient,
        owner: LinkOwner,
        notes: Notes,
        policy: Policy,
        lost: Callable[[LossReason], object],
    ) -> None:
        self.record = record
        self.session = session
        self.custody: Custody[BaseTask] = Custody(record.name, session)
        self.client = client
        self.delivery = Delivery(self, self.custody, client, notes, policy)
        self.tokens = [record.token]  # by which the slave may call: its first one, and those by which it was resumed
        self.disowned = ""  # by which the slave need not call any more
        self.max_message_bytes = 0
        self.ended_at: float | None = None  # on the monotonic clock
        self.slots, self.backlog = 1, 0
        self.labels: Mapping[str, str] = {}
        self._owner = owner
        self._notes = notes
        self._policy = policy
        self._lost = lost
        self._calls: set[asyncio.Task[object]] = set()  # under way: the end of the session ends them
        self._ending: Ending[BaseTask] | None = None
        self._let_go = False
        self._end_stream: _End | None = None
        self._stream_awaited: asyncio.Future[None] | None = None

    @property
    def name(self) -> str:
        """The connection's name."""
        return self.record.name

    @property
    def token(self) -> str:
        """The session's token."""
        return self.record.token

    async def connect(self, address: str) -> ConnectAnswer:
        """Open the session. Where that fails the session is over."""
        try:
            answer = await self._call(self._open(address))
            self.opened(answer)
        except BaseException:
            self._conclude(partial(self.custody.end, None, "the connection was not made", asked=True))
            raise
        return answer

    async def _open(self, address: str) -> ConnectAnswer:
        await self._owner.turn_to_connect(self)
        record = self.record
        answer = await self.client.connect(record.token, None, address, self.session.lease, record.data, self._policy)
        record = replace(record, incarnation=answer.incarnation)
        try:
            await self._notes.session(record)
        except BaseException:  # what is not written down has not happened: the slave is free again
            self._notes.session_dropped(record)
            await self.client.leave(record.token, self._policy)
            raise
        self.record = record
        return answer

    def opened(self, answer: ConnectAnswer) -> None:
        """The slave has accepted, or has taken the session up again."""
        self.max_message_bytes = answer.max_message_bytes
        self.slots, self.backlog, self.labels = answer.slots, answer.backlog, answer.labels
        self.delivery.opened(answer)
        loop = asyncio.get_running_loop()
        probe = self.session.opened(answer.incarnation, loop.time(), witnessed="witness" in answer.features)
        loop.call_later(STREAM_GRACE, lambda: self.do(self.session.expect_stream()))
        _log.info("connection %r: connected to a slave of incarnation %s", self.name, answer.incarnation[:8])
        self.do(probe)
        if not self.session.over:
            self._owner.link_opened(self)

    def resumed(self, record: SessionRecord, answer: ConnectAnswer) -> None:
        """The slave has taken the session up again, under the token of the record. What it does not hold is lost."""
        self.record = record
        missing = self.custody.missing(answer.held)
        if missing:
            insist(self._notes.lost, missing)
            _log.warning("connection %r: the slave does not hold %d unfinished task(s): lost", self.name, len(missing))
        self.opened(answer)

    async def disconnect(self, data: Encoded) -> Data:
        """End the session by asking the slave."""
        self.session.parting(True)
        try:
            answer = await self._call(self.client.disconnect(self.token, data, self._policy))
        except ResponseException as refusal:
            self._conclude(partial(self.custody.disconnect_refused, refusal))
            raise
        finally:
            self.session.parting(False)
        self.end(LossReason.DISCONNECTED, "it was disconnected")
        await self._notes.flush()
        return answer

    async def release(self, data: Encoded, patience: float) -> Data | None:
        """End the session by asking the slave, without waiting long for it: after `patience` it ends all the same.

        Returns the slave's answer, or None where it did not come in time. Raises what the slave refuses with.
        """
        self.session.parting(True)
        asking = asyncio.ensure_future(self.client.disconnect(self.token, data, self._policy))
        try:
            await asyncio.wait({asking}, timeout=patience)
        except asyncio.CancelledError:
            asking.cancel()
            raise
        finally:
            self.session.parting(False)
        if asking.done() and asking.exception() is None:
            self.end(LossReason.DISCONNECTED, "it was disconnected")
            await self._notes.flush()
            return asking.result()
        failure = asking.exception() if asking.done() else None
        gone = (RequestException, SlaveSlaveNotConnected, SlaveMasterTokenInvalid)
        if failure is not None and not isinstance(failure, gone):
            raise failure
        ending = self.custody.end(LossReason.DISCONNECTED, "it was given up: the slave did not answer", asked=True)
        if asking.done():
            self.over(ending)
        else:
            self.over(ending, keep_client=True)
            self._owner.in_background(self._close_after(asking))
        await self._notes.flush()
        return None

    async def _close_after(self, asking: asyncio.Future[Data]) -> None:
        await asyncio.wait({asking})
        asking.exception()  # nobody waits for it any more
        await self.client.close()

    async def report(self, result: TaskResult, report: Report) -> Acknowledgement:
        """The slave reports how a task ended, by a call. Raises JournalError where that can't be written."""
        answered: asyncio.Future[Acknowledgement] = asyncio.get_running_loop().create_future()
        self.delivery.report(result, report, partial(_settle, answered))
        return await answered

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
            raise self.is_over() from None
        finally:
            self._calls.discard(waiting)

    def how_it_ended(self) -> str | None:
        """When and why the session has ended, for people. None where it has not, or had never begun."""
        return how_it_ended(self.session.reason, self.custody.over_because, self.ended_at)

    def is_over(self) -> RequestException:
        """That the session is over, as an exception."""
        return RequestException(f"connection {self.name!r} is over: {self.custody.over_because}", "CANCELLED")

    # The heartbeat.

    def open_heartbeat(self, token: str, end: _End) -> HeartbeatStream:
        """The slave opens a heartbeat stream; an older one ends."""
        if self.session.over:
            raise MasterSlaveTokenInvalid("the session of this token is over")
        if token in self.tokens[: self.tokens.index(self.token)]:  # it comes late: the slave beats under the new one
            end(None)
            return HeartbeatStream(self, self.session, LATE)
        if self._end_stream is not None:
            self._end_stream(None)
        self._end_stream = end
        self._await_stream_no_longer()
        number = self.session.stream_opened(asyncio.get_running_loop().time())
        if number > 1:
            _log.info("connection %r: the slave has opened its heartbeat stream again", self.name)
        return HeartbeatStream(self, self.session, number)

    async def streaming(self) -> None:
        """Wait until there is a heartbeat stream, by which the slave is told things at once, or the session is over."""
        if self._end_stream is None and not self.session.over:
            self._stream_awaited = self._stream_awaited or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._stream_awaited)

    def _await_stream_no_longer(self) -> None:
        if self._stream_awaited is not None and not self._stream_awaited.done():
            self._stream_awaited.set_result(None)

    def do(self, decision: Probe | Lose | Await | None) -> None:
        """Carry out what the core has decided."""
        if isinstance(decision, Probe):
            if not decision.after:
                _log.info("connection %r: no heartbeat stream; asking who is there", self.name)
            self._owner.ask_after(self, decision)
        elif isinstance(decision, Await):
            self._owner.link_gone(self)
            asyncio.get_running_loop().call_later(decision.seconds, insist, self._witness_is_late)
        elif isinstance(decision, Lose):
            self._conclude(partial(self.custody.close, decision.reason, decision.message, asked=False))

    def end_stream(self, why: str, *, disown: bool = False) -> None:
        """Tell the slave that the session it beats for is over. `disown`: also where it is about to open a stream."""
        self.disowned = self.token if disown else self.disowned
        if self._end_stream is not None:
            self._end_stream(why)
            self._end_stream = None

    # The end.

    def end(self, reason: LossReason, message: str, *, asked: bool = True) -> None:
        """The session ends here, by the will of either side; a slave that is still there is told."""
        self._conclude(partial(self.custody.end, reason, message, asked=asked))

    def left(self, why: str, drained: bool) -> None:
        """The slave has ended the session, and with it the stream: there is nothing to tell."""
        self._end_stream = None
        self._conclude(partial(self.custody.left, why, drained))

    def _witness_is_late(self) -> None:
        self.do(self.session.witness_is_late())

    def exited(self, number: int, incarnation: str, begun: Collection[str] | None) -> None:
        """The slave's witness says that its process has ended."""
        self._conclude(partial(self.custody.exited, number, incarnation, begun))

    def abandon(self) -> None:
        """Let go of everything, and leave the session as it is, for the next master on the same journal."""
        self._end_stream = None
        for call in self._calls:
            call.cancel()
        self.delivery.close()
        self._owner.in_background(self.client.close())

    def _conclude(self, close: Callable[[], Ending[BaseTask] | None]) -> None:
        """The session has come to its end. Raises nothing: nobody would come back for its tasks."""
        insist(lambda: self.over(self._ending or close()))

    def over(self, ending: Ending[BaseTask] | None, *, keep_client: bool = False) -> None:
        """Let go of everything: the slave is told at once, the tasks' owners when it is written. May be repeated."""
        if ending is None or self._let_go:
            return
        self._ending = ending
        self.ended_at = time.monotonic()
        insist(self._owner.link_over, self)
        insist(self.end_stream, ending.message)
        attempt(self._await_stream_no_longer, self._end_calls, self.delivery.close)
        if ending.reason is not None:
            log_loss(self.name, ending, ending.reason)
            self._notes.over(self.token, ending, partial(self._tell, ending))
        elif self.record.incarnation:  # it is written down, and has never begun
            self._notes.session_dropped(self.record)
        self._let_go = True
        if not keep_client:
            attempt(lambda: self._owner.in_background(self.client.close()))

    def _end_calls(self) -> None:
        for call in self._calls - {asyncio.current_task()}:
            call.cancel()

    def _tell(self, ending: Ending[BaseTask]) -> None:
        """The owners of the tasks learn of their end, then who watches the slaves."""
        tell_tasks(ending)
        if not ending.asked and ending.reason is not None:
            insist(self._lost, ending.reason)


def _settle(answered: asyncio.Future[Acknowledgement], answer: Acknowledgement | JournalError) -> None:
    if answered.done():
        return
    if isinstance(answer, Acknowledgement):
        answered.set_result(answer)
    else:
        answered.set_exception(answer)
