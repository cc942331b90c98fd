"""Which of users' functions do nothing when they are called: who calls them has to await, or to iterate.

A coroutine that nobody awaits does nothing: a hook that was to refuse refuses nothing, and only Python's garbage
collector says so. `interaction.aio` awaits, and the plain facade refuses them. Of a function with `yield` not a line is
run, and nobody says so; nobody iterates over it here.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable
from types import MethodType
from typing import Any

_COROUTINE = "a coroutine function (async def)"
_GENERATOR = "an asynchronous generator function (async def with yield)"
_PLAIN_GENERATOR = "a generator function (def with yield)"


def kind_of(function: Any) -> str | None:
    """What a function is, in words, where calling it gives something to await or to iterate over; else None."""
    function = _bare(function)
    if not isinstance(function, type) and not hasattr(function, "__code__"):
        function = _bare(inspect.getattr_static(type(function), "__call__", function))
    if inspect.isasyncgenfunction(function):
        return _GENERATOR
    flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
    made = isinstance(flags, int) and flags & inspect.CO_ITERABLE_COROUTINE  # by types.coroutine
    if made or inspect.iscoroutinefunction(function):
        return _COROUTINE
    return _PLAIN_GENERATOR if inspect.isgeneratorfunction(function) else None


def _bare(function: Any) -> Any:
    """The function behind what binds it, or some of its arguments."""
    while True:
        if isinstance(function, (functools.partial, functools.partialmethod)):
            function = function.func
        elif isinstance(function, (staticmethod, classmethod, MethodType)):
            function = function.__func__
        else:
            return function


def check_hooks(owner: object, hooks: Iterable[str], *, awaited: bool, instead: str = "") -> None:
    """Raise TypeError where a hook of that object's would be called in vain. `instead`: what its user can do."""
    for hook in hooks:
        kind = kind_of(inspect.getattr_static(owner, hook))
        if kind is not None and not (awaited and kind is _COROUTINE):
            advice = "write it without yield" if awaited or kind is _PLAIN_GENERATOR else f"write it as `def`{instead}"
            raise TypeError(f"{type(owner).__name__}.{hook} is {kind}, and nobody {_what(kind)} it here: {advice}")


def check_callback(callback: Any, *, awaited: bool) -> None:
    """Raise TypeError for a callback that can't be called, or would be in vain."""
    if not callable(callback):
        raise TypeError(f"a callback must be callable, not {callback!r:.80}")
    kind = kind_of(callback)
    if kind is not None and not (awaited and kind is _COROUTINE):
        name = getattr(callback, "__qualname__", type(callback).__name__)
        advice = "give a plain function, or use interaction.aio"
        if awaited or kind is _PLAIN_GENERATOR:
            advice = "give one without yield"
        raise TypeError(f"the callback {name} is {kind}, and nobody {_what(kind)} it here: {advice}")


def _what(kind: str) -> str:
    return "iterates over" if kind is _PLAIN_GENERATOR else "awaits"


def is_left(said: object) -> bool:
    """Whether what users' code has returned is left undone where nobody awaits it, or iterates over it."""
    return inspect.isawaitable(said) or inspect.isasyncgen(said) or inspect.isgenerator(said)


def refuse_left(said: object, who: str) -> None:
    """Raise TypeError where that is so: what could not be seen in the function itself, such as in a lambda."""
    if is_left(said):
        if inspect.iscoroutine(said):
            said.close()  # else Python complains of it, somewhere else
        nobody = f"nobody {_what(_PLAIN_GENERATOR)}" if inspect.isgenerator(said) else "nobody awaits"
        raise TypeError(f"{who} has returned {_article(type(said).__name__)}, and {nobody} it here")


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
