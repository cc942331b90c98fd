"""The user of a slave, as the loop asks him: his hooks run on a thread of their own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from interaction.core.model import Data
from interaction.exception import MasterSystemShuttingDown, ResponseException
from interaction.rpc.coroutines import refuse_left
from interaction.rpc.insist import insist
from interaction.rpc.loop import Loop
from interaction.rpc.seldom import Seldom
from interaction.rpc.strand import Strand
from interaction.rpc.telling import log_exception
from interaction.slave.worker import ask, settle

_log = logging.getLogger("interaction.slave")
_STRAND = "interaction-hooks"
_MOST_LANES = 32  # with hooks that nobody waits for, and that go on all the same

Asking = Callable[[Data], Coroutine[Any, Any, Data]]  # asks about data; raises a ResponseException


_FIRST = "_before_connection"
_ASKED = (_FIRST, "_before_disconnection", "_before_task")
HOOKS = ("_before_connection", "_before_disconnection", "_before_task", "_lost_connection", "_process_task")


class SlaveHooks(Protocol):
    """The user's side of a slave."""

    def _before_connection(self, data: Data) -> object: ...
    def _before_disconnection(self, data: Data) -> object: ...
    def _before_task(self, data: Data) -> object: ...
    def _lost_connection(self, master_address: str, error: Exception) -> object: ...
    def _process_task(self, task: Data) -> Any: ...


class _Call:
    """One call of a hook. What is set in `__call__` is set on its thread."""

    def __init__(self, hook: str, lane: _Lane) -> None:
        self.hook = hook
        self.lane = lane
        self.began: float | None = None  # on the monotonic clock
        self.ended = False
        self.over = False  # it has ended, or nobody waits for it any more
        self.unwanted = False  # nobody is there who could hear the answer
        self.timer: asyncio.TimerHandle | None = None  # the loop's

    @property
    def runs(self) -> bool:
        """Whether it is on its thread now."""
        return self.began is not None and not self.ended

    def __call__(self, hook: Callable[..., Any], *arguments: Any) -> Any:
        if self.unwanted:
            return None
        self.began = time.monotonic()
        try:
            return hook(*arguments)
        finally:
            self.ended = self.over = True


class _Lane:
    """Hooks that are called one after the other. Used on the loop."""

    def __init__(self) -> None:
        self.strand = Strand(_STRAND)
        self._calls: deque[_Call] = deque()  # that others wait for, the oldest first: it runs, or is the next
        self._late: list[_Call] = []  # that run, or ran, for longer than they may

    def call(self, hook: str) -> _Call:
        """A new call, which is submitted to the strand next."""
        call = _Call(hook, self)
        self._calls.append(call)
        return call

    def late(self, call: _Call) -> None:
        """It takes too long: the others go on beside it."""
        self._late.append(call)
        self.strand = self.strand.successor()

    @property
    def busy(self) -> bool:
        """Whether a hook runs in it."""
        running = self._running()
        return running is not None or any(not call.ended for call in self._late)

    def holds_up(self, hook: str) -> bool:
        """Whether that hook would wait here for what concerns nobody any more.

        When the user is asked about a connection there is no session, and nobody else who wants one: what he is still
        being asked is about those who were there before.
        """
        call = self._running()
        return call is not None and (call.unwanted or (hook == _FIRST and call.hook in _ASKED))

    def _running(self) -> _Call | None:
        while self._calls and (self._calls[0].over or (self._calls[0].unwanted and self._calls[0].began is None)):
            self._calls.popleft()
        return self._calls[0] if self._calls and self._calls[0].began is not None else None


class User:
    """Whose slave it is. `default` is the class of the hooks that are not overridden; `timeout`: of one hook, in s."""

    def __init__(self, hooks: SlaveHooks, default: type[SlaveHooks], timeout: float) -> None:
        self._lane = _Lane()
        self._lanes = [self._lane]  # this one, and those in which a hook still runs
        self._hooks = hooks
        self._default = default
        self._timeout = timeout
        self._loop: Loop | None = None
        self._losses, self._limits = Seldom(_log), Seldom(_log)

    @property
    def strand(self) -> Strand:
        """Where hooks run that are called now."""
        return self._lane.strand

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
        call, answer = self._lane_for(hook).call(hook), self._loop.loop.create_future()
        called = partial(call, getattr(self._hooks, hook))
        late = refusal(f"{hook} took longer than {self._timeout:g} s, which Slave(hook_timeout=) allows")
        self._watch(call, self._timeout, partial(settle, answer, late))
        try:
            return await ask(call.lane.strand, self._loop, called, refusal, room, data, answer)
        except asyncio.CancelledError:
            call.unwanted = True
            raise
        finally:
            if (call.over or not call.runs) and call.timer is not None:  # else others may wait behind it
                call.timer.cancel()

    def _lane_for(self, hook: str) -> _Lane:
        """Where it is called: behind the others, or beside what nobody waits for, unless there is too much of that."""
        if self._lane.holds_up(hook):
            self._lanes = [lane for lane in self._lanes if lane.busy]
            if len(self._lanes) < _MOST_LANES:
                self._lane = _Lane()
                self._lanes.append(self._lane)
        return self._lane

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
        line = "%s takes longer than %g s: it is waited for no more, and others go on"
        self._limits.warn(line, call.hook, self._timeout)
        call.over = True
        call.lane.late(call)
        late()

    def lost(self, master_address: str, error: Exception, *, busy: bool) -> None:
        """Tell that the connection has ended without a disconnection; `busy`: while it had tasks here."""
        if isinstance(error, MasterSystemShuttingDown) and not busy:  # as programs end that just end
            _log.info("the master at %s has ended the connection: %s", master_address, error)
        else:
            self._losses.warn("lost the connection to the master at %s: %s", master_address, error)
        call = self._lane_for("_lost_connection").call("_lost_connection")
        self._watch(call, self._timeout, lambda: None)
        call.lane.strand.submit(partial(call, self._tell_lost, master_address, error))

    def _tell_lost(self, master_address: str, error: Exception) -> None:
        try:
            refuse_left(self._hooks._lost_connection(master_address, error), "_lost_connection")
        except BaseException as raised:  # noqa: BLE001 - users' code raises what it likes, sys.exit() included
            log_exception(_log, logging.ERROR, raised, "_lost_connection raised")
