"""Exceptions of users' code, told to people: their text and their attributes are users' code, too, and may raise.

Nothing here raises.
"""

from __future__ import annotations

import logging
import traceback

from interaction.text import quoted


class _Told(Exception):
    """As much of an exception as can be had."""

    def __str__(self) -> str:
        return "\n" + quoted(self.args[0])


def name_of(error: BaseException) -> str:
    """The name of its class."""
    try:
        return _whole(str.__str__(type(error).__name__))
    except BaseException:  # noqa: BLE001 - a metaclass may say anything
        return "BaseException"


def text_of(said: object) -> str:
    """What `str()` makes of it, with the halves of characters put together, or replaced: they can't be carried."""
    try:
        return _whole(str(said))
    except BaseException as broken:  # noqa: BLE001 - what it belongs to must be told all the same
        return f"(its text can't be had: str() of it raises {name_of(broken)})"


def _whole(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass").encode("utf-8", "replace").decode()


def traceback_of(error: BaseException) -> str:
    """Where it was raised, as Python writes it; as much of that as can be had."""
    return _traceback_of(error)[0]


def _traceback_of(error: BaseException) -> tuple[str, bool]:
    """The traceback, and whether it is all."""
    try:
        return "".join(traceback.format_exception(type(error), error, error.__traceback__)), True
    except BaseException as broken:  # noqa: BLE001 - such as a SyntaxError of a template engine, with odd arguments
        told = f"{name_of(error)}: {text_of(error)}\n(it can't be told in full: that raises {name_of(broken)})\n"
    try:
        return "".join(["Traceback (most recent call last):\n", *traceback.format_tb(error.__traceback__), told]), False
    except BaseException:  # noqa: BLE001 - the source may be anything that a loader invents
        return told, False


def log_exception(log: logging.Logger, level: int, error: BaseException, message: str, *arguments: object) -> None:
    """Log a message with the traceback of an exception. logging itself writes it out on its own, which may raise."""
    written, whole = _traceback_of(error)
    try:
        if whole:
            log.log(level, message, *arguments, exc_info=error)
        else:
            log.log(level, message, *arguments, exc_info=_Told(written))
    except BaseException:  # noqa: BLE001 - it can be written once, and not twice
        log.log(level, message + " (%s)", *arguments, name_of(error))
