"""What gRPC logs by itself: without what peers send, and without tracebacks for what peers may do at any time."""

from __future__ import annotations

import logging

_log = logging.getLogger("grpc._cython.cygrpc")


def _fit(record: logging.LogRecord) -> bool:
    """Whether the record is to be logged; it is made fit for that."""
    text = record.msg if isinstance(record.msg, str) else ""
    if text.startswith("Invalid encoding"):  # it holds the bytes, which may be a token's
        record.msg, record.args, record.exc_info = "metadata that is not UTF-8 was read as Latin-1", (), None
    elif text.startswith("ExecuteBatchError"):  # the peer went while it was answered, which gRPC has not heard yet
        record.levelno, record.levelname, record.exc_info = logging.DEBUG, logging.getLevelName(logging.DEBUG), None
        return _log.isEnabledFor(logging.DEBUG)
    return True


def tame() -> None:
    """See to it that all that gRPC logs in this process is fit for a log."""
    _log.addFilter(_fit)  # once, however often it is called
