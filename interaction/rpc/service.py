"""The life of a master and of a slave: start, ping, shutdown, join."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from enum import Enum
from types import TracebackType
from typing import TypeVar

from interaction.address import Endpoint, is_loopback, join_host
from interaction.config import ServiceOptions
from interaction.rpc import loop as shared_loop
from interaction.rpc.loop import LoopThread
from interaction.rpc.ping import answers

_Self = TypeVar("_Self", bound="Service")


class _State(Enum):
    NEW = "new"
    RUNNING = "running"
    STOPPED = "stopped"


_running: set[Service] = set()  # a service that nobody holds runs on until the process ends


class Service:
    """Start and end of a server on the shared loop. All methods may be called from any thread.

    A subclass gives `_open`, `_close` and `_join_strands`, and may raise in `_check_may_wait`.
    """

    def __init__(self, options: ServiceOptions, log: logging.Logger) -> None:
        self._options = options
        self._log = log
        self._port = options.port
        self._state = _State.NEW
        self._transition = threading.RLock()
        self._down = threading.Event()
        self._loop_thread: LoopThread | None = None

    @property
    def mine(self) -> bool:
        """Whether this process started it, rather than one that it was forked from."""
        return self._loop_thread is not None and self._loop_thread.pid == os.getpid()

    @property
    def host(self) -> str:
        """The host that the server listens at."""
        return self._options.host

    @property
    def port(self) -> int:
        """The port that the server listens at; where a free one was asked for, 0 until `start()`."""
        return self._port

    @property
    def channel(self) -> int:
        """The channel that master and slaves share."""
        return self._options.channel

    def start(self) -> None:
        """Start the server, and return when it answers.

        Raises:
            OSError: the port can't be had.
            RuntimeError: it was started before.
        """
        name = type(self).__name__
        with self._transition:
            if self._state is not _State.NEW:
                was = "is running" if self._state is _State.RUNNING else "was stopped"
                raise RuntimeError(f"this {name} {was} and can't be started again; create another one")
            thread = shared_loop.acquire()
            try:
                self._port = thread.run(self._open(thread))
            except BaseException:
                shared_loop.release()
                raise
            self._loop_thread = thread
            self._state = _State.RUNNING
            _running.add(self)
        self._log.info("%s listens at %s", name, join_host(self.host, self._port))
        if self._options.tls is None and not is_loopback(self.host):
            self._log.warning(
                "%s listens beyond this machine (%s) without TLS: who can reach it can read everything; see TLS",
                name,
                join_host(self.host, self._port),
            )

    def shutdown(self) -> None:
        """End all sessions and stop serving, without waiting for users' code that runs. Harmless when repeated."""
        with self._transition:
            thread = self._loop_thread
            if self._state is not _State.RUNNING or thread is None:
                return
            thread.check_process()
            self._state = _State.STOPPED
            try:
                thread.run(self._close())
            finally:
                _running.discard(self)
                shared_loop.release()
                self._down.set()
        self._log.info("%s at %s is shut down", type(self).__name__, join_host(self.host, self._port))

    def join(self) -> None:
        """Wait until somebody has called `shutdown()` and all has ended: the server, then its checks, then users' code.

        Returns at once where it was never started.

        Raises:
            RuntimeError: called by code that it would wait for, such as a callback.
        """
        self._check_may_wait()
        if self._state is _State.NEW:
            return
        self._running_thread().check_process()
        self._down.wait()
        self._join_strands()

    def close(self) -> None:
        """Shut down and join. Harmless when repeated. Raises RuntimeError as `join()` does, and then does nothing."""
        self._check_may_wait()
        self.shutdown()
        self.join()

    def __enter__(self: _Self) -> _Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def ping(self) -> bool:
        """Whether the server answers. False before `start()` and after `shutdown()`."""
        thread = self._loop_thread
        if self._state is not _State.RUNNING or thread is None:
            return False
        thread.check_process()
        return thread.run(answers(Endpoint(self.host, self._port, self._options.tls is not None)))

    def _running_thread(self) -> LoopThread:
        """The loop's thread. Raises RuntimeError unless the service runs, or did."""
        if self._loop_thread is None:
            raise RuntimeError(f"this {type(self).__name__} has not been started; call start(), or use `with`")
        return self._loop_thread

    def _check_running(self) -> LoopThread:
        """The loop's thread. Raises RuntimeError unless the service runs."""
        thread = self._running_thread()
        thread.check_process()
        if self._state is not _State.RUNNING:
            raise RuntimeError(f"this {type(self).__name__} is shut down; create another one")
        return thread

    async def _open(self, thread: LoopThread) -> int:
        """Start serving; returns the port."""
        raise NotImplementedError

    async def _close(self) -> None:
        """Stop serving."""
        raise NotImplementedError

    def _check_may_wait(self) -> None:
        """Raise RuntimeError on a thread that `join()` would wait for."""
        raise NotImplementedError

    def _join_strands(self) -> None:
        """Wait for users' code."""
        raise NotImplementedError


def _shut_down_at_exit() -> None:
    """What nobody closed does not keep the process alive, and its peers are told."""
    for service in list(_running):
        if service.mine:
            service.shutdown()


atexit.register(_shut_down_at_exit)
