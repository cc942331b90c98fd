"""A master's object for one slave."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, Protocol, TypeVar

from interaction.address import Endpoint
from interaction.core.session import SessionState
from interaction.exception import LossReason, RequestException
from interaction.master.base_connection import BaseConnection, Home
from interaction.master.link import Link
from interaction.master.task import Task
from interaction.rpc import forks
from interaction.rpc.strand import Strand
from interaction.text import one_line

_log = logging.getLogger("interaction.master")
_T = TypeVar("_T")
_CLOSE_PATIENCE = 0.5  # seconds that `close()` waits for a slave's answer


class PlainHome(Home, Protocol):
    """A master with a loop of its own."""

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine on the loop, and wait for it. Raises RuntimeError where the master does not run."""


class SlaveConnectionProxy(BaseConnection):
    """The connection to one slave, made by `master.new_connection(name, host, port)`.

    Nothing is sent until `connect()`. Use it with `with`, or call `connect()` and `disconnect()`. All members may be
    used from any thread.
    """

    def __init__(self, name: str, endpoint: Endpoint, home: PlainHome) -> None:
        self._plain_home = home
        self._strand = Strand(f"interaction-callbacks-{one_line(name)}")
        super().__init__(name, endpoint, home, self._strand)

    @property
    def strand(self) -> Strand:
        """The thread of the callbacks of this connection's tasks."""
        return self._strand

    def connect(self) -> Any:
        """Open a session with the slave, and return when the slave has accepted.

        Returns:
            What `_after_connect` (or an overridden `_error_connect`) returned.

        Raises:
            KeyError: the name is in use by another connection.
            SlaveSlaveAlreadyConnected: this one is connected already, or the slave has another master.
            SlaveResponseException: the slave refused, by the class of its code.
            RequestException: the slave did not answer.
            TypeError, PayloadError: what `_before_connect` returned is no mapping, or can't be carried.
            JournalError: the session can't be written down.
            RuntimeError: the master does not run.

        After an exception the connection is not in the master. It may be tried again.
        """
        self._home.running()
        self._home.names.check_free(self._name, self)
        made: list[Link] = []
        try:
            answer = self._plain_home.run(self._open(self._home.hooks._before_connect(), made))
        except RequestException as error:
            return self._home.hooks._error_connect(error.with_traceback(None))
        except BaseException:  # Ctrl-C may come as the session begins
            for link in made:
                self._home.running()[0].call(link.end, LossReason.DISCONNECTED, "connect() was interrupted")
            raise
        return self._home.hooks._after_connect(200, True, 0, "The slave has accepted the connection.", answer.data)

    def disconnect(self) -> Any:
        """End the session, and return when the slave has agreed. Unfinished tasks are LOST.

        Returns:
            What `_after_disconnect` (or an overridden `_error_disconnect`) returned.

        Raises:
            SlaveSlaveNotConnected: it is not connected.
            SlaveResponseException: the slave refused, by the class of its code. The session goes on.
            RequestException: the slave did not answer. The session goes on until the slave is known to be lost;
                `close()` and `del master[name]` end it all the same.
        """
        link = self._living()
        data = self._encode(self._home.hooks._before_disconnect())
        try:
            answer = self._plain_home.run(link.disconnect(data))
        except RequestException as error:
            return self._home.hooks._error_disconnect(error.with_traceback(None))
        return self._home.hooks._after_disconnect(200, True, 0, "The slave has agreed to the end.", answer)

    def start(self) -> Any:
        """The same as `connect()`."""
        return self.connect()

    def close(self) -> None:
        """End the session as `disconnect()` does, but also where the slave does not answer, without waiting long.

        Harmless on a connection that is not connected. Raises what the slave refuses with; then the session goes on.
        """
        if not self.is_connected:
            return
        link = self._living()
        data = self._encode(self._home.hooks._before_disconnect())
        suspect = link.session.state is SessionState.SUSPECT
        answer = self._plain_home.run(link.release(data, 0.0 if suspect else _CLOSE_PATIENCE))
        if answer is None:
            _log.warning("connection %r is closed without an answer of the slave", self._name)
        else:
            self._home.hooks._after_disconnect(200, True, 0, "The slave has agreed to the end.", answer)

    def __enter__(self) -> SlaveConnectionProxy:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not forks.inherited():
            self.close()

    def new_task(self, data: Mapping[str, Any] | None = None) -> Task:
        """A task for the slave, not started yet. `data` is a mapping; None is an empty one."""
        return Task(data, self)


SlaveConnection = SlaveConnectionProxy  # what stood behind the proxy in DI-engine: the name, for those who import it
