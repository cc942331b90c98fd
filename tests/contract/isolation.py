"""What tests of tasks in a child process share: a slave that has one, and what becomes of its tasks."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import ExitStack
from typing import Any

from interaction import Master, SlaveConnectionProxy, Task, TaskStatus
from interaction.exception import TaskFailed
from tests.contract.conftest import ROOT, MakeSlave
from tests.contract.isolated_slave import Isolated

WAIT = 30.0


def with_a_child(make_slave: MakeSlave) -> Isolated:
    return make_slave(Isolated)


def to_it(master: Master, isolated: Isolated) -> SlaveConnectionProxy:
    connection = master.new_connection("conn", "127.0.0.1", isolated.port)
    connection.connect()
    return connection


def do(connection: SlaveConnectionProxy, what: str, **more: Any) -> Task:
    task: Task = connection.new_task({"do": what, **more}).start().join(WAIT)
    return task


def error_of(task: Task) -> TaskFailed:
    assert task.status is TaskStatus.FAILED
    assert isinstance(task.error, TaskFailed)
    return task.error


class Process:
    """A slave in a process of its own."""

    def __init__(self, *arguments: str, ignore_sigchld: bool = False) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.isolated_slave", *arguments],
            preexec_fn=(lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)) if ignore_sigchld else None,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.port = int(self.line())

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def in_a_process(stack: ExitStack) -> Process:
    process = Process()
    stack.callback(process.close)
    return process
