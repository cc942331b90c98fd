"""What is secret in the environment of this process, and processes that are started without it."""

from __future__ import annotations

import multiprocessing.util
import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from interaction.secret import FILE_VARIABLE, VARIABLE

WITHHELD = (VARIABLE, FILE_VARIABLE)  # no process that this package starts needs them
_gate = threading.Lock()


class _Here(threading.local):
    """Whether what multiprocessing starts on this thread is ours."""

    ours = False


_here = _Here()
_ordinary = multiprocessing.util.spawnv_passfds
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
    """multiprocessing takes no environment for what it spawns; so its last step is done here, where it is for us."""
    global _taken_over
    with _gate:
        if not _taken_over:
            multiprocessing.util.spawnv_passfds = _spawn
            _taken_over = True


def _spawn(path: Any, args: Sequence[Any], passfds: Sequence[int]) -> int:
    if not _here.ours:
        return _ordinary(path, args, passfds)
    process = subprocess.Popen(  # noqa: S603 - what multiprocessing starts
        args, executable=path, pass_fds=passfds, env=environment_of_child(), restore_signals=False
    )
    process.returncode = 0  # multiprocessing waits for it; so nobody else does, nor misses it
    return process.pid
