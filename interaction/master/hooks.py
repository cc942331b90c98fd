"""What a user of the master may override: something before, after, and instead of the failure of each request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interaction.exception import LossReason, RequestException


class MasterHooks:
    """The hooks of :class:`interaction.Master`, with the default behaviour of each.

    All but `_lost_slave` run on the thread that calls `connect()`, `disconnect()` or `Task.start()`. An exception in a
    `_before_*` hook cancels the request, and one in any of them reaches the caller. The `_error_*` hooks get transport
    failures only: what a slave refuses is raised as a `SlaveResponseException`. None may be a coroutine function, but
    where `interaction.aio` awaits it.
    """

    def _before_connect(self) -> Mapping[str, Any] | None:
        """Called before a connection is tried. Returns the connection data for the slave; None means none."""
        return None

    def _after_connect(
        self, status_code: int, success: bool, code: int, message: str | None, data: Mapping[str, Any] | None
    ) -> Any:
        """Called after a connection was made. What it returns, `connect()` returns.

        Args:
            status_code: the request's status, in HTTP's terms: 200.
            success: whether the connection was made.
            code: the error code; 0 is none, see `SlaveErrorCode`.
            message: what happened, in a sentence.
            data: what the slave's `_before_connection` returned; an empty mapping for nothing.
        """
        return None

    def _error_connect(self, error: RequestException) -> Any:
        """Called when the slave did not answer. What it returns, `connect()` returns. The default raises the error."""
        raise error

    def _lost_slave(self, name: str, reason: LossReason) -> Any:
        """Called once when a slave is lost, or has left: not where the master ended the connection itself.

        It runs on the thread of the connection's callbacks, after those of its unfinished tasks. The name is free
        again, and the connection may be connected again.

        Args:
            name: the connection's.
            reason: why, as in `task.error.reason`.
        """

    def _before_disconnect(self) -> Mapping[str, Any] | None:
        """Called before a connection is ended. Returns the disconnection data for the slave; None means none."""
        return None

    def _after_disconnect(
        self, status_code: int, success: bool, code: int, message: str | None, data: Mapping[str, Any] | None
    ) -> Any:
        """Called after a connection was ended. What it returns, `disconnect()` returns.

        The arguments are those of `_after_connect`.
        """
        return None

    def _error_disconnect(self, error: RequestException) -> Any:
        """Called when the slave did not answer; as `_error_connect`."""
        raise error

    def _before_new_task(self, data: Mapping[str, Any] | None = None) -> Mapping[str, Any] | None:
        """Called before a task is sent. Returns the task data for the slave; the default is what the owner gave."""
        return data

    def _after_new_task(
        self, status_code: int, success: bool, code: int, message: str | None, data: Mapping[str, Any] | None
    ) -> Any:
        """Called after the slave has accepted a task. What it returns, `Task.start()` returns, unless that is None.

        The arguments are those of `_after_connect`.
        """
        return None

    def _error_new_task(self, error: RequestException) -> Any:
        """Called when the slave did not answer. What it returns, `Task.start()` returns, unless that is None.

        The default raises the error.
        """
        raise error


HOOKS = tuple(name for name in vars(MasterHooks) if name.startswith("_") and not name.startswith("__"))
