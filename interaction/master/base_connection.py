"""A connection to one slave, as far as it is the same for the plain facade and for `interaction.aio`."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

from interaction.address import Endpoint
from interaction.config import MasterOptions
from interaction.core.journal import SessionRecord
from interaction.core.model import ConnectAnswer
from interaction.core.session import Session
from interaction.exception import LossReason, PayloadTooLarge, RequestException, SlaveSlaveNotConnected
from interaction.master.archive import Archive
from interaction.master.base_task import BaseTask, Diary, Runner
from interaction.master.hooks import MasterHooks
from interaction.master.link import Link
from interaction.master.notes import Notes
from interaction.master.roster import Names, Roster
from interaction.rpc import convert, payload
from interaction.rpc.coroutines import refuse_left
from interaction.rpc.encoded import Encoded, check_size
from interaction.rpc.insist import or_else
from interaction.rpc.loop import Loop
from interaction.rpc.retry import Policy
from interaction.rpc.signing import Signer
from interaction.rpc.slave_client import SlaveClient
from interaction.rpc.telling import log_exception

_log = logging.getLogger("interaction.master")


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
    def names(self) -> Names[BaseConnection]:
        """The names in use."""

    def running(self) -> tuple[Loop, Roster[BaseConnection]]:
        """The loop and the roster of a master that runs. Raises RuntimeError where it does not."""

    def address_for(self, endpoint: Endpoint) -> str:
        """The address by which the slave at `endpoint` reaches the master."""

    def check_here(self) -> None:
        """Raise RuntimeError where the master lives on its user's loop, and another one runs here."""


class BaseConnection:
    """What a connection knows, and how its session begins. Callbacks of its tasks run at `runner`."""

    _awaits = False  # whether hooks may be coroutine functions

    def __init__(self, name: str, endpoint: Endpoint, home: Home, runner: Runner) -> None:
        self.runner = runner
        self._name = name
        self._endpoint = endpoint
        self._home = home
        self._link: Link | None = None
        self._policy = Policy(
            home.options.request_retries, home.options.request_retry_waiting, home.options.request_timeout
        )

    def __repr__(self) -> str:
        lost = self.lost_reason
        how = "" if self.is_connected else ", not connected" if lost is None else f", not connected: {lost}"
        return f"<SlaveConnectionProxy {self._name!r} to {self._endpoint}{how}>"

    @property
    def name(self) -> str:
        """The connection's name, unique among the living connections of its master."""
        return self._name

    @property
    def is_connected(self) -> bool:
        """Whether the slave has accepted the connection, and neither side has ended or lost it."""
        link = self._link
        return link is not None and link.session.lives

    @property
    def lost_reason(self) -> LossReason | None:
        """Why its last session is over, whichever side has ended it; None while it is connected, and before it was.

        `connect()` forgets it.
        """
        link = self._link
        return None if link is None else link.session.reason

    @property
    def max_message_bytes(self) -> int:
        """The longest message that both sides take, in bytes."""
        return self._home.options.max_message_bytes if not self.is_connected else self._living().max_message_bytes

    @property
    def slots(self) -> int:
        """How many tasks the slave runs at once. Raises SlaveSlaveNotConnected, as the next two do."""
        return self._living().slots

    @property
    def backlog(self) -> int:
        """How many tasks it takes beyond those."""
        return self._living().backlog

    @property
    def labels(self) -> Mapping[str, str]:
        """What is noted about the slave, such as `{"gpu": "a100"}`."""
        return self._living().labels

    @property
    def diary(self) -> Diary:
        """Where ends are written down."""
        return self._home

    @property
    def hooks(self) -> MasterHooks:
        """The user's hooks."""
        return self._home.hooks

    def check_here(self) -> None:
        """Raise RuntimeError where the master lives on its user's loop, and another one runs here."""
        self._home.check_here()

    # Its session.

    async def _open(self, data: Mapping[str, Any] | None, made: list[Link]) -> ConnectAnswer:
        """Open a session, on the loop. Its link is put into `made`. Raises KeyError where the name is in use."""
        _, roster = self._home.running()
        self._home.names.take(self._name, self)
        try:
            endpoint, token = self._endpoint, secrets.token_urlsafe(32)
            packed = convert.pack(self._encode(data))
            record = SessionRecord(self._name, endpoint.host, endpoint.port, endpoint.tls, token, "", packed)
            link = self._link_to(roster, record)
            made.append(link)
            return await link.connect(self._home.address_for(endpoint))
        except BaseException:
            self._home.names.free(self._name, self)
            raise

    def _link_to(self, roster: Roster[BaseConnection], record: SessionRecord) -> Link:
        options = self._home.options
        signer = Signer(options.channel, options.secret)
        client = SlaveClient(self._endpoint, options.client_tls, signer, options.max_message_bytes)
        session = Session(options.heartbeat_tolerance)
        link = Link(record, session, client, roster, self._home.notes, self._policy, self._lost)
        roster.add(link, self)
        self._link = link
        return link

    def recover(self, roster: Roster[BaseConnection], record: SessionRecord) -> Link:
        """The session that an earlier life of the master had, to be resumed. Called on the loop, before it serves."""
        self._home.names.take(self._name, self)
        link = self._link_to(roster, record)
        if record.successor:  # it may be the slave's already
            roster.also(link, record.successor)
        return link

    def _lost(self, reason: LossReason) -> None:
        hooks = self._home.hooks
        if type(hooks)._lost_slave is not MasterHooks._lost_slave:  # one that is not overridden needs no thread
            self.runner.submit(partial(self._tell_lost, hooks, reason))

    def _tell_lost(self, hooks: MasterHooks, reason: LossReason) -> object:
        try:
            said = hooks._lost_slave(self._name, reason)
            if self._awaits:
                return said  # the runner waits for a coroutine
            refuse_left(said, "_lost_slave")
        except BaseException as error:  # noqa: BLE001 - users' code raises what it likes, sys.exit() included
            log_exception(_log, logging.ERROR, error, "_lost_slave raised")
        return None

    def _living(self) -> Link:
        link = self._link
        if link is None or not self.is_connected:
            ended = None if link is None else link.how_it_ended()
            if ended is None:
                raise SlaveSlaveNotConnected(
                    f"connection {self._name!r} is not connected; call connect(), or use `with`"
                )
            raise SlaveSlaveNotConnected(f"connection {self._name!r} {ended}; connect() opens a new session")
        return link

    def _encode(self, data: Mapping[str, Any] | None) -> Encoded:
        return payload.encode_mapping(data, "data", self.max_message_bytes)

    # Its tasks.

    def new_task(self, data: Mapping[str, Any] | None = None) -> BaseTask:
        """A task for the slave, not started yet. `data` is a mapping; None is an empty one."""
        raise NotImplementedError

    def hand_over(self, task: BaseTask, data: Encoded) -> None:
        """Have a task sent. The task learns what comes of it."""
        link = self._living()
        loop, _ = self._home.running()
        if not loop.call(or_else, partial(link.delivery.broke, task), self._send, link, task, data):
            raise RequestException("the master was shut down meanwhile", "CANCELLED")

    def _send(self, link: Link, task: BaseTask, data: Encoded) -> None:
        self._home.archive.add(task)
        link.delivery.send(task, data)

    def send_now(self, task: BaseTask, data: Encoded) -> None:
        """Send a task, on the loop. The task learns what comes of it, also that there was nobody to send it to."""
        self._home.archive.add(task)
        try:
            link = self._living()
            check_size(data.size, "data", link.max_message_bytes)
        except (SlaveSlaveNotConnected, PayloadTooLarge) as error:
            task.fail_to_start(error)
        else:
            or_else(partial(link.delivery.broke, task), link.delivery.send, task, data)

    def withdraw(self, task: BaseTask, error: BaseException) -> None:
        """Who started a task was interrupted, perhaps before it was handed over: it is START_FAILED, soon."""
        link = self._link
        try:
            loop, _ = self._home.running()
        except RuntimeError:  # the master is shut down
            link = None
        if link is None or not loop.call(link.delivery.withdraw, task, error):
            task.fail_to_start(error)
