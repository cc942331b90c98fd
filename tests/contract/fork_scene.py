"""A master and a slave at work, beside which their process forks, and what becomes of its children."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from interaction import Master, Slave, SlaveConnectionProxy

PATIENCE = 20.0  # seconds after which a child hangs


class Quick(Slave):
    """Forks a child where a task asks for it, which sleeps for so long."""

    go_on = threading.Event()

    def _process_task(self, task: Mapping[str, Any]) -> dict[str, int]:
        time.sleep(task.get("seconds", 0.0))
        if "wait" in task:
            self.go_on.wait(PATIENCE)
        if "die" in task:
            os._exit(task["die"])
        if "keep" not in task:
            return {}
        child = os.fork()
        if child == 0:
            time.sleep(task["keep"])
            os._exit(0)
        return {"child": child}


class Scene:
    """A master, a slave, and a connection between them."""

    def __init__(self, master: Master, slave: Slave, connection: SlaveConnectionProxy) -> None:
        self.master = master
        self.slave = slave
        self.connection = connection


@contextmanager
def at_work() -> Iterator[Scene]:
    """One task after another is done."""
    over = threading.Event()
    with (
        Quick("127.0.0.1", 0, slots=4) as slave,
        Master("127.0.0.1", 0) as master,
        master.new_connection("slave", "127.0.0.1", slave.port) as connection,
    ):

        def work() -> None:
            while not over.is_set():
                connection.new_task().start().join(PATIENCE)

        worker = threading.Thread(target=work)
        worker.start()
        try:
            yield Scene(master, slave, connection)
        finally:
            over.set()
            if worker.is_alive():  # it did not come to a forked child
                worker.join()


def end_of(child: int) -> str:
    """How the child ends: its exit code, or that it hangs."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return str(os.waitstatus_to_exitcode(status))
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hung"


def in_child(act: Callable[[], str]) -> str:
    """What it returns in a forked child, or raises; or how the child ends without a word."""
    ear, mouth = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = act()
        except Exception as error:  # noqa: BLE001 - it is what is asked for
            said = f"{type(error).__name__}: {error}"
        os.write(mouth, said.encode())
        os._exit(0)
    os.close(mouth)
    end = end_of(child)
    with open(ear) as said_there:
        return said_there.read() or end
