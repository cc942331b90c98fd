"""What this package logs: each message is one line, and a warning is seen also where nobody has set up logging.

Python shows warnings in that case, too, but without a word of who warns. What an application sets up, before or after,
takes the place of that: nothing is shown twice, and a handler of its own at `interaction` (`logging.NullHandler()`
does) silences it.
"""

from __future__ import annotations

import logging
import sys

from interaction.text import one_line

ROOT = "interaction"
LOGGERS = (ROOT, *(f"{ROOT}.{part}" for part in ("master", "slave", "aio", "strand", "tls")))
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_MARK = "is_interactions_last_resort"


class _Shown:
    """Something that is shown on one line."""

    def __init__(self, it: object) -> None:
        self._it = it

    def __str__(self) -> str:
        return one_line(str(self._it))

    def __repr__(self) -> str:
        return one_line(repr(self._it))


def _fit(record: logging.LogRecord) -> bool:
    """Names and errors may hold the words of a peer, or of a user: none of them makes a line of its own."""
    if isinstance(record.args, tuple):
        record.args = tuple(map(_fit_argument, record.args))
    return True


def _fit_argument(it: object) -> object:
    if isinstance(it, str):
        return one_line(it)
    return it if it is None or isinstance(it, (int, float, _Shown)) else _Shown(it)


class _LastResort(logging.Handler):
    """Writes to standard error what no other handler gets."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write it, where it is for us to do so."""
        stream = sys.stderr
        if stream is None or getattr(stream, "closed", False) or logging.lastResort is None or _is_handled(record.name):
            return
        try:
            stream.write(self.format(record) + "\n")
            stream.flush()
        except Exception:  # noqa: BLE001 - as each handler of `logging` does
            self.handleError(record)


def _is_handled(name: str) -> bool:
    """Whether a logger's records go to a handler that is not of this module."""
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None:
        if not all(hasattr(handler, _MARK) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


def set_up() -> None:
    """See to both, once, however often this is called and this module is imported."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_fit)
    root = logging.getLogger(ROOT)
    for handler in [one for one in root.handlers if hasattr(one, _MARK)]:
        root.removeHandler(handler)
    handler = _LastResort(logging.WARNING)
    handler.setFormatter(logging.Formatter(_FORMAT))
    setattr(handler, _MARK, True)
    root.addHandler(handler)
