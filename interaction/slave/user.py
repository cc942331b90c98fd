"""The user of a slave, as the loop asks him: his hooks run on a thread of their own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from interaction.core.model import Data
from interaction.exception import MasterSystemShuttingDown, ResponseException
from interaction.rpc.coroutines import refuse_left
from interaction.rpc.insist import insist
from interaction.rpc.loop import Loop
from interaction.rpc.strand import Strand
from interaction.rpc.telling import log_exception
from interaction.slave.worker import ask, settle

_log = logging.getLogger("interaction.slave")
_STRAND = "interaction-hooks"

Asking = Callable[[Data], Coroutine[Any, Any, Data]]  # asks about data; raises a ResponseException


HOOKS = ("_before_connection", "_before_disconnection", "_before_task", "_lost_connection", "_process_task")


class SlaveHooks(Protocol):
    """The user's side of a slave."""

    def _before_connection(self, data: Data) -> object: ...
    def _before_disconnection(self, data: Data) -> object: ...
    def _before_task(self, data: Data) -> object: ...
    def _lost_connection(self, master_address: str, error: Exception) -> object: ...
    def _process_task(self, task: Data) -> Any: ...


class _Call:
    """One call of a hook. What is set here is set on its thread."""

    def __init__(self, hook: str) -> None:
        self.hook = hook
        self.began: float | None = None  # on the monotonic clock
        self.over = False
        self.timer: asyncio.TimerHandle | None = None  # the loop's

    def __call__(self, hook: Callable[..., Any], *arguments: Any) -> Any:
        self.began = time.monotonic()
        try:
            return hook(*arguments)
        finally:
            self.over = True


class User:
    """Whose slave it is. `default` is the class of the hooks that are not overridden; `timeout`: of one hook, in s."""

    def __init__(self, hooks: SlaveHooks, default: type[SlaveHooks], timeout: float) -> None:
        self.strand = Strand(_STRAND)
        self._hooks = hooks
        self._default = default
        self._timeout = timeout
        self._loop: Loop | None = None

    def start(self, loop: Loop) -> None:
        """Answer on this loop, the running one, from now on."""
        self._loop = loop

    def asking(self, hook: str, refusal: type[ResponseException], room: int) -> Asking | None:
        """How to ask by a hook. One that is not overridden has nothing to say, and needs no thread: None."""
        if getattr(type(self._hooks), hook) is getattr(self._default, hook):
            return None
        return partial(self._ask, hook, refusal, room)

    async def ask(self, hook: str, data: Data, refusal: type[ResponseException], room: int) -> Data:
        """Ask by a hook. Raises `refusal`, also where it takes too long: what it says then is dropped."""
        asking = self.asking(hook, refusal, room)
        return {} if asking is None else await asking(data)

    async def _ask(self, hook: str, refusal: type[ResponseException], room: int, data: Data) -> Data:
        assert self._loop is not None, "started"
        call, answer = _Call(hook), self._loop.loop.create_future()
        called = partial(call, getattr(self._hooks, hook))
        late = refusal(f"{hook} took longer than {self._timeout:g} s, which Slave(hook_timeout=) allows")
        self._watch(call, self._timeout, partial(settle, answer, late))
        try:
            return await ask(self.strand, self._loop, called, refusal, room, data, answer)
        finally:
            if call.over and call.timer is not None:  # else nobody waits for it any more, but others do for their turn
                call.timer.cancel()

    def _watch(self, call: _Call, seconds: float, late: Callable[[], object]) -> None:
        call.timer = asyncio.get_running_loop().call_later(seconds, insist, self._look, call, late)

    def _look(self, call: _Call, late: Callable[[], object]) -> None:
        """Whether it takes too long: then the others go on without it. One that waits for its turn takes no time."""
        if call.over:
            return
        took = 0.0 if call.began is None else time.monotonic() - call.began
        if took < self._timeout:
            self._watch(call, self._timeout - took, late)
            return
        _log.warning("%s takes longer than %g s: it is waited for no more, and others go on", call.hook, self._timeout)
        call.over = True
        self.strand = self.strand.successor()
        late()

    def lost(self, master_address: str, error: Exception, *, busy: bool) -> None:
        """Tell that the connection has ended without a disconnection; `busy`: while it had tasks here."""
        if isinstance(error, MasterSystemShuttingDown) and not busy:  # as programs end that just end
            _log.info("the master at %s has ended the connection: %s", master_address, error)
        else:
            _log.warning("lost the connection to the master at %s: %s", master_address, error)
        call = _Call("_lost_connection")
        self._watch(call, self._timeout, lambda: None)
        self.strand.submit(partial(call, self._tell_lost, master_address, error))

    def _tell_lost(self, master_address: str, error: Exception) -> None:
        try:
            refuse_left(self._hooks._lost_connection(master_address, error), "_lost_connection")
        except BaseException as raised:  # noqa: BLE001 - users' code raises what it likes, sys.exit() included
            log_exception(_log, logging.ERROR, raised, "_lost_connection raised")
