"""Runs a slave's tasks in a child process, which is replaced when it dies."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from multiprocessing.connection import wait
from typing import Any

from interaction.core.admission import Ticket
from interaction.core.model import TaskOffer
from interaction.rpc.convert import SizedReport, pack_task, unpack_report
from interaction.slave import child
from interaction.slave.worker import failed_report, log_report
from interaction.slave.workshop import Done, Ready

_log = logging.getLogger("interaction.slave")


class ProcessDied(Exception):
    """The child process ended before the task did."""


class _Stopped(Exception):
    """The slave shuts down."""


class _Child:
    """One child process. `wake` is readable when it is not to be waited for any longer."""

    def __init__(self, kind: type, given: Sequence[Any], named: Mapping[str, Any], wake: int) -> None:
        self.ready = False  # its constructor has come to its end
        self.well = False  # the next task may be given to it
        self._wake = wake
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        arguments = (theirs, os.getpid(), kind, given, named)
        self._process = context.Process(target=child.main, args=arguments, name=child.NAME, daemon=False)
        try:
            self._process.start()
        except BaseException:
            self._connection.close()
            raise
        finally:
            theirs.close()
        self.ended: int = _end_of(self._process.pid, self._process.sentinel)

    def run(self, offer: TaskOffer, room: int) -> SizedReport:
        """Run one task. Raises ProcessDied, or _Stopped."""
        failed = self._until_ready()
        if failed is not None:
            failed.message.task_id = offer.task_id  # as long as the one that it was made with
            return failed
        self.well = False
        task = pack_task(offer, room)
        try:
            self._connection.send_bytes(task)
            report = unpack_report(self._receive())
        except (EOFError, OSError):
            raise self._death() from None
        self.well = True
        return report

    def _until_ready(self) -> SizedReport | None:
        """Wait for the end of the constructor. Returns the report of a task where it raised."""
        if not self.ready:
            try:
                word = self._receive()
            except (EOFError, OSError):
                raise self._death() from None
            if word[:1] == child.FAILED:
                return unpack_report(word[1:])
            self.ready = True
        return None

    def _receive(self) -> bytes:
        came = wait([self._connection, self.ended, self._wake])
        if self._wake in came:
            raise _Stopped
        if self._connection not in came and not self._connection.poll():
            raise EOFError
        return self._connection.recv_bytes()

    def _death(self) -> ProcessDied:
        self._process.join()
        code = self._process.exitcode
        how = f"with exit code {code}"
        if code is not None and code < 0:
            how = f"by {signal.Signals(-code).name}" if -code in set(signal.Signals) else f"by signal {-code}"
        when = "while it ran this task" if self.ready else "before it was ready for a task"
        return ProcessDied(f"the process that runs the slave's tasks ended {how} {when}")

    def end(self) -> int | None:
        """Kill it where it lives. Returns its exit code."""
        self._process.kill()
        self._process.join()
        code = self._process.exitcode
        if self.ended != self._process.sentinel:
            os.close(self.ended)
        self._connection.close()
        self._process.close()
        return code


class ProcessWorkplace:
    """Runs tasks in a child process, where the slave is constructed again with the same arguments.

    Its thread lives from `start` to `stop`: the child dies with the thread that started it.
    """

    def __init__(self, kind: type, given: Sequence[Any], named: Mapping[str, Any], ready: Ready) -> None:
        self._made = (kind, given, named)
        self._ready = ready
        self._work: deque[tuple[Ticket, int, Done]] = deque()
        self._child: _Child | None = None
        self._thread = threading.Thread(target=self._run, name="interaction-tasks", daemon=True)
        self._started: Future[None] = Future()
        self._changed = _Bell()
        self._stopping = _Bell()

    def start(self) -> None:
        """Start the first child. Raises TypeError where the arguments can't be sent to it, and OSError."""
        self._thread.start()
        self._started.result()

    def submit(self, ticket: Ticket, room: int, done: Done) -> None:
        """Run a task after those before it."""
        self._work.append((ticket, room, done))
        self._changed.ring()

    def check_not_mine(self) -> None:
        """No task runs in this process."""

    def stop(self) -> None:
        """End the child, and what it runs."""
        self._stopping.ring()

    def join(self) -> None:
        """Wait for the end of the child."""
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, child.SIGNALS)  # as the child inherits, until it has handlers
        try:
            self._child = self._spawn()
        except BaseException as error:  # noqa: BLE001 - start() raises it
            self._started.set_exception(error)
        else:
            self._started.set_result(None)
            try:
                self._serve()
            except _Stopped:
                _log.debug("the slave shuts down, and its child process with it")
            if self._child is not None:
                self._child.end()
        self._changed.close()
        self._stopping.close()

    def _serve(self) -> None:
        while True:
            sources = [self._stopping.ear, self._changed.ear] + ([] if self._child is None else [self._child.ended])
            came = wait(sources)
            if self._stopping.ear in came:
                raise _Stopped
            if self._child is not None and self._child.ended in came:
                self._replace()
            self._changed.hush()
            while self._work:
                ticket, room, done = self._work.popleft()
                report = self._report(ticket.offer, room) if self._ready(ticket) else None
                done(ticket, report)
                del ticket, done, report  # else their data would live until the next comes
                if self._child is not None and not self._child.well:
                    self._replace()

    def _report(self, offer: TaskOffer, room: int) -> SizedReport:
        try:
            if self._child is None:
                self._child = self._spawn()
            report = self._child.run(offer, room)
            log_report(report)
            return report
        except _Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - whatever went wrong, its master must not wait for ever
            _log.warning("task %s has failed: %s", offer.task_id, error)
            return failed_report(offer.task_id, error)

    def _replace(self) -> None:
        """Another child takes the place of one that has died. Where that was not ready yet, only when a task comes."""
        dead, self._child = self._child, None
        if dead is None:
            return
        code = dead.end()
        if not dead.ready:
            _log.error("no process for this slave's tasks can be had (exit code %s); the next task tries again", code)
            return
        _log.warning("the process that runs this slave's tasks has ended (exit code %s); starting another", code)
        try:
            self._child = self._spawn()
        except (OSError, TypeError) as error:
            _log.error("no other process can be started; the next task tries again: %s", error)

    def _spawn(self) -> _Child:
        kind = self._made[0]
        try:
            return _Child(*self._made, self._stopping.ear)
        except OSError:
            raise
        except Exception as error:  # whatever a user's object raises when it is to be sent
            raise TypeError(
                f"isolation='process' constructs {kind.__name__} in a child process once more, and this class and its "
                f"arguments can't be sent there: {error}"
            ) from error


class _Bell:
    """A pipe that is readable once it was rung."""

    def __init__(self) -> None:
        self.ear, self._rope = os.pipe()
        self._gate = threading.Lock()
        self._closed = False
        os.set_blocking(self.ear, False)
        os.set_blocking(self._rope, False)

    def ring(self) -> None:
        with self._gate:
            if not self._closed:
                try:
                    os.write(self._rope, b"!")
                except BlockingIOError:
                    _log.debug("it rings already")

    def hush(self) -> None:
        try:
            os.read(self.ear, 65536)
        except BlockingIOError:
            _log.debug("it did not ring")

    def close(self) -> None:
        with self._gate:
            self._closed = True
            os.close(self.ear)
            os.close(self._rope)


def _end_of(process: int | None, sentinel: int) -> int:
    """A descriptor that is readable when the process has ended; `sentinel` may be held by programs that it started."""
    try:
        return os.pidfd_open(process or 0)
    except (AttributeError, OSError):
        return sentinel
