"""A master behind its facade: its server, its roster, its journal, and what its connections need of it."""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar, cast

from interaction.address import Endpoint, check_host, is_any, parse_address
from interaction.config import DEFAULT_MASTER_PORT, DEFAULT_SLAVE_PORT, MasterOptions, integer_of, patience, whole
from interaction.core.journal import SessionRecord, Snapshot, TaskRecord
from interaction.journal import Journal
from interaction.master.archive import Archive
from interaction.master.base_connection import BaseConnection
from interaction.master.base_task import BaseTask, Runner
from interaction.master.hooks import MasterHooks
from interaction.master.link import Link
from interaction.master.notes import Notes
from interaction.master.recovery import Comeback
from interaction.master.roster import Names, Roster
from interaction.rpc.exposure import BY_SECRET
from interaction.rpc.insist import see_through
from interaction.rpc.loop import Loop
from interaction.rpc.master_server import master_server
from interaction.rpc.server import Server
from interaction.rpc.service import Service
from interaction.rpc.signing import checker_of
from interaction.rpc.strand import Strand
from interaction.rpc.transport import address_seen_from
from interaction.waiters import Waiters

C = TypeVar("C", bound=BaseConnection)
T = TypeVar("T", bound=BaseTask)
_log = logging.getLogger("interaction.master")


class MasterService(Service, Generic[C, T]):
    """One master. `hooks` are its user's; `make` makes a connection of its facade's kind, `C`, whose tasks are `T`."""

    options: MasterOptions

    def __init__(
        self, options: MasterOptions, hooks: MasterHooks, make: Callable[[str, Endpoint, MasterService[C, T]], C]
    ) -> None:
        super().__init__(options, type(hooks).__name__, _log)
        self.hooks = hooks
        self._make = make
        self.names: Names[BaseConnection] = Names()
        self.archive = Archive(self._revive)
        self.notes = Notes(None, None)
        self._runners: weakref.WeakKeyDictionary[Runner, str] = (
            weakref.WeakKeyDictionary()
        )  # of connections of that name
        self._recovered: dict[str, BaseConnection] = {}  # by name: of the sessions that the journal knew
        self._roster: Roster[BaseConnection] = Roster(self.names, options.heartbeat_check_span)
        self._checker = checker_of(options.secret, "master")
        self._server: Server | None = None
        self._comeback: Comeback | None = None
        self._coming_back: asyncio.Future[None] | None = None
        self._all_resumed = False
        self._resumed = Waiters()
        self._closing_journal: Strand | None = None

    # What connections and tasks need.

    def running(self) -> tuple[Loop, Roster[BaseConnection]]:
        """The loop and the roster. Raises RuntimeError unless the master runs."""
        return self.check_running(), self._roster

    def address_for(self, endpoint: Endpoint | None) -> str:
        """The address by which the slave at `endpoint` reaches this master; None: a slave in general."""
        options = self.options
        tls = options.tls is not None
        if options.my_address is not None:
            told = parse_address(options.my_address, self.port or DEFAULT_MASTER_PORT)
            return str(Endpoint(told.host, told.port, told.tls or tls))
        host = options.host
        if is_any(host):
            host = address_seen_from(None if endpoint is None else endpoint.dialled_host)
        return str(Endpoint(host, self.port, tls))

    def check_here(self) -> None:
        """As `Home.check_here()`: here any thread may call."""

    @property
    def keeps(self) -> bool:
        """As `Diary.keeps`."""
        return self.notes.journal is not None

    def delivering(self, task_id: str, then: Callable[[], object]) -> None:
        """As `Diary.delivering()`."""
        self.notes.delivering(task_id, then)

    def had(self, task_id: str) -> None:
        """As `Diary.had()`."""
        self.notes.had(task_id)

    # What the facade needs.

    def connection_to(self, name: str, endpoint: Endpoint) -> C:
        """A connection, not connected yet."""
        connection = self._make(name, endpoint, self)
        self._runners[connection.runner] = name
        return connection

    def new_connection(self, name: object, host: object, port: object, https: bool) -> C:
        """As `Master.new_connection()`."""
        called = _name_of(name)
        if called is None:
            raise TypeError(f"name must be a string (or an integer), not {name!r:.80}")
        if not isinstance(host, str):
            raise TypeError(f"host must be a string, not {host!r:.80}")
        endpoint = self.options.slave_at(check_host(host), whole("port", port, 1, 65535), https)
        self.names.check_free(called)
        return self.connection_to(called, endpoint)

    def living(self) -> list[C]:
        """The living connections."""
        return [cast(C, connection) for connection in self.names.holders() if connection.is_connected]

    def named(self, name: object) -> C | None:
        """The living connection of that name."""
        called = _name_of(name)
        connection = None if called is None else self.names.holder(called)
        return None if connection is None or not connection.is_connected else cast(C, connection)

    def tasks(self) -> list[T]:
        """As `Master.tasks()`."""
        return cast("list[T]", self.archive.tasks(self.notes.journal))

    def task(self, task_id: str) -> T:
        """As `Master.task()`."""
        return cast(T, self.archive.task(task_id, self.notes.journal))

    def wait_until_resumed(self, timeout: float | None) -> list[C]:
        """As `Master.wait_until_resumed()`."""
        timeout = patience(timeout)
        self.check_running()
        if not self._resumed.wait_for(lambda: self._all_resumed, timeout):
            self._check_resumed(timeout)
        return self.living()

    async def resumed_here(self, timeout: float | None) -> list[C]:
        """As `wait_until_resumed()`, on the loop."""
        timeout = patience(timeout)
        self.check_running()
        assert self._coming_back is not None, "it runs"
        await asyncio.wait({self._coming_back}, timeout=timeout)
        if not self._all_resumed:
            self._check_resumed(timeout)
        return self.living()

    def _check_resumed(self, timeout: float | None) -> None:
        """Raise TimeoutError unless the last one has come since."""
        left = 0 if self._comeback is None else len(self._comeback)
        if left:
            raise TimeoutError(f"{left} session(s) of the journal were neither resumed nor over within {timeout} s")

    # The service's life.

    def _exposed(self) -> str | None:
        if self.options.tls is not None or self.options.secret is not None:
            return None
        return (
            "with neither a secret nor TLS: others on the way can read and change everything. Two ways out: "
            f'{BY_SECRET}, or Master(tls=TLS(...)); on one machine Master("127.0.0.1") is enough'
        )

    async def _open(self, loop: Loop) -> int:
        url, snapshot = self.options.journal, Snapshot()
        opening = None if url is None else asyncio.ensure_future(asyncio.to_thread(Journal.open, url))
        try:
            journal = None if opening is None else await asyncio.shield(opening)
            self.notes = Notes(journal, loop)
            server = self._server = master_server(self.options, self._checker, self._roster)
            if journal is not None:
                snapshot = await asyncio.to_thread(journal.load)
                journal.keep(snapshot.orphans())
            links = self._recover(snapshot)  # before it serves: who calls by a token of the journal is known
            port = await server.start()
            self.port = port
            self._roster.start()
            self._comeback = Comeback(links, self.options, self.notes, self._address_for_link, self._roster.also)
            self._coming_back = asyncio.ensure_future(see_through(partial(self._come_back, self._comeback)))
            self._roster.in_background(self._coming_back)
        except BaseException:
            await see_through(partial(self._not_opened, opening))
            raise
        return port

    async def _not_opened(self, opening: asyncio.Future[Journal] | None) -> None:
        """It could not be started: nothing is left open, and start() may be called again."""
        if self._coming_back is not None:
            self._coming_back.cancel()
        self._roster.abandoned = True  # the sessions of the journal are left to who starts on it
        await see_through(self._roster.stop)
        if self._server is not None:
            server, self._server = self._server, None
            await see_through(server.stop)
        if opening is not None:
            await asyncio.wait({opening})
            if opening.exception() is None:
                await see_through(partial(asyncio.to_thread, opening.result().close))
        self._forget_recovered()

    def _recover(self, snapshot: Snapshot) -> list[Link]:
        links = []
        for record in snapshot.sessions:
            connection = self.connection_to(record.name, self._endpoint_of(record))
            self._recovered[record.name] = connection
            link = connection.recover(self._roster, record)
            self._checker.refuse_before(record.token, time.time())
            link.custody.adopt(map(self.archive.of_record, snapshot.of(record)))
            links.append(link)
        return links

    def _endpoint_of(self, record: SessionRecord) -> Endpoint:
        return self.options.slave_at(record.host, record.port, record.tls)

    def _forget_recovered(self) -> None:
        for name, connection in self._recovered.items():
            self.names.free(name, connection)
        self._recovered.clear()
        self._roster = Roster(self.names, self.options.heartbeat_check_span)
        self.archive = Archive(self._revive)

    def _revive(self, record: TaskRecord, data: dict[str, object]) -> BaseTask:
        connection = self._recovered.get(record.connection)
        if connection is None:  # its session is over: what is left are the name and the callbacks' thread
            connection = self.connection_to(record.connection, Endpoint("localhost", DEFAULT_SLAVE_PORT))
            self._recovered[record.connection] = connection
        return connection.new_task(data)

    def _address_for_link(self, link: Link) -> str:
        return self.address_for(self._endpoint_of(link.record))

    async def _come_back(self, comeback: Comeback) -> None:
        try:
            await comeback.run()
        finally:
            self._all_resumed = True
            self._resumed.notify_all()

    def exit(self) -> None:
        """The process ends: what stands in the journal is left to the next life of this master."""
        self._roster.abandoned = self.notes.journal is not None
        super().exit()

    async def _close(self) -> None:
        await see_through(self._roster.stop)
        if self._server is not None:
            await see_through(self._server.stop)
            self._server = None  # whoever holds this object is not to hold gRPC's: a fork waits until it is gone
        await see_through(self._roster.settle, self.notes.flush)
        if self.notes.journal is not None:  # callbacks that run still have something to write
            self._closing_journal = Strand("interaction-journal-end")
            self._closing_journal.submit(partial(self._close_journal, self.notes.journal))

    def _close_journal(self, journal: Journal) -> None:
        for runner in list(self._runners):
            runner.join()
        journal.close()

    def check_may_wait(self) -> None:
        """Raise RuntimeError on a thread that `join()` would wait for."""
        for runner in list(self._runners):
            runner.check_not_mine()

    def _join_strands(self, patience: float | None) -> list[str]:
        until = None if patience is None else time.monotonic() + patience
        late = []
        for runner, name in list(self._runners.items()):
            if not runner.join(_left(until)):
                late.append(f"callbacks of connection {name!r}")
        if self._closing_journal is not None and not self._closing_journal.join(_left(until)):
            late.append("the end of the journal")
        return late


def _left(until: float | None) -> float | None:
    return None if until is None else max(0.0, until - time.monotonic())


def _name_of(name: object) -> str | None:
    """A connection's name; that of an integer are its digits. None for what is no name."""
    if isinstance(name, str):
        return name
    number = integer_of(name)
    return None if number is None else str(number)
