"""A master with a journal, to be killed: keeps every slave busy, and writes down what it has started and been told.

python -m tests.chaos.master FOLDER LIFE PORT NAME=PORT...      prints its port and `ready`; with LIFE `last` it starts
nothing new, waits for all ends, and prints as JSON the tasks whose callbacks were cut off, and that it found by id
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
from pathlib import Path

from interaction import Master, SlaveConnectionProxy, Task, TaskStatus

TOLERANCE = 15.0
PATIENCE = 60.0  # seconds


class Book:
    """Lines in a file, each written at once, so that a kill leaves whole ones."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, *words: object) -> None:
        """One line."""
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())


class Life:
    """One life of the master."""

    def __init__(self, folder: Path, name: str, master: Master) -> None:
        self._name = name
        self._master = master
        self._started = Book(folder / "started")
        self._told = Book(folder / "told")
        self._folder = folder

    def attend(self, task: Task) -> None:
        """Have its end written down."""
        number = task.task["number"]

        def told(*_: object) -> None:
            right = task.status is TaskStatus.COMPLETED and task.result == {"number": number}
            self._told.write(number, task.status.name, "right" if right else "wrong")

        task.on_complete(told)
        task.on_fail(told)

    def work(self, connection: SlaveConnectionProxy) -> None:
        """Task after task, until somebody kills this."""
        count = 0
        while True:
            count += 1
            number = f"{self._name}-{connection.name}-{count}"
            task = connection.new_task({"number": number, "seconds": random.choice((0.0, 0.001, 0.05))})
            self.attend(task)
            task.start()
            self._started.write(number, task.id)
            task.join()

    def found_by_id(self) -> list[str]:
        """What was started, and whose callback was cut off: its end is in the journal all the same."""
        told = {line.split()[0] for line in (self._folder / "told").read_text().splitlines()}
        found = []
        for line in (self._folder / "started").read_text().splitlines():
            number, task_id = line.split()
            if number in told:
                continue
            try:
                task = self._master.task(task_id)
            except KeyError:
                continue
            if task.status is TaskStatus.COMPLETED and task.result == {"number": number}:
                found.append(number)
        return found


def main() -> None:
    folder, name, port, *slaves = sys.argv[1:]
    where = Path(folder)
    with Master("127.0.0.1", int(port), TOLERANCE, journal=f"sqlite:///{where / 'master.db'}") as master:
        print(master.port, flush=True)
        life = Life(where, name, master)
        left = master.tasks()
        for task in left:
            life.attend(task)
        there = {connection.name: connection for connection in master.wait_until_resumed(PATIENCE)}
        if name == "last":
            for task in left:
                task.join(PATIENCE)
            print(json.dumps(life.found_by_id()), flush=True)
            return
        for slave in slaves:
            slave_name, _, slave_port = slave.partition("=")
            if slave_name not in there:
                there[slave_name] = master.new_connection(slave_name, "127.0.0.1", int(slave_port))
                there[slave_name].connect()
        for connection in there.values():
            threading.Thread(target=life.work, args=[connection], daemon=True).start()
        print("ready", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
