"""A master with a journal, to be killed: keeps every slave busy, and writes down what it has started and been told.

python -m tests.chaos.journaled OPTIONS

Options: `folder`; `life`, its name; `port`, 0 for a free one; `slaves`, their ports by name; `last`: whether it starts
nothing new, and waits for all ends. It tells `ready`, `working`, and in its last life `found`: the tasks whose
callbacks were cut off, and whose ends it found by their ids.
"""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

from interaction import Master, SlaveConnectionProxy, Task, TaskStatus
from tests.chaos.program import commands, log_errors, options, say

OPTIONS = options()
FOLDER = Path(OPTIONS["folder"])
PATIENCE = 60.0  # seconds


class Book:
    """Lines in a file, each written at once, so that a kill leaves whole ones."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, *words: object) -> None:
        """One line."""
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())


STARTED, TOLD = Book(FOLDER / "started"), Book(FOLDER / "told")


def is_right(task: Task) -> bool:
    """Whether the task has its own result."""
    return bool(task.result["number"] == task.task["number"])


def attend(task: Task) -> None:
    """Have its end written down."""

    def told(*_: object) -> None:
        right = task.status is not TaskStatus.COMPLETED or is_right(task)
        TOLD.write(task.task["number"], task.status.name, "right" if right else "wrong")

    task.on_complete(told)
    task.on_fail(told)


def work(connection: SlaveConnectionProxy) -> None:
    """Task after task, until somebody kills this."""
    count = 0
    while True:
        count += 1
        number = f"{OPTIONS['life']}-{connection.name}-{count}"
        seconds = random.choice((0.0, 0.001, 0.05))
        task = connection.new_task({"number": number, "seconds": seconds, "padding": b""})
        attend(task)
        task.start()
        STARTED.write(number, task.id)
        task.join()


def found_by_id(master: Master) -> list[str]:
    """What was started, and whose callback was cut off: its end is in the journal all the same."""
    told = {line.split()[0] for line in (FOLDER / "told").read_text().splitlines()}
    found = []
    for line in (FOLDER / "started").read_text().splitlines():
        number, task_id = line.split()
        if number in told:
            continue
        try:
            task = master.task(task_id)
        except KeyError:
            continue
        if task.status is TaskStatus.COMPLETED and is_right(task):
            found.append(number)
    return found


def main() -> None:
    log_errors()
    with Master("127.0.0.1", OPTIONS["port"], journal=f"sqlite:///{FOLDER / 'master.db'}") as master:
        say("ready", port=master.port)
        left = master.tasks()
        for task in left:
            attend(task)
        there = {connection.name: connection for connection in master.wait_until_resumed(PATIENCE)}
        if OPTIONS["last"]:
            for task in left:
                task.join(PATIENCE)
            say("found", numbers=found_by_id(master))
            return
        for name, port in OPTIONS["slaves"].items():
            if name not in there:
                there[name] = master.new_connection(name, "127.0.0.1", port)
                there[name].connect()
        for connection in there.values():
            threading.Thread(target=work, args=[connection], daemon=True).start()
        say("working")
        for _ in commands():
            pass


if __name__ == "__main__":
    main()
