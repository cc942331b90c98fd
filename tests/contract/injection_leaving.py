"""An exception at every call while one side leaves: a slave drains, and a master comes back on its journal."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any

from interaction import Master, TaskStatus
from interaction.exception import JournalError, TaskLost
from tests.contract.injection import WAIT, Call, Hang, Harsh, Injected, Watch, Worker, until

TASKS = 3  # one runs, the others wait
OPTIONS: Mapping[str, Any] = {"request_retries": 0, "request_timeout": 1.0}


class Patient(Worker):
    """Its tasks wait until they are let go."""

    def __init__(self) -> None:
        options = {"pacemaker": False, "request_timeout": 1.0, "request_retry_waiting": 0.05}
        super().__init__("127.0.0.1", 0, backlog=TASKS - 1, **options)
        self.running, self.let_go = threading.Event(), threading.Event()

    def _process_task(self, task: Mapping[str, Any]) -> Any:
        self.running.set()
        assert self.let_go.wait(2 * WAIT)
        return super()._process_task(task)


class Stage:
    """What the two have in common. `close` ends all that was started."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._threads = ThreadPoolExecutor()  # each call on its own: one may hang
        self._number = 0
        self.slave = self._new_slave()

    def _new_slave(self) -> Patient:
        slave = Patient()
        slave.start()
        slave.watch = self._watch
        return slave

    def _do(self, step: Callable[[], Any], what: str) -> Any:
        def watched() -> Any:
            self._watch.arm()
            return step()

        try:
            return self._threads.submit(watched).result(2 * WAIT)
        except FutureTimeout:
            raise Hang(f"{what} does not return") from None

    def _try(self, step: Callable[[], Any], what: str) -> BaseException | None:
        try:
            self._do(step, what)
        except Hang:
            raise
        except BaseException as error:  # noqa: BLE001 - what is raised to who calls is his
            return error
        return None

    def _data(self) -> dict[str, int]:
        self._number += 1
        return {"number": self._number}

    def _judge(self, tasks: list[Any], called: Counter[str]) -> None:
        """Each has one end, which is told once."""
        until(lambda: all(task.status.ended for task in tasks), f"a task does not end: {tasks}")
        until(lambda: called.total() >= len(tasks), f"callbacks are not called: {called}, {tasks}")
        assert all(called[task.id] == 1 for task in tasks), called
        for task in tasks:
            number = task.task["number"]
            assert self.slave.ran[number] <= 1, f"{task!r} ran twice"
            assert task.status is not TaskStatus.COMPLETED or task.result == {"number": number}


class DrainScene(Stage):
    """Each life has a slave of its own, which one master stays to lose."""

    def __init__(self, watch: Watch) -> None:
        self.master = Master("127.0.0.1", 0, **OPTIONS)
        self.master.start()
        super().__init__(watch)

    def close(self) -> None:
        self.slave.let_go.set()
        self._do(self.slave.close, "close()")
        self._do(self.master.close, "close()")

    def live(self, at: Call | None, kind: type[BaseException] = Injected) -> Counter[str]:
        """From `drain()`, over tasks of which one runs, until all has come to its end."""
        called: Counter[str] = Counter()
        connection = self.master.new_connection(f"slave-{self._number}", "127.0.0.1", self.slave.port)
        connection.connect()
        tasks = [connection.new_task(self._data()) for _ in range(TASKS)]
        for task in tasks:
            task.on_complete(tell(called, task.id)).on_fail(tell(called, task.id)).start()
        assert self.slave.running.wait(WAIT)
        with self._watch.life(at, kind) as calls:
            draining = self._threads.submit(self._try, self.slave.drain, "drain()")
            until(lambda: draining.done() or all(task.status.ended for task in tasks[1:]), "nothing is handed back")
            self.slave.let_go.set()
            if draining.result(3 * WAIT) is not None:
                until(lambda: self._try(self.slave.close, "close()") is None, "close() raises again and again")
            self._judge(tasks, called)
            until(lambda: not connection.is_connected, "the master does not lose it")
        if at is None:
            returned = [task.error for task in tasks[1:]]
            assert all(isinstance(error, TaskLost) and error.reason.name == "RETURNED" for error in returned)
            assert tasks[0].status is TaskStatus.COMPLETED
        assert not self.slave.ping()
        return calls

    def go_on(self) -> None:
        """The next slave has the next life."""
        self.slave = self._new_slave()
        loop = self.slave._interaction._loop
        assert loop is not None
        loop.call(self._watch.arm)


class ResumeScene(Stage):
    """One slave, and one master after another on one journal."""

    def __init__(self, watch: Watch, file: Path) -> None:
        super().__init__(watch)
        self._url = f"sqlite:///{file}"
        self.master = self._new_master()
        self.master.start()
        self._connect()

    def _new_master(self) -> Master:
        return Master("127.0.0.1", 0, journal=self._url, **OPTIONS)

    def _connect(self) -> None:
        if "slave" in self.master:
            return
        until(self._connects, "the slave takes no connection")

    def _connects(self) -> bool:
        connection = self.master.new_connection("slave", "127.0.0.1", self.slave.port)
        return self._try(connection.connect, "connect()") is None

    def close(self) -> None:
        self.slave.let_go.set()
        self._do(self.master.close, "close()")
        self._do(self.slave.close, "close()")

    def live(self, at: Call | None, kind: type[BaseException] = Injected) -> Counter[str]:
        """From the start of the next master until all that the former one has left is done."""
        self.slave.running.clear()
        self.slave.let_go.clear()
        for task in (left := [self.master["slave"].new_task(self._data()) for _ in range(TASKS)]):
            task.start()
        assert self.slave.running.wait(WAIT)
        self._abandon()
        called: Counter[str] = Counter()
        with self._watch.life(at, kind) as calls:
            until(self._starts, "no master starts")
            found = self._found({task.id for task in left})
            for task in found:
                task.on_complete(tell(called, task.id)).on_fail(tell(called, task.id))
            self.slave.let_go.set()
            until(self._has_resumed, "wait_until_resumed() raises again and again")
            self._judge(found, called)
        if at is None:
            assert all(task.status is TaskStatus.COMPLETED for task in found)
        return calls

    def _starts(self) -> bool:
        self.master = self._new_master()
        return self._try(self.master.start, "start()") is None

    def _found(self, ids: set[str]) -> list[Any]:
        """The tasks that the journal knew: all of them."""
        found: dict[str, Any] = {}

        def look() -> bool:
            for task_id in ids - set(found):
                try:
                    found[task_id] = self._do(lambda task_id=task_id: self.master.task(task_id), "task()")  # type: ignore[misc]
                except (Injected, JournalError):
                    return False
                except KeyError:
                    raise AssertionError("a task is forgotten whose end nobody has had") from None
                except Harsh:
                    return False
            return True

        until(look, "the tasks of the former life can't be found")
        return list(found.values())

    def _has_resumed(self) -> bool:
        error = self._try(lambda: self.master.wait_until_resumed(WAIT), "wait_until_resumed()")
        if isinstance(error, TimeoutError):
            raise Hang("it is never said that all is resumed")
        return error is None

    def _abandon(self) -> None:
        """As a process that dies leaves its sessions."""
        self.master._interaction._roster.abandoned = True
        self._do(self.master.close, "close()")

    def go_on(self) -> None:
        """Another task runs, by this master and that slave."""
        loop, journal = self.slave._interaction._loop, self.master._interaction.notes.journal
        assert loop is not None
        assert journal is not None
        loop.call(self._watch.arm)
        journal._read(lambda store: self._watch.arm())

        def runs() -> bool:
            self._connect()
            task = self.master["slave"].new_task(self._data())
            if self._try(task.start, "start()") is not None:
                return False
            until(lambda: task.status.ended, f"the next task does not end: {task!r}")
            return task.status is TaskStatus.COMPLETED

        until(runs, "no further task runs")
        until(lambda: not self._do(journal.load, "load()").tasks, "what has ended is kept as if it ran")


def tell(called: Counter[str], task_id: str) -> Callable[[Any, Any], object]:
    """A callback that counts its calls."""

    def call(data: object, result: object) -> None:
        called[task_id] += 1

    return call
