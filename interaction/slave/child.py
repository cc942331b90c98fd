"""The child process in which the tasks of one slave run, where that is asked for: `Slave(isolation="process")`."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from interaction.core.model import Data
from interaction.rpc import forks
from interaction.rpc.convert import pack, unpack_task
from interaction.slave.spawn import Parcel, Unguarded, end_unguarded
from interaction.slave.worker import (
    ANY_ID,
    NO_LOG,
    broken_report,
    constructor_report,
    run_task,
    unread_report,
    unwritten_report,
)

NAME = "interaction-task-process"
READY, FAILED = b"r", b"f"  # the child's first word; behind the second is the report of a task that has none of its own
SIGNALS = (signal.SIGINT, signal.SIGTERM)  # they are for the slave, which ends its child
_PR_SET_PDEATHSIG = 1
_constructed: type | None = None  # the class whose tasks run in this process


class _Tasks(Protocol):
    def _process_task(self, task: Data) -> Any: ...


def check_not_in_child(kind: type) -> None:
    """Raise RuntimeError where this process only runs the tasks of a slave of that class."""
    if multiprocessing.current_process().name != NAME or _constructed not in (None, kind):
        return
    said = (
        f"this process runs the tasks of {kind.__name__}(isolation='process'); the slave itself lives in its parent, "
        "and can be started, asked and shut down only there. A script starts it behind `if __name__ == '__main__':`"
    )
    if _constructed is not None:
        raise RuntimeError(said)
    end_unguarded()
    raise Unguarded(said)


def main(connection: Connection, parent: int, parcel: Parcel) -> None:
    """Construct the slave again, and run what comes until the end of the connection."""
    global _constructed
    _end_with(parent)
    forks.let_go_of(connection)  # programs that a task starts by fork may outlive it
    for number in SIGNALS:  # no SIG_IGN, which programs that a task starts would inherit
        signal.signal(number, _pass_by)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    try:
        kind, given, named = parcel.open()
    except BaseException as error:  # noqa: BLE001 - as below
        connection.send_bytes(FAILED + unread_report(error).message.SerializeToString())
        return
    _constructed = kind
    try:
        slave: _Tasks = kind(*given, **named)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the tasks fail with it
        connection.send_bytes(FAILED + constructor_report(error).message.SerializeToString())
        return
    connection.send_bytes(READY)
    while True:
        try:
            task = [connection.recv_bytes(), connection.recv_bytes()]
        except EOFError:
            return
        connection.send_bytes(_run(slave._process_task, task))


def _run(process: Callable[[Data], Any], task: list[bytes]) -> bytes:
    """Run a task, packed, of which nothing is left here. Returns its report, packed: whatever is raised, the slave
    learns of it."""
    try:
        offer, room = unpack_task(*task)
        task.clear()
        report = run_task(process, offer, room, NO_LOG)
    except BaseException as error:  # noqa: BLE001 - such as a MemoryError
        return broken_report(ANY_ID, error).message.SerializeToString()
    try:
        return pack(report.message)
    except BaseException as error:  # noqa: BLE001 - as above
        del report
        return unwritten_report(ANY_ID, error).message.SerializeToString()


def _pass_by(number: int, frame: object) -> None:
    """Do nothing."""


def _end_with(parent: int) -> None:
    """End with the slave's process: by the kernel's hand where it can, which no task that holds the GIL prevents.

    The signal comes when the thread ends that started this process: it lives as long as the slave runs.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=_watch, name="interaction-parent", daemon=True).start()


def _watch() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "a child"
    wait([parent.sentinel])
    os._exit(1)
