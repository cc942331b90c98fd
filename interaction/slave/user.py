"""The user of a slave, as the loop asks him: his hooks run on a thread of their own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from interaction.core.model import Data
from interaction.exception import MasterSystemShuttingDown, ResponseException
from interaction.rpc.coroutines import refuse_left
from interaction.rpc.loop import Loop
from interaction.rpc.strand import Strand
from interaction.rpc.telling import log_exception
from interaction.slave.worker import ask

_log = logging.getLogger("interaction.slave")

Asking = Callable[[Data], Coroutine[Any, Any, Data]]  # asks about data; raises a ResponseException


HOOKS = ("_before_connection", "_before_disconnection", "_before_task", "_lost_connection", "_process_task")


class SlaveHooks(Protocol):
    """The user's side of a slave."""

    def _before_connection(self, data: Data) -> object: ...
    def _before_disconnection(self, data: Data) -> object: ...
    def _before_task(self, data: Data) -> object: ...
    def _lost_connection(self, master_address: str, error: Exception) -> object: ...
    def _process_task(self, task: Data) -> Any: ...


class User:
    """Whose slave it is. `default` is the class of the hooks that are not overridden."""

    def __init__(self, hooks: SlaveHooks, default: type[SlaveHooks]) -> None:
        self.strand = Strand("interaction-hooks")
        self._hooks = hooks
        self._default = default
        self._loop: Loop | None = None

    def start(self, loop: Loop) -> None:
        """Answer on this loop, the running one, from now on."""
        self._loop = loop

    def asking(self, hook: str, refusal: type[ResponseException], room: int) -> Asking | None:
        """How to ask by a hook. One that is not overridden has nothing to say, and needs no thread: None."""
        if getattr(type(self._hooks), hook) is getattr(self._default, hook):
            return None
        assert self._loop is not None, "started"
        return partial(ask, self.strand, self._loop, getattr(self._hooks, hook), refusal, room)

    async def ask(self, hook: str, data: Data, refusal: type[ResponseException], room: int) -> Data:
        """Ask by a hook. Raises `refusal`."""
        asking = self.asking(hook, refusal, room)
        return {} if asking is None else await asking(data)

    def lost(self, master_address: str, error: Exception, *, busy: bool) -> None:
        """Tell that the connection has ended without a disconnection; `busy`: while it had tasks here."""
        if isinstance(error, MasterSystemShuttingDown) and not busy:  # as programs end that just end
            _log.info("the master at %s has ended the connection: %s", master_address, error)
        else:
            _log.warning("lost the connection to the master at %s: %s", master_address, error)
        self.strand.submit(partial(self._tell_lost, master_address, error))

    def _tell_lost(self, master_address: str, error: Exception) -> None:
        try:
            refuse_left(self._hooks._lost_connection(master_address, error), "_lost_connection")
        except BaseException as raised:  # noqa: BLE001 - users' code raises what it likes, sys.exit() included
            log_exception(_log, logging.ERROR, raised, "_lost_connection raised")
