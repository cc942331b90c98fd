"""The master, for asyncio."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TypeVar

from interaction.aio.connection import SlaveConnectionProxy
from interaction.aio.service import LoopService
from interaction.aio.task import Task
from interaction.master.base_master import BaseMaster, master_options
from interaction.master.hooks import HOOKS
from interaction.rpc import forks
from interaction.rpc.coroutines import check_hooks
from interaction.tls import TLS

_Self = TypeVar("_Self", bound="Master")


class Master(BaseMaster[SlaveConnectionProxy, Task]):
    """As `interaction.Master`, with the same arguments, on the loop on which it is started.

    Use it with `async with`, or await `start()` and `shutdown()`. Everything is to be called on that loop, and
    raises RuntimeError on another one.
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
        check_hooks(self, HOOKS, awaited=True)
        self._interaction: LoopService = LoopService(options, self)

    async def start(self) -> None:
        """Start the server, and return when it answers. Raises OSError and RuntimeError, as the plain `start()`."""
        await self._interaction.start_here()

    async def shutdown(self) -> None:
        """End all sessions and stop serving, without waiting for callbacks. Harmless when repeated."""
        await self._interaction.shutdown_here()

    async def join(self) -> None:
        """Wait until somebody has called `shutdown()` and all has ended: the server, then callbacks.

        Returns at once where it was never started, which the log tells.

        Raises:
            RuntimeError: called by a callback that it would wait for.
        """
        await self._interaction.join_here()

    async def close(self) -> None:
        """Shut down and join. Harmless when repeated. Raises RuntimeError as `join()` does, and then does nothing."""
        self._interaction.check_here()
        self._interaction.check_may_wait()
        await self.shutdown()
        if self._interaction.started:
            await self.join()

    async def __aenter__(self: _Self) -> _Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not forks.inherited():
            await self.close()

    async def ping(self) -> bool:
        """Whether the server answers. False before `start()` and after `shutdown()`."""
        return await self._interaction.ping_here()

    async def wait_until_resumed(self, timeout: float | None = None) -> list[SlaveConnectionProxy]:
        """Wait until each session that the journal knew is resumed, or over. Returns the living connections.

        Raises:
            TimeoutError: the timeout (seconds) passed first. It goes on.
            RuntimeError: the master does not run.
        """
        return await self._interaction.resumed_here(timeout)
