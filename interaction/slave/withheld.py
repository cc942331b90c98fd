"""What is secret in the environment of this process, and processes that are started without it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from interaction.secret import FILE_VARIABLE, VARIABLE

WITHHELD = (VARIABLE, FILE_VARIABLE)  # no process that this package starts needs them
_gate = threading.Lock()


class _Here(threading.local):
    """Whether what multiprocessing starts on this thread is ours."""

    ours = False


_here = _Here()
_taken_over = False


def environment_of_child() -> dict[str, str]:
    """The environment for a process that this package starts: what is secret there is not for it."""
    return {name: value for name, value in os.environ.items() if name not in WITHHELD}


@contextmanager
def withheld() -> Iterator[None]:
    """What multiprocessing spawns on this thread meanwhile, its resource tracker too, is started without what is
    secret: what a program does while it is imported comes before anything that could be taken from it there.

    What is spawned on other threads is not ours, and is started as ever; so this process's environment stays as it is.
    """
    _take_over()
    before, _here.ours = _here.ours, True
    try:
        yield
    finally:
        _here.ours = before


def _take_over() -> None:
    """multiprocessing gives no environment to what it spawns; so its last step is given one, where that is ours.

    (`subprocess.Popen` instead would wait for a pipe that gevent, where it has patched `os.close`, does not close.)
    """
    global _taken_over
    if sys.platform == "win32":
        return
    with _gate:
        if _taken_over:
            return
        import _posixsubprocess

        ordinary: Callable[..., int] = _posixsubprocess.fork_exec

        def fork_exec(  # as much of its arguments as is meant here: the others differ from Python to Python
            args: Any, executables: Any, close: bool, passed: Any, folder: Any, environment: Any, /, *more: Any
        ) -> int:
            if _here.ours and environment is None:
                environment = [os.fsencode(f"{name}={value}") for name, value in environment_of_child().items()]
            return ordinary(args, executables, close, passed, folder, environment, *more)

        _posixsubprocess.fork_exec = fork_exec
        _taken_over = True
