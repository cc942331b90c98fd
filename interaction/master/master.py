"""The master."""

from __future__ import annotations

from collections.abc import Sequence
from typing import SupportsIndex

from interaction.master.base_master import BaseMaster, master_options
from interaction.master.connection import SlaveConnectionProxy
from interaction.master.hooks import HOOKS
from interaction.master.service import MasterService
from interaction.master.task import Task
from interaction.rpc.coroutines import check_hooks
from interaction.rpc.facade import Facade
from interaction.tls import TLS


class Master(BaseMaster[SlaveConnectionProxy, Task], Facade):
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
        secret: what the slaves know as well, at least 32 characters: no call is taken that is not signed by it. Of
            several the first one signs, and each is accepted. None means that of `INTERACTION_SECRET` or
            `INTERACTION_SECRET_FILE` in the environment, and `()` none.
        client_tls: the TLS by which slaves are dialled. None means `tls`; without that, slaves that were added with
            `https=True` are dialled by the system's authorities.
        reflection: whether to serve gRPC server reflection, which grpcurl needs.
        journal: where sessions and unfinished tasks are written down, such as `sqlite:///master.db`; it needs
            `pip install '.[journal]'` in a checkout. A master that starts on the journal of one that died resumes its
            sessions, and gets the results of its tasks. None: nowhere.

    Raises:
        TypeError, ValueError: an argument that can't be; the message names it. Or a hook that is a coroutine function.
        ImportError: a journal without SQLAlchemy.
    """

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
        secret: str | Sequence[str] | None = None,
        client_tls: TLS | None = None,
        reflection: bool = True,
        journal: str | None = None,
    ) -> None:
        options = master_options(
            host=host,
            port=port,
            heartbeat_tolerance=heartbeat_tolerance,
            heartbeat_check_span=heartbeat_check_span,
            request_retries=request_retries,
            request_retry_waiting=request_retry_waiting,
            channel=channel,
            my_address=my_address,
            request_timeout=request_timeout,
            max_message_bytes=max_message_bytes,
            tls=tls,
            secret=secret,
            client_tls=client_tls,
            reflection=reflection,
            journal=journal,
        )
        check_hooks(self, HOOKS, awaited=False, instead=", or use interaction.aio.Master")
        self._interaction = MasterService(options, self, SlaveConnectionProxy)

    def wait_until_resumed(self, timeout: float | None = None) -> list[SlaveConnectionProxy]:
        """Wait until each session that the journal knew is resumed, or over. Returns the living connections.

        Raises:
            TimeoutError: the timeout (seconds) passed first. It goes on.
            RuntimeError: the master does not run.
        """
        return self._interaction.wait_until_resumed(timeout)

    def __delitem__(self, name: str | SupportsIndex) -> None:
        """Close the living connection of that name, as its `close()` does. Raises KeyError."""
        self[name].close()
