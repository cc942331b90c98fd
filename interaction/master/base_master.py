"""A master, as far as it is the same for the plain facade and for `interaction.aio`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, SupportsIndex

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
    MasterOptions,
    given,
)
from interaction.journal import read_url
from interaction.master.hooks import MasterHooks
from interaction.master.service import C, MasterService, T
from interaction.rpc.facade import Located, shown
from interaction.secret import secret_of
from interaction.tls import TLS


class BaseMaster(Located, MasterHooks, Generic[C, T]):
    """Its connections and its tasks."""

    _interaction: MasterService[C, T]

    @shown
    def my_address(self) -> str:
        """Where slaves reach this master: `host:port`, behind `https://` where it serves TLS.

        Where the server listens everywhere and no address was given, this is the machine's address on its default
        route; each slave is told the address on the route to it.
        """
        return self._interaction.address_for(None)

    def new_connection(
        self, name: str | SupportsIndex, host: str, port: SupportsIndex | None = None, https: bool = False
    ) -> C:
        """Create a connection to a slave. Nothing is sent until its `connect()`.

        Args:
            name: unique among the living connections of this master. An integer stands for its digits.
            host: the slave's host name or address; `0.0.0.0` is this machine.
            port: its port. None means 7236.
            https: dial by TLS. A master with TLS does, whatever this says, unless that is `TLS(plain_peers=True)`.

        Raises:
            KeyError: the name is in use by a living connection.
            TypeError, ValueError: host or port can't be.
        """
        return self._interaction.new_connection(name, host, given(port, DEFAULT_SLAVE_PORT), https)

    def tasks(self) -> list[T]:
        """The tasks that were started and have not ended.

        With a journal also those that have ended unnoticed, in this life of the master or an earlier one: no callback
        of theirs was called, no `join()` has returned, and nobody has read the result or the error. Callbacks can be
        added to each as to a new task.

        Raises JournalError.
        """
        return self._interaction.tasks()

    def task(self, task_id: str) -> T:
        """The task of that id, whether or not it has ended, as long as somebody holds it or the journal has it.

        Raises KeyError, and JournalError.
        """
        return self._interaction.task(task_id)

    def __iter__(self) -> Iterator[str]:
        """The names of the living connections at this moment."""
        return iter([connection.name for connection in self._interaction.living()])

    def __len__(self) -> int:
        """How many living connections there are at this moment."""
        return len(self._interaction.living())

    def __bool__(self) -> bool:
        """True: a master is one, also while it has no connections."""
        return True

    def __contains__(self, name: object) -> bool:
        """Whether a living connection has the name."""
        return self._interaction.named(name) is not None

    def __getitem__(self, name: str | SupportsIndex) -> C:
        """The living connection of that name. Raises KeyError."""
        connection = self._interaction.named(name)
        if connection is None:
            raise KeyError(f"this master has no living connection {name!r}")
        return connection


def master_options(
    *,
    host: str | None,
    port: int | None,
    heartbeat_tolerance: float | None,
    heartbeat_check_span: float | None,
    request_retries: int | None,
    request_retry_waiting: float | None,
    channel: int | None,
    my_address: str | None,
    request_timeout: float | None,
    max_message_bytes: int | None,
    tls: TLS | None,
    secret: str | Sequence[str] | None,
    client_tls: TLS | None,
    reflection: bool,
    journal: str | None,
) -> MasterOptions:
    """The arguments of a master, with the documented defaults. Raises what its constructor does."""
    return MasterOptions(
        host=given(host, GLOBAL_HOST),
        port=given(port, DEFAULT_MASTER_PORT),
        channel=given(channel, DEFAULT_CHANNEL),
        request_retries=given(request_retries, DEFAULT_REQUEST_RETRIES),
        request_retry_waiting=given(request_retry_waiting, DEFAULT_REQUEST_RETRY_WAITING),
        request_timeout=given(request_timeout, DEFAULT_REQUEST_TIMEOUT),
        max_message_bytes=given(max_message_bytes, DEFAULT_MAX_MESSAGE_BYTES),
        tls=tls,
        secret=secret_of(secret),
        reflection=reflection,
        heartbeat_tolerance=given(heartbeat_tolerance, DEFAULT_HEARTBEAT_TOLERANCE),
        heartbeat_check_span=given(heartbeat_check_span, DEFAULT_HEARTBEAT_CHECK_SPAN),
        my_address=my_address,
        client_tls=client_tls if client_tls is not None else tls,
        journal=None if journal is None else read_url(journal),
    )
