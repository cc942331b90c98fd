"""An exception at every call of one task's life: which calls those are is found by running one, and watching."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TypeVar

import interaction
from interaction import Master, Slave, TaskStatus, aio
from interaction.exception import RequestException, ResponseException

T = TypeVar("T")
PACKAGE = str(Path(interaction.__file__).parent)
WAIT = 8.0  # seconds; what has not ended by then hangs
# The last resort: what is called where something was raised, and what calls what must not be let go of.
GUARDS = ("rpc/insist.py", "rpc/telling.py")
# By which all comes to the loop, and threads hear of its end: without them there is none.
LOOP = {("rpc/loop.py", name) for name in ("_deliver", "begin", "_over")} | {("waiters.py", "notify_all")}
Call = tuple[str, int]  # a function, by its place, and which of its calls in one life


class Injected(Exception):
    """What is raised at a call."""


class Harsh(BaseException):
    """The same, and `except Exception` does not catch it."""


class Watch:
    """Sees each call into the package, of each thread that is watched, and raises at one of them."""

    def __init__(self) -> None:
        self._places: dict[CodeType, str | None] = {}
        self._calls: Counter[str] | None = None
        self._at: tuple[str, int, type[BaseException]] | None = None
        self._lock = threading.Lock()
        self.raised = False

    def __enter__(self) -> Watch:
        threading.setprofile(self.here)
        return self

    def __exit__(self, *error: object) -> None:
        self._calls = self._at = None
        threading.setprofile(None)  # which is how it is taken back

    def arm(self) -> None:
        """Watch this thread, which a raised exception has ended."""
        sys.setprofile(self.here)

    def _place(self, code: CodeType) -> str | None:
        place = None
        if code.co_filename.startswith(PACKAGE):
            file = code.co_filename[len(PACKAGE) + 1 :]
            mine = not file.startswith("v1/") and file not in GUARDS and (file, code.co_name) not in LOOP
            if mine and code.co_name not in ("__del__", "<genexpr>"):
                place = f"{file}:{code.co_firstlineno} {code.co_name}"
        self._places[code] = place
        return place

    def here(self, frame: FrameType, event: str, _: object) -> None:
        """Called by Python."""
        if event != "call" or self._calls is None:
            return
        code = frame.f_code
        place = self._places[code] if code in self._places else self._place(code)
        if place is None:
            return
        with self._lock:
            calls = self._calls
            if calls is None:
                return
            calls[place] += 1
            if self._at is None or self._at[:2] != (place, calls[place]):
                return
            kind, self._at = self._at[2], None
        self.raised = True
        raise kind(f"injected at {place}")

    @contextmanager
    def life(self, at: Call | None = None, kind: type[BaseException] = Injected) -> Iterator[Counter[str]]:
        """Count the calls, and raise at one of them."""
        self.raised = False
        calls: Counter[str] = Counter()
        self._at = None if at is None else (*at, kind)
        self._calls = calls
        try:
            yield calls
        finally:
            self._calls = self._at = None


class Worker(Slave):
    """Tells its number."""

    watch: Watch | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.ran: Counter[int] = Counter()

    def _before_task(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.watch is not None:
            self.watch.arm()
        return {"taken": data["number"]}

    def _process_task(self, task: Mapping[str, Any]) -> Any:
        if self.watch is not None:
            self.watch.arm()
        self.ran[task["number"]] += 1
        return {"number": task["number"]}


class PlainHome:
    """A master whose loop has a thread of its own."""

    def __init__(self, **options: Any) -> None:
        self.master: Any = Master("127.0.0.1", 0, **options)
        self.master.start()
        self._threads = ThreadPoolExecutor()  # each call on its own: one may hang

    def do(self, work: Callable[[], Any]) -> Any:
        try:
            return self._threads.submit(work).result(2 * WAIT)
        except FutureTimeout:
            raise Hang("a call does not return") from None

    def arm(self, watch: Watch) -> None:
        self.master._interaction._loop.call(watch.arm)
        self.do(watch.arm)

    def close(self) -> None:
        self.do(self.master.close)


class AioHome:
    """A master on a loop of its user's."""

    def __init__(self, **options: Any) -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._thread.start()
        assert self._ready.wait(WAIT)
        self.master: Any = self.do(lambda: self._start(options))

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda *_: None)
        self._over = asyncio.Event()
        self._ready.set()
        await self._over.wait()

    async def _start(self, options: Mapping[str, Any]) -> aio.Master:
        master = aio.Master("127.0.0.1", 0, **options)
        await master.start()
        return master

    def do(self, work: Callable[[], Any]) -> Any:
        async def here() -> Any:
            said = work()
            return await said if isinstance(said, Coroutine) else said

        try:
            return asyncio.run_coroutine_threadsafe(here(), self._loop).result(2 * WAIT)
        except FutureTimeout:
            raise Hang("a call does not return") from None

    def arm(self, watch: Watch) -> None:
        self._loop.call_soon_threadsafe(watch.arm)

    def close(self) -> None:
        self.do(self.master.close)
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(WAIT)


class Hang(AssertionError):
    """Something does not come to its end."""


def until(holds: Callable[[], bool], what: str, patience: float = WAIT) -> None:
    """Wait until it holds."""
    due = time.monotonic() + patience
    while not holds():
        if time.monotonic() > due:
            raise Hang(what)
        time.sleep(0.001)


class Scene:
    """A master, its slave, and tasks with numbers, one after another."""

    def __init__(self, watch: Watch, home: PlainHome | AioHome, slave: Worker) -> None:
        self._watch = watch
        self.home = home
        self.slave = slave
        self._number = 0
        self._names = 0
        self.connects = 0
        self.connection: Any = None
        self.connect()

    def connect(self) -> None:
        """Connect, where the connection was given up."""
        if self.connection is not None and self.connection.is_connected:
            return
        self.connects += 1

        def try_it() -> bool:
            self._names += 1
            name = f"slave-{self._names}"
            self.connection = self.home.do(lambda: self.home.master.new_connection(name, "127.0.0.1", self.slave.port))
            try:
                self.home.do(self.connection.connect)
            except (ResponseException, RequestException):
                return False
            return True

        until(try_it, "the slave takes no connection")

    def live(self, at: Call | None, kind: type[BaseException] = Injected) -> Counter[str]:
        """One task from `start()` until its result is acknowledged. Returns the calls that were seen."""
        self._number += 1
        called: list[str] = []
        task = self.home.do(lambda: self._task(called))
        with self._watch.life(at, kind) as calls:
            raised = self._start(task)
            if raised is None or task.status is not TaskStatus.IDLE:
                until(lambda: task.status.ended, "the task does not end")
                self._join(task)
                until(lambda: not self.slave._interaction._desk._outbox._entries, "the result is not acknowledged")
        if task.status is not TaskStatus.IDLE:
            self._judge(task, called)
        return calls

    def live_session(self, at: Call | None, kind: type[BaseException] = Injected) -> Counter[str]:
        """One session, from Connect to Disconnect. Returns the calls that were seen."""
        self.leave()
        self._names += 1
        name = f"slave-{self._names}"
        self.connection = self.home.do(lambda: self.home.master.new_connection(name, "127.0.0.1", self.slave.port))
        with self._watch.life(at, kind) as calls:
            for step in (self.connection.connect, self.connection.disconnect):
                try:
                    self.home.do(step)
                except Hang:
                    raise
                except BaseException:  # noqa: BLE001 - what is left then is looked at by who goes on
                    pass
        return calls

    def leave(self) -> None:
        """End the session, where there is one."""

        def left() -> bool:
            try:
                self.home.do(self.connection.close)
            except (ResponseException, RequestException):
                return False
            return not self.connection.is_connected

        until(left, "the connection can't be closed")

    def _task(self, called: list[str]) -> Any:
        task = self.connection.new_task({"number": self._number})
        task.on_complete(lambda *_: called.append("completed")).on_fail(lambda *_: called.append("failed"))
        return task.on_complete(lambda *_: self._watch.arm())

    def _start(self, task: Any) -> BaseException | None:
        try:
            self.home.do(task.start)
        except Hang:
            raise
        except BaseException as error:  # noqa: BLE001 - the test looks at the task
            return error
        return None

    def _join(self, task: Any) -> None:
        try:
            self.home.do(lambda: task.join(WAIT))
        except TimeoutError:
            raise Hang(f"join() does not return: {task!r}") from None
        except (Injected, Harsh):
            self._join(task)

    def _judge(self, task: Any, called: list[str]) -> None:
        expected = {
            TaskStatus.COMPLETED: ["completed"],
            TaskStatus.START_FAILED: [],
        }.get(task.status, ["failed"])
        assert called == expected, f"{task!r}: {called}"
        assert self.slave.ran[self._number] <= 1, "it ran twice"
        if task.status is TaskStatus.COMPLETED:
            assert task.result == {"number": self._number}

    def go_on(self) -> None:
        """The slot is free: another task runs. All threads are watched again."""
        self.home.arm(self._watch)
        loop = self.slave._interaction._loop
        assert loop is not None
        loop.call(self._watch.arm)
        self.connect()

        def runs() -> bool:
            self.connect()
            self._number += 1
            task = self.home.do(lambda: self._task([]))
            self._start(task)
            until(lambda: task.status.ended, f"the next task does not end: {task!r}")
            return bool(task.status is TaskStatus.COMPLETED)

        until(runs, "no further task runs")


def every_call(live: Callable[[None], Counter[str]], most: int) -> list[Call]:
    """The calls of a life: each function, and which of its calls, the first `most`."""
    seen: Counter[str] = Counter()
    for _ in range(5):
        seen |= live(None)
    return [(place, number) for place in sorted(seen) for number in range(1, min(seen[place], most) + 1)]
