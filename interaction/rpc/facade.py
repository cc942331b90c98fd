"""What a master and a slave have in common for their users."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from interaction.rpc.service import Service

_Self = TypeVar("_Self", bound="Facade")
_Shown = TypeVar("_Shown")
_Owner = TypeVar("_Owner")


class shown(Generic[_Shown]):  # noqa: N801 - it is used as `property` is
    """A property that a subclass may have for itself: what it assigns to the name stands before what is shown here."""

    def __init__(self, show: Callable[[Any], _Shown]) -> None:
        self._show = show
        self.__doc__ = show.__doc__

    @overload
    def __get__(self, owner: None, kind: type) -> shown[_Shown]: ...
    @overload
    def __get__(self, owner: object, kind: type) -> _Shown: ...
    def __get__(self, owner: object | None, kind: type) -> shown[_Shown] | _Shown:
        return self if owner is None else self._show(owner)

    if TYPE_CHECKING:  # where this was, an attribute of the object would not stand before it

        def __set__(self, owner: object, value: Any) -> None: ...


def not_made(kind: type, takes: str = "host, port and the other options") -> RuntimeError:
    """That the constructor of that class has left out, or not come yet to, that of the facade, which takes that."""
    return RuntimeError(f"{kind.__name__}.__init__() has not called super().__init__(), which takes {takes}")


class NotMade:
    """Stands where the constructor puts what is behind the facade, until it does."""

    def __init__(self, takes: str) -> None:
        self._takes = takes

    def __get__(self, owner: object | None, kind: type[_Owner]) -> object:
        if owner is None:
            return self
        raise not_made(kind, self._takes)


class Located:
    """Where a master or a slave is.

    Users subclass what stands on this: so all that is not documented is in `_interaction`, and a subclass may call its
    own attributes what it likes, `host`, `port` and `channel` too.
    """

    if TYPE_CHECKING:
        _interaction: Service
    else:
        _interaction = NotMade("host, port and the other options")

    @shown
    def host(self) -> str:
        """The host that the server listens at."""
        return self._interaction.options.host

    @shown
    def port(self) -> int:
        """The port that the server listens at; where a free one was asked for, 0 until `start()`."""
        return self._interaction.port

    @shown
    def channel(self) -> int:
        """The channel that master and slaves share."""
        return self._interaction.options.channel


class Facade(Located):
    """The life of a master or a slave. All methods may be called from any thread."""

    def start(self) -> None:
        """Start the server, and return when it answers.

        Raises:
            OSError: the port can't be had.
            RuntimeError: it was started before, the process was forked from one that used gRPC, gevent or eventlet has
                patched threads, protobuf runs in pure Python, or `INTERACTION_INSECURE=refuse` forbids it.
        """
        self._interaction.start()

    def shutdown(self) -> None:
        """End all sessions and stop serving, without waiting for users' code that runs. Harmless when repeated."""
        self._interaction.shutdown()

    def join(self) -> None:
        """Wait until somebody has called `shutdown()` and all has ended: the server, then its checks, then users' code.

        Returns at once where it was never started, which the log tells.

        Raises:
            RuntimeError: called by code that it would wait for, such as a callback.
        """
        self._interaction.join()

    def close(self) -> None:
        """Shut down and join. Harmless when repeated. Raises RuntimeError as `join()` does, and then does nothing."""
        self._interaction.check_may_wait()
        self.shutdown()
        if self._interaction.started:
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
