"""A slave behind its facade: its server and its desk."""

from __future__ import annotations

import asyncio
import logging
import secrets
import sys
from functools import partial
from typing import Any

from interaction.address import join_host
from interaction.config import SlaveOptions, patience
from interaction.exception import RequestException
from interaction.rpc import exit as process_end
from interaction.rpc.exposure import BY_SECRET
from interaction.rpc.insist import see_through
from interaction.rpc.interrupt import Interrupts
from interaction.rpc.loop import Loop
from interaction.rpc.server import Server
from interaction.rpc.service import Service
from interaction.rpc.slave_server import slave_server
from interaction.slave.child import check_not_in_child
from interaction.slave.desk import Desk
from interaction.slave.farewell import say_farewell
from interaction.slave.process import ProcessWorkplace
from interaction.slave.spawn import without_secrets
from interaction.slave.user import SlaveHooks

Arguments = tuple[tuple[Any, ...], dict[str, Any]]  # those of a constructor

_log = logging.getLogger("interaction.slave")
_GRACE = 0.2  # seconds within which what is left behind may still come to its end


class SlaveService(Service):
    """One slave. `hooks` are its user's, and `default` is the class of those that are not overridden."""

    options: SlaveOptions
    stays = True

    def __init__(self, options: SlaveOptions, hooks: SlaveHooks, default: type[SlaveHooks], made_of: Arguments) -> None:
        super().__init__(options, type(hooks).__name__, _log)
        self.made_of = made_of
        self._kind = type(hooks)
        process = partial(ProcessWorkplace, self._kind, *without_secrets(*made_of, options.secret))
        self._desk = Desk(hooks, options, secrets.token_hex(16), default, process)
        self._server: Server | None = None
        self._left_behind = False  # what runs is not waited for: its thread can't be taken from it

    @property
    def name(self) -> str:
        """The name of its class."""
        return self._name

    @property
    def tasks(self) -> int:
        """How many tasks run. From any thread."""
        return len(self._desk.begun)

    def start(self) -> None:
        """As `Facade.start()`."""
        check_not_in_child(self._kind)
        super().start()

    def shutdown(self) -> None:
        """As `Facade.shutdown()`."""
        check_not_in_child(self._kind)
        super().shutdown()

    def join(self) -> None:
        """As `Facade.join()`. On the main thread Ctrl-C is answered meanwhile."""
        check_not_in_child(self._kind)
        with Interrupts(_leave_all, _end_all):
            super().join()

    def join_closed(self) -> None:
        """As `join()`, for who has asked for the end of this one alone: Ctrl-C is meant for no other, and is raised."""
        check_not_in_child(self._kind)
        try:
            super().join()
        except KeyboardInterrupt:
            self.end_at_once()
            raise

    def stay(self) -> None:
        """As `Service.stay()`."""
        if getattr(sys, "last_type", None) is KeyboardInterrupt and not self._leaving:  # that ended the program
            _leave_all()
        elif not self._leaving:
            _log.warning(
                "the program has ended; its process lives on for %s at %s, until Ctrl-C, SIGTERM or shutdown()",
                self._name,
                join_host(self.options.host, self.port),
            )
        self.join()

    def finish(self) -> None:
        """Drain, however long that takes, where it runs. Ctrl-C meanwhile ends it at once."""
        check_not_in_child(self._kind)
        self.check_may_wait()
        try:
            if self.runs:
                self.drain(None)
        except (RuntimeError, RequestException):
            if self.runs:
                raise
            _log.debug("%s was shut down before it had drained", self._name)
        except KeyboardInterrupt:
            self.end_at_once()
            raise

    def end_at_once(self) -> None:
        """Shut down, and leave behind what runs."""
        begun = self._desk.begun
        if self.runs and begun:
            _log.warning("%s ends at once, and leaves behind what it runs: %s", self._name, ", ".join(begun))
        self._left_behind = True
        self.shutdown()

    def leave_well(self, timeout: float | None = None) -> bool:
        """Have it drain, and then shut down. Returns at once; False where it does not run in this process.

        May be called from a signal handler.
        """
        return self.leave(partial(self._drain, timeout))

    def ping(self) -> bool:
        """As `Facade.ping()`."""
        check_not_in_child(self._kind)
        return super().ping()

    def drain(self, timeout: float | None) -> bool:
        """As `Slave.drain()`, without the end."""
        timeout = patience(timeout)
        check_not_in_child(self._kind)
        self.check_may_wait()
        return self.run(self._drain(timeout))

    async def _drain(self, timeout: float | None) -> bool:
        assert self._server is not None, "it runs"
        await self._server.drain()
        drained = await self._desk.drain(timeout)
        self._left_behind = self._left_behind or bool(self._desk.begun)
        return drained

    def _exposed(self) -> str | None:
        tls = self.options.tls
        if (tls is not None and tls.mutual) or self.options.secret is not None:
            return None
        what = "with neither a secret nor TLS: others can read everything, and"
        if tls is not None:
            what = "without a secret, and with TLS that is not mutual: others can,"
        return (
            f"{what} while it is free, connect to it and have it work. Two ways out: {BY_SECRET}, or "
            'Slave(tls=TLS(..., mutual=True)); on one machine Slave("127.0.0.1") is enough'
        )

    async def _open(self, loop: Loop) -> int:
        self._desk.start(loop)
        await asyncio.to_thread(self._desk.workplace.start)
        server = slave_server(self.options, self._desk)
        try:
            port = await server.start()
        except BaseException:
            self._desk.workplace.stop()
            raise
        self._server = server
        return port

    async def _close(self) -> None:
        await see_through(self._desk.shut_down)
        if self._server is not None:
            await see_through(self._server.stop)
            self._server = None  # whoever holds this object is not to hold gRPC's: a fork waits until it is gone

    def check_may_wait(self) -> None:
        """Raise RuntimeError on a thread that `join()` would wait for."""
        self._desk.hooks_strand.check_not_mine()
        self._desk.workplace.check_not_mine()

    def exit(self) -> None:
        """As `Service.exit()`: a task that runs is not waited for."""
        self._left_behind = True
        super().exit()

    def _join_strands(self, patience: float | None) -> list[str]:
        if self._left_behind:
            patience = _GRACE
        ended = {"a hook": self._desk.hooks_strand.join(patience), "a task": self._desk.workplace.join(patience)}
        return [what for what, over in ended.items() if not over]


def _all() -> list[SlaveService]:
    return [service for service in process_end.staying() if isinstance(service, SlaveService)]


def _leave_all() -> None:
    """The first Ctrl-C, which is meant for the process: all its slaves drain."""
    leaving = [service for service in _all() if service.leave_well()]
    say_farewell(leaving, "interrupted", None, "Ctrl-C again ends it at once")


def _end_all() -> None:
    """The second Ctrl-C."""
    for service in _all():
        service.end_at_once()
