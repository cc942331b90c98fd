"""The life of a master and of a slave: start, ping, shutdown, join."""

from __future__ import annotations

import atexit
import logging
import multiprocessing.util  # noqa: F401 - its exit handler waits for children: it has to run after the one here
import os
import threading
from enum import Enum

from google.protobuf.internal import api_implementation

from interaction.address import Endpoint, is_loopback, join_host
from interaction.config import ServiceOptions
from interaction.rpc import loop as shared_loop
from interaction.rpc.loop import LoopThread
from interaction.rpc.ping import answers


class _State(Enum):
    NEW = "new"
    RUNNING = "running"
    STOPPED = "stopped"


_running: set[Service] = set()  # a service that nobody holds runs on until the process ends


class Service:
    """Start and end of a server on the shared loop, behind a facade. All methods may be called from any thread.

    A subclass gives `_open`, `_close` and `_join_strands`, and may raise in `check_may_wait`. `name` is that of the
    facade's class, for messages.
    """

    def __init__(self, options: ServiceOptions, name: str, log: logging.Logger) -> None:
        self.options = options
        self.port = options.port
        self._name = name
        self._log = log
        self._state = _State.NEW
        self._transition = threading.RLock()
        self._down = threading.Event()
        self._loop_thread: LoopThread | None = None

    @property
    def mine(self) -> bool:
        """Whether this process started it, rather than one that it was forked from."""
        return self._loop_thread is not None and self._loop_thread.pid == os.getpid()

    def start(self) -> None:
        """As `Facade.start()`."""
        if api_implementation.Type() == "python":  # tens of times slower, and more lenient about what it reads
            raise RuntimeError(
                "protobuf runs in pure Python here: unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION, or install a "
                "protobuf wheel for this platform"
            )
        with self._transition:
            if self._state is not _State.NEW:
                was = "is running" if self._state is _State.RUNNING else "was stopped"
                raise RuntimeError(f"this {self._name} {was} and can't be started again; create another one")
            thread = shared_loop.acquire()
            try:
                self.port = thread.run(self._open(thread))
            except BaseException:
                shared_loop.release()
                raise
            self._loop_thread = thread
            self._state = _State.RUNNING
            _running.add(self)
        address = join_host(self.options.host, self.port)
        self._log.info("%s listens at %s", self._name, address)
        if self.options.tls is None and not is_loopback(self.options.host):
            self._log.warning(
                "%s listens beyond this machine (%s) without TLS: who can reach it can read everything; see TLS",
                self._name,
                address,
            )

    def shutdown(self) -> None:
        """As `Facade.shutdown()`."""
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
        self._log.info("%s at %s is shut down", self._name, join_host(self.options.host, self.port))

    def exit(self) -> None:
        """The process ends, and nobody has shut this down."""
        self.shutdown()

    def join(self) -> None:
        """As `Facade.join()`."""
        self.check_may_wait()
        if self._state is _State.NEW:
            return
        self._running_thread().check_process()
        self._down.wait()
        self._join_strands()

    def ping(self) -> bool:
        """As `Facade.ping()`."""
        thread = self._loop_thread
        if self._state is not _State.RUNNING or thread is None:
            return False
        thread.check_process()
        return thread.run(answers(Endpoint(self.options.host, self.port, self.options.tls is not None)))

    def _running_thread(self) -> LoopThread:
        """The loop's thread. Raises RuntimeError unless the service runs, or did."""
        if self._loop_thread is None:
            raise RuntimeError(f"this {self._name} has not been started; call start(), or use `with`")
        return self._loop_thread

    def check_running(self) -> LoopThread:
        """The loop's thread. Raises RuntimeError unless the service runs."""
        thread = self._running_thread()
        thread.check_process()
        if self._state is not _State.RUNNING:
            raise RuntimeError(f"this {self._name} is shut down; create another one")
        return thread

    async def _open(self, thread: LoopThread) -> int:
        """Start serving; returns the port."""
        raise NotImplementedError

    async def _close(self) -> None:
        """Stop serving."""
        raise NotImplementedError

    def check_may_wait(self) -> None:
        """Raise RuntimeError on a thread that `join()` would wait for."""
        raise NotImplementedError

    def _join_strands(self) -> None:
        """Wait for users' code."""
        raise NotImplementedError


def _shut_down_at_exit() -> None:
    """What nobody closed does not keep the process alive, and its peers are told."""
    for service in list(_running):
        if service.mine:
            service.exit()


atexit.register(_shut_down_at_exit)
