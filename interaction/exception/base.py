"""A request that was refused, one that got no answer, and a journal that can't be used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from interaction.exception.code import MasterErrorCode, SlaveErrorCode


class ResponseException(Exception):
    """The peer answered, and refused.

    Attributes:
        code: the error code, a :class:`SlaveErrorCode` or :class:`MasterErrorCode`.
        status_code: the number of the HTTP status that DI-engine gave to this code: 400, 401 or 403.
        success: always False.
        message: why, in a sentence.
        data: what the peer's user had to say; an empty mapping where that was nothing.
        retried: whether an earlier try of the same request got no answer: it may have been done before it was refused.
    """

    code: ClassVar[SlaveErrorCode | MasterErrorCode]
    status_code: ClassVar[int] = 400
    success: ClassVar[bool] = False

    def __init__(self, message: str = "", data: Mapping[str, Any] | None = None) -> None:
        self.message = message or type(self).__name__
        self.data: Mapping[str, Any] = {} if data is None else data
        self.retried = False
        super().__init__(self.message)

    def __reduce__(self) -> tuple[type[ResponseException], tuple[str, Mapping[str, Any]]]:
        return type(self), (self.message, self.data)


class RequestException(OSError):
    """A request that got no answer: nobody is there, the deadline passed, or the peer is no ``interaction`` peer.

    Attributes:
        code: the name of the gRPC status code, such as ``"UNAVAILABLE"`` or ``"DEADLINE_EXCEEDED"``.
        message: what happened, in a sentence that names the peer.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.message = message
        self.code = code

    def __reduce__(self) -> tuple[type[RequestException], tuple[str, str]]:
        return type(self), (self.message, self.code)


class JournalError(Exception):
    """The master's journal can't be opened, read or written; the message says which, and why.

    Raised by `Master.start()`, and by `connect()` and `Task.start()`: what could not be written down did not happen.
    """


class JournalGone(JournalError):
    """The journal's file was deleted, moved, replaced or truncated while in use: what is written to it is lost."""
