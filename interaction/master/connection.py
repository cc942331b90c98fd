"""A master's object for one slave."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Any, Protocol

from interaction.address import Endpoint
from interaction.config import MasterOptions
from interaction.core.journal import SessionRecord
from interaction.core.model import ConnectAnswer, Data
from interaction.core.session import Session, SessionState
from interaction.exception import LossReason, RequestException, SlaveSlaveNotConnected
from interaction.master.archive import Archive
from interaction.master.hooks import MasterHooks
from interaction.master.link import Link
from interaction.master.notes import Notes
from interaction.master.roster import Names, Roster
from interaction.master.task import Diary, Task
from interaction.rpc import convert, payload
from interaction.rpc.loop import LoopThread
from interaction.rpc.payload import Encoded
from interaction.rpc.retry import Policy
from interaction.rpc.slave_client import SlaveClient
from interaction.rpc.strand import Strand

_log = logging.getLogger("interaction.master")
_CLOSE_PATIENCE = 0.5  # seconds that `close()` waits for a slave's answer


class Home(Diary, Protocol):
    """What a connection needs of its master."""

    @property
    def notes(self) -> Notes:
        """What the master writes down, once it runs."""

    @property
    def archive(self) -> Archive:
        """The master's tasks."""

    @property
    def options(self) -> MasterOptions:
        """The master's options."""

    @property
    def hooks(self) -> MasterHooks:
        """The user's hooks."""

    @property
    def names(self) -> Names[SlaveConnectionProxy]:
        """The names in use."""

    def running(self) -> tuple[LoopThread, Roster[SlaveConnectionProxy]]:
        """The loop and the roster of a master that runs. Raises RuntimeError where it does not."""

    def address_for(self, endpoint: Endpoint) -> str:
        """The address by which the slave at `endpoint` reaches the master."""


class SlaveConnectionProxy:
    """The connection to one slave, made by `master.new_connection(name, host, port)`.

    Nothing is sent until `connect()`. Use it with `with`, or call `connect()` and `disconnect()`. All members may be
    used from any thread.
    """

    def __init__(self, name: str, endpoint: Endpoint, home: Home) -> None:
        self._name = name
        self._endpoint = endpoint
        self._home = home
        self._strand = Strand(f"interaction-callbacks-{name}")
        self._link: Link | None = None
        self._policy = Policy(
            home.options.request_retries, home.options.request_retry_waiting, home.options.request_timeout
        )

    def __repr__(self) -> str:
        return (
            f"<SlaveConnectionProxy {self._name!r} to {self._endpoint}{'' if self.is_connected else ', not connected'}>"
        )

    @property
    def name(self) -> str:
        """The connection's name, unique among the living connections of its master."""
        return self._name

    @property
    def is_connected(self) -> bool:
        """Whether the slave has accepted the connection, and neither side has ended or lost it."""
        link = self._link
        return link is not None and link.session.state in (SessionState.LIVE, SessionState.SUSPECT)

    @property
    def strand(self) -> Strand:
        """The thread of the callbacks of this connection's tasks."""
        return self._strand

    @property
    def max_message_bytes(self) -> int:
        """The longest message that both sides take, in bytes."""
        link = self._link
        if link is None or not self.is_connected:
            return self._home.options.max_message_bytes
        return link.max_message_bytes

    def connect(self) -> Any:
        """Open a session with the slave, and return when the slave has accepted.

        Returns:
            What `_after_connect` (or an overridden `_error_connect`) returned.

        Raises:
            KeyError: the name is in use by a connection, or this one is connected already.
            SlaveResponseException: the slave refused, by the class of its code.
            RequestException: the slave did not answer.
            TypeError, PayloadError: what `_before_connect` returned is no mapping, or can't be carried.
            JournalError: the session can't be written down.
            RuntimeError: the master does not run.

        After an exception the connection is not in the master. It may be tried again.
        """
        thread, roster = self._home.running()
        self._home.names.take(self._name, self)
        try:
            data = self._encode(self._home.hooks._before_connect())
            address = self._home.address_for(self._endpoint)
            answer = thread.run(self._open(roster, address, data))
        except RequestException as error:
            self._home.names.free(self._name, self)
            return self._home.hooks._error_connect(error)
        except BaseException:
            self._home.names.free(self._name, self)
            raise
        return self._home.hooks._after_connect(200, True, 0, "The slave has accepted the connection.", answer.data)

    async def _open(self, roster: Roster[SlaveConnectionProxy], address: str, data: Encoded) -> ConnectAnswer:
        endpoint, token = self._endpoint, secrets.token_urlsafe(32)
        record = SessionRecord(self._name, endpoint.host, endpoint.port, endpoint.tls, token, "", convert.pack(data))
        return await self._link_to(roster, record).connect(address, self._policy)

    def _link_to(self, roster: Roster[SlaveConnectionProxy], record: SessionRecord) -> Link:
        options = self._home.options
        client = SlaveClient(self._endpoint, options.client_tls, options.channel, options.max_message_bytes)
        session = Session(options.heartbeat_tolerance)
        link = Link(record, session, client, roster, self._home.notes, self._lost)
        roster.add(link, self)
        self._link = link
        return link

    def recover(self, roster: Roster[SlaveConnectionProxy], record: SessionRecord) -> Link:
        """The session that an earlier life of the master had, to be resumed. Called on the loop, before it serves."""
        self._home.names.take(self._name, self)
        link = self._link_to(roster, record)
        if record.successor:  # it may be the slave's already
            roster.also(link, record.successor)
        return link

    def _lost(self, reason: LossReason) -> None:
        hooks = self._home.hooks
        if type(hooks)._lost_slave is not MasterHooks._lost_slave:  # one that is not overridden needs no thread
            self._strand.submit(partial(hooks._lost_slave, self._name, reason))

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
        link = self._living_link()
        thread, _ = self._home.running()
        data = self._encode(self._home.hooks._before_disconnect())
        try:
            answer = thread.run(link.disconnect(data, self._policy))
        except RequestException as error:
            return self._home.hooks._error_disconnect(error)
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
        link = self._living_link()
        thread, _ = self._home.running()
        data = self._encode(self._home.hooks._before_disconnect())
        suspect = link.session.state is SessionState.SUSPECT
        answer = thread.run(link.release(data, self._policy, 0.0 if suspect else _CLOSE_PATIENCE))
        if answer is None:
            _log.warning("%s: closed, without an answer of the slave", self._name)
        else:
            self._home.hooks._after_disconnect(200, True, 0, "The slave has agreed to the end.", answer)

    def __enter__(self) -> SlaveConnectionProxy:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def new_task(self, data: Mapping[str, Any] | None = None) -> Task:
        """A task for the slave, not started yet. `data` is a mapping; None is an empty one."""
        return Task(data, self._home.hooks, self, self._strand, self._home)

    def hand_over(self, task: Task, data: Encoded) -> Data:
        """Send a task, and wait until the slave has answered. Called by `Task.start()`."""
        link = self._living_link()
        thread, _ = self._home.running()
        self._home.archive.add(task)
        return thread.run(link.new_task(task, data, self._policy))

    def _living_link(self) -> Link:
        link = self._link
        if link is None or not self.is_connected:
            raise SlaveSlaveNotConnected(f"connection {self._name!r} is not connected; call connect(), or use `with`")
        return link

    def _encode(self, data: Mapping[str, Any] | None) -> Encoded:
        return payload.encode_mapping(data, "data", self.max_message_bytes)
