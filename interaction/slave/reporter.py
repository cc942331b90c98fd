"""Hands each result in the outbox to the master, by either road, again and again until it is acknowledged."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from functools import partial

from interaction.core.belief import Belief
from interaction.core.lease import Lease
from interaction.core.model import Acknowledgement
from interaction.core.outbox import Entry, Outbox
from interaction.exception import (
    MasterRequestInvalid,
    MasterResponseException,
    MasterSlaveTokenInvalid,
    MasterSystemShuttingDown,
    MasterTaskDataInvalid,
    RequestException,
    ResponseException,
)
from interaction.rpc.answers import UNBELIEVED, AnotherAnswers
from interaction.rpc.convert import SizedReport
from interaction.rpc.insist import attempt, insist
from interaction.rpc.master_client import MasterClient
from interaction.rpc.telling import log_exception
from interaction.slave.work import WorkStream
from interaction.slave.worker import failed_report

_log = logging.getLogger("interaction.slave")


class Reporter:
    """The reports of one session. `acknowledged` is called when a result has left the outbox, `ended` when the master
    says that the session is over, and `unbelieved` when for as long as the lease it has believed none."""

    def __init__(
        self,
        outbox: Outbox[SizedReport],
        token: str,
        client: MasterClient,
        timeout: float,
        acknowledged: Callable[[], object],
        ended: Callable[[MasterResponseException, float], None],
        unbelieved: Callable[[str], None],
        lease: Lease,
    ) -> None:
        self._outbox = outbox
        self._token = token
        self._client = client
        self._timeout = timeout
        self._acknowledged = acknowledged
        self._ended = ended
        self._unbelieved = unbelieved
        self._lease = lease
        self._belief = Belief()
        self._loop = asyncio.get_running_loop()
        self._reports: set[asyncio.Task[bool]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._watching: asyncio.TimerHandle | None = None  # the stream
        self._stream: WorkStream | None = None
        self._stopped = False

    def poke(self) -> None:
        """Report what is due now, and come back when more is."""
        insist(self._poke)

    def _poke(self) -> None:
        if self._stopped:
            return
        for entry in self._outbox.take_due(self._token, self._loop.time()):
            try:
                self._send(entry)
            except BaseException as error:  # noqa: BLE001 - it is not let go of
                log_exception(_log, logging.ERROR, error, "the result of task %s can't be sent now", entry.task_id)
                insist(self._outbox.failed, entry.task_id, self._loop.time(), 1.0)
        if self._timer is not None:
            self._timer.cancel()
        due = self._outbox.next_due(self._token)
        self._timer = None if due is None else self._loop.call_at(due, insist, self._poke)
        if self._watching is None:
            self._watch()

    def _send(self, entry: Entry[SizedReport]) -> None:
        if self._stream is None or not self._stream.report(entry):
            report = asyncio.ensure_future(self._report(entry))
            self._reports.add(report)
            report.add_done_callback(partial(insist, self._reported, entry))

    def _watch(self) -> None:
        """Give the stream up where nothing moves on it, as a call that gets no answer."""
        self._watching = None
        stalled_at = None if self._stream is None else self._stream.stalled_at(self._timeout)
        if self._stopped or self._stream is None or stalled_at is None:
            return
        if stalled_at <= self._loop.time():
            _log.info("results are not acknowledged on the stream of tasks; it is given up")
            self._stream.end(None)
            self._stream.close()
        else:
            self._watching = self._loop.call_at(stalled_at, insist, self._watch)

    def opened(self, stream: WorkStream) -> None:
        """The master has opened the fast road: a stream before it ends."""
        before, self._stream = self._stream, stream
        if before is not None:
            attempt(partial(before.end, None), before.close)

    def closed(self, stream: WorkStream) -> None:
        """A stream has ended, and what it had not brought home is due."""
        if self._stream is stream:
            self._stream = None
        self.poke()

    @property
    def settled(self) -> bool:
        """Whether no report waits for its answer."""
        return not self._reports and (self._stream is None or self._stream.settled)

    def stop(self, why: ResponseException) -> None:
        """SizedReport no more. What is not acknowledged stays in the outbox."""
        self._stopped = True
        for timer in (self._timer, self._watching):
            if timer is not None:
                timer.cancel()
        for report in self._reports:
            report.cancel()
        if self._stream is not None:
            attempt(partial(self._stream.end, why), self._stream.close)

    async def _report(self, entry: Entry[SizedReport]) -> bool:
        """Report by a call. Says whether the master has dealt with it."""
        try:
            acknowledgement = await self._client.report(entry.item.message, self._timeout)
            if acknowledgement is not Acknowledgement.RECORDED:
                _log.info("the result of task %s was acknowledged as %s", entry.task_id, acknowledgement.name)
        except (MasterSlaveTokenInvalid, MasterSystemShuttingDown) as refusal:
            self._ended(refusal, self._loop.time())
            return False
        except MasterTaskDataInvalid as refusal:  # the task has ended there
            _log.error("the master refuses the result of task %s: %s", entry.task_id, refusal)
        except MasterRequestInvalid as refusal:  # and it has not
            _log.error("the master can't read the report of task %s: %s", entry.task_id, refusal)
            if self._outbox.is_refused(entry.task_id):
                self._outbox.replace(entry.task_id, failed_report(entry.task_id, refusal))
                return False
        except MasterResponseException as refusal:  # that was not this session's master
            _log.info("the result of task %s could not be reported; trying again: %s", entry.task_id, refusal)
            return False
        except RequestException as error:
            doubted = error.code == UNBELIEVED and (self._beats or not isinstance(error, AnotherAnswers))
            why = error.message if doubted else await self._unfit(entry, error)
            if why is not None:
                self._doubt(why)
                return False
            _log.info("the result of task %s could not be reported; trying again: %s", entry.task_id, error)
            if self._outbox.does_not_get_through(entry.task_id, error.code):
                self._outbox.replace(entry.task_id, failed_report(entry.task_id, error))
            return False
        self._belief.kept()
        return True

    @property
    def _beats(self) -> bool:
        """Whether beats are acknowledged: else who answers may have taken the place of a master that is gone."""
        return self._loop.time() - self._lease.renewed_at < self._lease.duration / 2

    async def _unfit(self, entry: Entry[SizedReport], error: RequestException) -> str | None:
        """Why a report can't be sent though beats are acknowledged: TLS is other now than when their stream began."""
        if not (self._beats and entry.attempts and error.code == "UNAVAILABLE"):
            return None
        return await self._client.unfit(error.message)

    def _doubt(self, why: str) -> None:
        """No report gets to the master, or is believed, which may be set right: it is tried again until as much as a
        lease has passed."""
        now = self._loop.time()
        if self._belief.refused(why, now):
            _log.warning("the heartbeat goes on, and no result is taken: %s", why)
        if self._belief.over(self._lease.duration, now):
            self._unbelieved(why)

    def _reported(self, entry: Entry[SizedReport], report: asyncio.Task[bool]) -> None:
        self._reports.discard(report)
        error = None if report.cancelled() else report.exception()
        if error is not None:
            log_exception(_log, logging.ERROR, error, "the result of task %s could not be reported", entry.task_id)
        if error is None and not report.cancelled() and report.result():
            self._outbox.acknowledged(entry.task_id)
            self._acknowledged()
        else:
            self._outbox.failed(entry.task_id, self._loop.time(), random.random())  # noqa: S311 - not a secret
            self.poke()
