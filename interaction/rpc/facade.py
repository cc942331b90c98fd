"""What a master and a slave have in common for their users."""

from __future__ import annotations

from types import TracebackType
from typing import TypeVar

from interaction.rpc.service import Service

_Self = TypeVar("_Self", bound="Facade")


class Located:
    """Where a master or a slave is.

    Users subclass what stands on this: so all that is not documented is in `_interaction`, and a subclass may call its
    own attributes what it likes.
    """

    _interaction: Service

    @property
    def host(self) -> str:
        """The host that the server listens at."""
        return self._interaction.options.host

    @property
    def port(self) -> int:
        """The port that the server listens at; where a free one was asked for, 0 until `start()`."""
        return self._interaction.port

    @property
    def channel(self) -> int:
        """The channel that master and slaves share."""
        return self._interaction.options.channel


class Facade(Located):
    """The life of a master or a slave. All methods may be called from any thread."""

    def start(self) -> None:
        """Start the server, and return when it answers.

        Raises:
            OSError: the port can't be had.
            RuntimeError: it was started before, or protobuf runs in pure Python.
        """
        self._interaction.start()

    def shutdown(self) -> None:
        """End all sessions and stop serving, without waiting for users' code that runs. Harmless when repeated."""
        self._interaction.shutdown()

    def join(self) -> None:
        """Wait until somebody has called `shutdown()` and all has ended: the server, then its checks, then users' code.

        Returns at once where it was never started.

        Raises:
            RuntimeError: called by code that it would wait for, such as a callback.
        """
        self._interaction.join()

    def close(self) -> None:
        """Shut down and join. Harmless when repeated. Raises RuntimeError as `join()` does, and then does nothing."""
        self._interaction.check_may_wait()
        self.shutdown()
        self.join()

    def __enter__(self: _Self) -> _Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._interaction.mine:  # else a forked child leaves the block
            self.close()

    def ping(self) -> bool:
        """Whether the server answers. False before `start()` and after `shutdown()`."""
        return self._interaction.ping()
