"""A connection to one slave, for asyncio."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from interaction.address import Endpoint
from interaction.aio.loop import LoopRunner, said
from interaction.aio.task import Task
from interaction.core.journal import SessionRecord
from interaction.core.session import SessionState
from interaction.exception import JournalError, RequestException, ResponseException
from interaction.master.base_connection import BaseConnection, Home
from interaction.master.link import Link
from interaction.master.roster import Roster
from interaction.rpc import forks
from interaction.rpc.encoded import Encoded

_log = logging.getLogger("interaction.aio")
_CLOSE_PATIENCE = 0.5  # seconds that `close()` waits for a slave's answer


class SlaveConnectionProxy(BaseConnection):
    """The connection to one slave, made by `master.new_connection(name, host, port)`. As the plain one, on the loop.

    Nothing is sent until `connect()`. Use it with `async with`, or await `connect()` and `disconnect()`.
    """

    _awaits = True

    def __init__(self, name: str, endpoint: Endpoint, home: Home) -> None:
        self._loop_runner = LoopRunner()
        super().__init__(name, endpoint, home, self._loop_runner)

    def _link_to(self, roster: Roster[BaseConnection], record: SessionRecord) -> Link:
        self._loop_runner.attach()
        return super()._link_to(roster, record)

    async def connect(self) -> Any:
        """Open a session with the slave, and return when the slave has accepted. As the plain `connect()`."""
        self.check_here()
        self._home.running()
        self._home.names.check_free(self._name, self)
        hooks = self._home.hooks
        try:
            answer = await self._open(await said(hooks._before_connect()), [])
        except RequestException as error:
            return await said(hooks._error_connect(error.with_traceback(None)))
        except (ResponseException, JournalError) as error:
            failure = error.with_traceback(None)  # of the dozen frames behind this none is the caller's
        else:
            accepted = "The slave has accepted the connection."
            return await said(hooks._after_connect(200, True, 0, accepted, answer.data))
        raise failure

    async def disconnect(self) -> Any:
        """End the session, and return when the slave has agreed. Unfinished tasks are LOST. As the plain one."""
        self.check_here()
        hooks = self._home.hooks
        link = self._living()
        data = await self._farewell()
        try:
            answer = await link.disconnect(data)
        except RequestException as error:
            return await said(hooks._error_disconnect(error.with_traceback(None)))
        return await said(hooks._after_disconnect(200, True, 0, "The slave has agreed to the end.", answer))

    async def start(self) -> Any:
        """The same as `connect()`."""
        return await self.connect()

    async def close(self) -> None:
        """End the session as `disconnect()` does, but also where the slave does not answer, without waiting long.

        Harmless on a connection that is not connected. Raises what the slave refuses with; then the session goes on.
        """
        self.check_here()
        if not self.is_connected:
            return
        link = self._living()
        data = await self._farewell()
        suspect = link.session.state is SessionState.SUSPECT
        answer = await link.release(data, 0.0 if suspect else _CLOSE_PATIENCE)
        if answer is None:
            _log.warning("connection %r is closed without an answer of the slave", self._name)
        else:
            hooks = self._home.hooks
            await said(hooks._after_disconnect(200, True, 0, "The slave has agreed to the end.", answer))

    async def _farewell(self) -> Encoded:
        return self._encode(await said(self._home.hooks._before_disconnect()))

    async def __aenter__(self) -> SlaveConnectionProxy:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not forks.inherited():
            await self.close()

    def new_task(self, data: Mapping[str, Any] | None = None) -> Task:
        """A task for the slave, not started yet. `data` is a mapping; None is an empty one."""
        self.check_here()
        self._loop_runner.attach()
        return Task(data, self)
