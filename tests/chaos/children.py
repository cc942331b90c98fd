"""Processes that a program starts in every way that Python has, and how they ended."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import ForkContext

from tests.chaos.program import say

HANGS = 20.0  # seconds after which a child that has nothing to wait for hangs
KEPT = 60.0  # seconds that a child lives that is kept
_CONTEXT: ForkContext = multiprocessing.get_context("fork")


def work() -> None:
    """What a child does: nothing of gRPC's."""
    sum(len(bytearray(1000)) for _ in range(1000))


def by_fork(number: int) -> list[int | None]:
    """Exit codes; None for one that hangs."""
    codes: list[int | None] = []
    for _ in range(number):
        child = os.fork()
        if child == 0:
            work()
            os._exit(0)
        codes.append(_end_of(child))
    return codes


def _end_of(child: int) -> int | None:
    deadline = time.monotonic() + HANGS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def by_multiprocessing(number: int) -> list[int | None]:
    """As `by_fork`."""
    processes = [_CONTEXT.Process(target=work) for _ in range(number)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(HANGS)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
        process.join()
    return codes


def by_popen(number: int) -> list[int | None]:
    """As `by_fork`."""
    codes: list[int | None] = []
    for _ in range(number):
        process = subprocess.Popen(["true"])
        try:
            codes.append(process.wait(HANGS))
        except subprocess.TimeoutExpired:
            codes.append(None)
            process.kill()
            process.wait()
    return codes


def by_executor(number: int) -> list[int | None]:
    """As `by_fork`: 0 for each call that came back."""
    with ProcessPoolExecutor(2, mp_context=_CONTEXT) as pool:
        calls = [pool.submit(work) for _ in range(number)]
        codes: list[int | None] = []
        for call in calls:
            try:
                codes.append(0 if call.result(HANGS) is None else 1)
            except BrokenProcessPool:
                codes.append(1)
            except TimeoutError:
                codes.append(None)
                for process in multiprocessing.active_children():  # else nobody would ever come past this
                    process.kill()
    return codes


WAYS: dict[str, tuple[int, Callable[[int], list[int | None]]]] = {
    "Popen": (50, by_popen),
    "fork": (4, by_fork),
    "multiprocessing": (3, by_multiprocessing),
    "executor": (4, by_executor),
}


def start_some(turn: int) -> None:
    """Start some in the way whose turn it is, wait for them, and tell what came of them."""
    way = list(WAYS)[turn % len(WAYS)]
    number, start = WAYS[way]
    say("children", way=way, codes=start(number))


def keep_one() -> None:
    """Fork a child that lives on for a while."""
    if os.fork() == 0:
        time.sleep(KEPT)
        os._exit(0)


def start_until(over: threading.Event) -> None:
    """Start some, in all ways, one after the other."""
    turn = 0
    while not over.is_set():
        start_some(turn)
        turn += 1
