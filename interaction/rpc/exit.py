"""The end of the process: who keeps it alive, and who is shut down with it.

A slave is a server, and its process lives until it is closed, also when the program has come to its end. A master's
process ends with its program, and all that nobody has shut down is shut down then. No thread is started for any of
this: some versions of Python (3.12.0 and 3.12.1) start none from the program's end on.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # its end has to come after the one here, which uses its threads
import logging
import multiprocessing.util  # noqa: F401 - its exit handler waits for children: it has to run after the one here
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

_CALLBACK_PATIENCE = 5.0  # seconds that the end of the process waits for users' code
_log = logging.getLogger("interaction")


class Running(Protocol):
    """A master or a slave that runs."""

    @property
    def mine(self) -> bool:
        """Whether this process started it, rather than one that it was forked from."""

    @property
    def stays(self) -> bool:
        """Whether it keeps its process alive."""

    def stay(self) -> None:
        """Wait for its end, on the main thread; KeyboardInterrupt where the user does not want to."""

    def exit(self) -> None:
        """The process ends: shut it down, soon, whatever runs."""

    def settle(self, patience: float) -> None:
        """Wait then for users' code, at most so many seconds."""


running: set[Running] = set()  # whom nobody holds runs on until the process ends
joining: set[threading.Thread] = set()  # that wait for the end of one


def staying() -> list[Running]:
    """Who keeps this process alive."""
    return [service for service in list(running) if service.mine and service.stays]


def interactive() -> bool:
    """Whether a person types to this interpreter: to leave it ends what runs in it, and to interrupt does not."""
    return hasattr(sys, "ps1") or bool(sys.flags.interactive)


def _stay() -> None:
    """The program has ended. On its main thread, before the threads of its user's are waited for."""
    if interactive() or "pytest" in sys.modules:  # which has told by then of the test that left a slave behind
        return
    try:
        while services := staying():
            services[0].stay()
        if _only_joining():
            _shut_down_all()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _shut_down_all()
        os.kill(os.getpid(), signal.SIGINT)
    except SystemExit:  # of a signal handler of the user's, to whom the end of the program is what he asked for
        _log.info("asked to end")


def _only_joining() -> bool:
    """Whether all threads that Python waits for now wait for an end themselves: nobody is left who would bring it."""
    idle = getattr(concurrent.futures.thread, "_threads_queues", ())  # workers, whose end Python sees to
    alive = [thread for thread in threading.enumerate() if not thread.daemon and thread not in idle]
    waiting = {thread for thread in alive if thread is not threading.main_thread()}
    return bool(waiting) and waiting <= joining


def _shut_down_all() -> None:
    """What nobody closed does not keep the process alive from now on, and its peers are told."""
    shown = logging.raiseExceptions
    logging.raiseExceptions = False  # a stream that was closed before, as pytest does, is no news now
    try:
        services = list(running)
        for service in services:
            _shut_down(service.exit, service)
        until = time.monotonic() + _CALLBACK_PATIENCE
        for service in services:
            _shut_down(partial(service.settle, max(0.0, until - time.monotonic())), service)
    finally:
        logging.raiseExceptions = shown


def _shut_down(step: Callable[[], object], service: Running) -> None:
    try:
        if service.mine:
            step()
    except Exception:  # noqa: BLE001 - the others are shut down all the same
        _log.exception("what still ran could not be shut down")


atexit.register(_shut_down_all)
if hasattr(threading, "_register_atexit"):  # as concurrent.futures does; without it a slave keeps nothing alive
    threading._register_atexit(_stay)
