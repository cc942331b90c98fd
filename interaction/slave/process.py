"""Runs a slave's tasks in a child process, which is replaced when it dies."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from multiprocessing.connection import wait
from typing import Any

from interaction.core.model import TaskOffer
from interaction.exception import RemoteTraceback
from interaction.rpc import forks
from interaction.rpc.convert import SizedReport, pack_task, unpack_report
from interaction.rpc.telling import log_exception
from interaction.slave import child
from interaction.slave.spawn import UNGUARDED, Parcel, blocking_pipe, check_can_spawn, start
from interaction.slave.worker import failed_report, log_report
from interaction.slave.workshop import Ready, Run, Stopped

_log = logging.getLogger("interaction.slave")
_PATIENCE = 5.0  # seconds until a process that was killed, or has closed its connection, has ended
_PAUSE = 0.1  # seconds before what has failed here is tried again
_TAKEN = 255  # stands for an exit code that nobody here will learn


class ProcessDied(Exception):
    """The child process ended before the task did."""


class _Child:
    """One child process. `wake` is readable when it is not to be waited for any longer."""

    def __init__(self, kind: type, given: Sequence[Any], named: Mapping[str, Any], wake: int) -> None:
        self.ready = False  # its constructor has come to its end
        self.well = False  # the next task may be given to it
        self.told = False  # the log has said how it ended, with the task that it ended with
        self._wake = wake
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = blocking_pipe()
        forks.let_go_of(self._connection)
        arguments = (theirs, os.getpid(), Parcel(kind, given, named))
        self._process = context.Process(target=child.main, args=arguments, name=child.NAME, daemon=False)
        try:
            start(self._process)
        except BaseException:
            self._connection.close()
            raise
        finally:
            theirs.close()
        self._sentinel: int = self._process.sentinel
        self.ended: int = _end_of(self._process.pid, self._sentinel)

    def run(self, offer: TaskOffer, room: int) -> SizedReport:
        """Run one task. Raises ProcessDied, or Stopped."""
        report = self._until_ready() or self._run(offer, room)
        report.message.task_id = offer.task_id  # as long as the one that stands for it where it is not known
        return report

    def _run(self, offer: TaskOffer, room: int) -> SizedReport:
        self.well = False
        head, data = pack_task(offer, room)
        try:
            self._connection.send_bytes(head)
            self._connection.send_bytes(data)
            del data  # while the task runs it would be one copy more
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
            raise Stopped
        if self._connection not in came and not self._connection.poll():
            raise EOFError
        return self._connection.recv_bytes()

    def _death(self) -> ProcessDied:
        when = "while it ran this task" if self.ready else "before it was ready for a task"
        if not wait([self.ended, self._wake], _PATIENCE):
            return ProcessDied(f"the process that runs the slave's tasks closed its connection to the slave {when}")
        if not self.ready and self._process.exitcode == UNGUARDED:
            return ProcessDied(
                "the process that runs the slave's tasks reads the slave's script once more, which starts the slave "
                "again there: the script has to start it behind `if __name__ == '__main__':`"
            )
        why = "" if self.ready else "; what it wrote to the slave's standard error says why"
        return ProcessDied(f"the process that runs the slave's tasks ended {self._how()} {when}{why}")

    def last_word(self) -> SizedReport | None:
        """Why there is none to be had, where its constructor has raised before there was a task. Raises nothing."""
        try:
            word = self._connection.recv_bytes() if not self.ready and self._connection.poll() else b""
            return unpack_report(word[1:]) if word[:1] == child.FAILED else None
        except Exception as error:  # noqa: BLE001 - a child that dies may leave anything behind
            _log.debug("a process that ran tasks has left no last word: %s", error)
            return None

    def _how(self) -> str:
        """How it has ended. Its exit code is not to be had where somebody else was told of its end."""
        code = self._process.exitcode
        if code is None or code == _TAKEN:
            return (
                "with an exit code that is not known: somebody else took it (SIGCHLD ignored, or any child waited for)"
            )
        if code < 0:
            return f"by {signal.Signals(-code).name}" if -code in set(signal.Signals) else f"by signal {-code}"
        return f"with exit code {code}"

    def end(self) -> str:
        """Kill it where it lives, and let go of it. Returns how it has ended. Raises nothing."""
        how = "in no known way"
        try:
            self._kill()
            how = self._how()
        except Exception as error:  # noqa: BLE001 - its descriptors may be closed, by users' code
            log_exception(_log, logging.ERROR, error, "a process that runs tasks can't be ended")
        for let_go in (self._forget, self._connection.close, self._close_end):
            try:
                let_go()
            except (OSError, ValueError) as error:
                _log.warning("what is left of a process that ran tasks can't be closed: %s", error)
        return how

    def _kill(self) -> None:
        if self.ended == self._sentinel:
            self._process.kill()
            self._process.join()
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.ended, signal.SIGKILL)  # its number may be another process's by now
        wait([self.ended], _PATIENCE)

    def _forget(self) -> None:
        """Have multiprocessing forget it, which goes by the exit code: somebody else may have taken that."""
        popen = getattr(self._process, "_popen", None)
        if self._process.exitcode is None and popen is not None and wait([self.ended], 0):
            popen.returncode = _TAKEN
        self._process.close()

    def _close_end(self) -> None:
        if self.ended != self._sentinel:
            os.close(self.ended)


class ProcessWorkplace:
    """Runs tasks in a child process, where the slave is constructed again with the same arguments.

    Its thread lives from `start` to `stop`: the child dies with the thread that started it.
    """

    def __init__(self, kind: type, given: Sequence[Any], named: Mapping[str, Any], ready: Ready) -> None:
        self._made = (kind, given, named)
        self._ready = ready
        self._work: deque[Run] = deque()
        self._child: _Child | None = None
        self._thread = threading.Thread(target=self._run, name="interaction-tasks", daemon=True)
        self._started: Future[None] = Future()
        self._changed = _Bell()
        self._stopping = _Bell()

    def start(self) -> None:
        """Start the first child.

        Raises TypeError where the arguments can't be sent to it, RuntimeError where there can be none, and OSError.
        """
        check_can_spawn(self._made[0])
        self._thread.start()
        self._started.result()

    def submit(self, run: Run) -> None:
        """Run a task after those before it."""
        self._work.append(run)
        self._changed.ring()

    def check_not_mine(self) -> None:
        """No task runs in this process."""

    def stop(self) -> None:
        """End the child, and what it runs."""
        self._stopping.ring()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end of the child."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, child.SIGNALS)  # as the child inherits, until it has handlers
        try:
            self._child = self._spawn()
        except BaseException as error:  # noqa: BLE001 - start() raises it
            self._started.set_exception(error)
        else:
            self._started.set_result(None)
            self._serve_until_stopped()
            if self._child is not None:
                self._child.end()
            while self._work:
                self._work.popleft().leave()
        self._changed.close()
        self._stopping.close()

    def _serve_until_stopped(self) -> None:
        while True:
            try:
                self._serve()
            except Stopped:
                _log.debug("the slave shuts down, and its child process with it")
                return
            except BaseException as error:  # noqa: BLE001 - this thread ends with the slave, and with nothing else
                log_exception(
                    _log, logging.ERROR, error, "what starts the slave's task processes has failed; it goes on"
                )
                child, self._child = self._child, None
                if child is not None:
                    child.end()
                time.sleep(_PAUSE)

    def _serve(self) -> None:
        while True:
            while self._work:
                self._work.popleft().do(self._ready, self._report)
                if self._child is not None and not self._child.well:
                    self._replace()
            sources = [self._stopping.ear, self._changed.ear] + ([] if self._child is None else [self._child.ended])
            came = wait(sources)
            if self._stopping.ear in came:
                raise Stopped
            if self._child is not None and self._child.ended in came:
                self._replace()
            self._changed.hush()

    def _report(self, offer: TaskOffer, room: int) -> SizedReport:
        try:
            if self._child is None:
                self._child = self._spawn()
            report = self._child.run(offer, room)
            log_report(report)
            self._child.told = not self._child.well
            return report
        except Stopped:
            raise
        except (ProcessDied, OSError, TypeError) as error:
            _log.warning("task %s has failed: %s", offer.task_id, error)
            if self._child is not None:
                self._child.told = True
            return failed_report(offer.task_id, error)

    def _replace(self) -> None:
        """Another child takes the place of one that has died. Where that was not ready yet, only when a task comes."""
        dead, self._child = self._child, None
        if dead is None:
            return
        last = dead.last_word()
        how = dead.end()
        if not dead.told:
            _log_death(dead, how, last)
        if not dead.ready:
            return
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


def _log_death(dead: _Child, how: str, last: SizedReport | None) -> None:
    """Say how a child has ended without a task. With one that one says it."""
    if dead.ready:
        _log.warning("the process that runs this slave's tasks has ended %s; starting another", how)
        return
    why, error = f"it ended {how}", None if last is None else last.message.error
    raised = None if error is None else RemoteTraceback(error.traceback)
    if error is not None:
        why = error.message
    _log.error("no process for this slave's tasks can be had (%s); the next task tries again", why, exc_info=raised)


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
