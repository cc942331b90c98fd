"""The master."""

from __future__ import annotations

from interaction.address import Endpoint, check_host
from interaction.config import (
    DEFAULT_CHANNEL,
    DEFAULT_HEARTBEAT_CHECK_SPAN,
    DEFAULT_HEARTBEAT_TOLERANCE,
    DEFAULT_MASTER_PORT,
    DEFAULT_MAX_MESSAGE_BYTES,
    DEFAULT_REQUEST_RETRIES,
    DEFAULT_REQUEST_RETRY_WAITING,
    DEFAULT_REQUEST_TIMEOUT,
    DEFAULT_SLAVE_PORT,
    GLOBAL_HOST,
    TLS,
    MasterOptions,
    given,
)
from interaction.journal import check_url
from interaction.master.connection import SlaveConnectionProxy
from interaction.master.hooks import MasterHooks
from interaction.master.service import MasterService
from interaction.master.task import Task
from interaction.rpc.facade import Facade


class Master(Facade, MasterHooks):
    """Hands tasks to slaves, knows which of them are alive, and gets every result back.

    Args:
        host: where the server listens. None means `0.0.0.0`.
        port: its port; 0 binds a free one, readable as `port` after `start()`. None means 7235.
        heartbeat_tolerance: a slave that is not heard for that many seconds is lost. None means 15.0, minimum 0.2.
        heartbeat_check_span: seconds between two checks of that. None means 1.0, minimum 0.1.
        request_retries: how often a request is tried again after a transport failure. None means 5; 0 means 0.
        request_retry_waiting: seconds before each retry. None means 1.0.
        channel: an integer that master and slaves must share; a label, not a secret. None means 0.
        my_address: where slaves reach this master: `host:port`, or a URL. None means the bound host if it is a specific
            one, else this machine's address on the route to the slave.
        request_timeout: seconds until a request ends, with all its retries. None means 30.0.
        max_message_bytes: the longest message that is taken. None means 64 MiB.
        tls: the server's TLS. None means none.
        client_tls: the TLS by which slaves are dialled that were added with `https=True`. None means the authorities
            of `tls`, or without that the system's.
        reflection: whether to serve gRPC server reflection, which grpcurl needs.
        journal: where sessions and unfinished tasks are written down, such as `sqlite:///master.db`; it needs the extra
            `interaction[journal]`. A master that starts on the journal of one that died resumes its sessions, and gets
            the results of its tasks. None: nowhere.

    Raises:
        TypeError, ValueError: an argument that can't be; the message names it.
        ImportError: a journal without SQLAlchemy.
    """

    _interaction: MasterService

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        heartbeat_tolerance: float | None = None,
        heartbeat_check_span: float | None = None,
        request_retries: int | None = None,
        request_retry_waiting: float | None = None,
        channel: int | None = None,
        my_address: str | None = None,
        *,
        request_timeout: float | None = None,
        max_message_bytes: int | None = None,
        tls: TLS | None = None,
        client_tls: TLS | None = None,
        reflection: bool = True,
        journal: str | None = None,
    ) -> None:
        if journal is not None:
            check_url(journal)
        options = MasterOptions(
            host=given(host, GLOBAL_HOST),
            port=given(port, DEFAULT_MASTER_PORT),
            channel=given(channel, DEFAULT_CHANNEL),
            request_retries=given(request_retries, DEFAULT_REQUEST_RETRIES),
            request_retry_waiting=given(request_retry_waiting, DEFAULT_REQUEST_RETRY_WAITING),
            request_timeout=given(request_timeout, DEFAULT_REQUEST_TIMEOUT),
            max_message_bytes=given(max_message_bytes, DEFAULT_MAX_MESSAGE_BYTES),
            tls=tls,
            reflection=reflection,
            heartbeat_tolerance=given(heartbeat_tolerance, DEFAULT_HEARTBEAT_TOLERANCE),
            heartbeat_check_span=given(heartbeat_check_span, DEFAULT_HEARTBEAT_CHECK_SPAN),
            my_address=my_address,
            client_tls=client_tls if client_tls is not None else tls,
            journal=journal,
        )
        self._interaction = MasterService(options, self)

    @property
    def my_address(self) -> str:
        """Where slaves reach this master: `host:port`, behind `https://` where it serves TLS.

        Where the server listens everywhere and no address was given, this is the machine's address on its default
        route; each slave is told the address on the route to it.
        """
        return self._interaction.address_for(None)

    def new_connection(
        self, name: str, host: str, port: int | None = None, https: bool = False
    ) -> SlaveConnectionProxy:
        """Create a connection to a slave. Nothing is sent until its `connect()`.

        Args:
            name: unique among the living connections of this master.
            host: the slave's host name or address; `0.0.0.0` is this machine.
            port: its port. None means 7236.
            https: dial by TLS.

        Raises:
            KeyError: the name is in use by a living connection.
            TypeError, ValueError: host or port can't be.
        """
        if not isinstance(name, str):
            raise TypeError(f"name must be a string, not {name!r}")
        if not isinstance(host, str):
            raise TypeError(f"host must be a string, not {host!r}")
        number = given(port, DEFAULT_SLAVE_PORT)
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError(f"port must be an integer, not {number!r}")
        if not 1 <= number <= 65535:
            raise ValueError(f"port must be 1 to 65535, not {number}")
        self._interaction.names.check_free(name)
        return self._interaction.connection_to(name, Endpoint(check_host(host), number, https))

    def tasks(self) -> list[Task]:
        """The tasks that were started and have not ended.

        With a journal also those that have ended unnoticed: no callback of theirs was called and no `join()` returned,
        in this life of the master or an earlier one. Callbacks can be added to each as to a new task.

        Raises JournalError.
        """
        return self._interaction.tasks()

    def task(self, task_id: str) -> Task:
        """The task of that id, whether or not it has ended, as long as somebody holds it or the journal has it.

        Raises KeyError, and JournalError.
        """
        return self._interaction.task(task_id)

    def wait_until_resumed(self, timeout: float | None = None) -> list[SlaveConnectionProxy]:
        """Wait until each session that the journal knew is resumed, or over. Returns the living connections.

        Raises:
            TimeoutError: the timeout (seconds) passed first. It goes on.
            RuntimeError: the master does not run.
        """
        return self._interaction.wait_until_resumed(timeout)

    def __contains__(self, name: object) -> bool:
        """Whether a living connection has the name."""
        connection = self._interaction.names.holder(name) if isinstance(name, str) else None
        return connection is not None and connection.is_connected

    def __getitem__(self, name: str) -> SlaveConnectionProxy:
        """The living connection of that name. Raises KeyError."""
        connection = self._interaction.names.holder(name)
        if connection is None or not connection.is_connected:
            raise KeyError(f"this master has no living connection {name!r}")
        return connection

    def __delitem__(self, name: str) -> None:
        """Close the living connection of that name, as its `close()` does. Raises KeyError."""
        self[name].close()
