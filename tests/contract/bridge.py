"""`interaction.aio` behind the plain facade's members, so that the plain facade's tests hold for both.

A master's `_interaction` is replaced by a `Bridge`, which has an `aio.Master` on a loop of its own, in debug mode, on a
thread. What the user overrides (hooks) is a coroutine function there, and so is each callback.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar

from interaction import Master, TaskStatus, aio
from interaction.master.hooks import MasterHooks

T = TypeVar("T")
WAIT = 30.0
HOOKS = [name for name in vars(MasterHooks) if name.startswith("_") and not name.startswith("__")]


class LoopThread:
    """`asyncio.run()` on a thread, until `end()`, which says what has been left undone."""

    def __init__(self) -> None:
        self.complaints: list[str] = []  # of the loop
        self.left: list[str] = []  # tasks that did not end
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main(), debug=True), daemon=True)
        self._thread.start()
        self._ready.wait()

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.loop.slow_callback_duration = 60.0  # the machine may be busy
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(str(context)))
        self._over = asyncio.Event()
        self._ready.set()
        await self._over.wait()
        await asyncio.sleep(0)  # who has asked for the end is done, too
        self.left = [repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it there, and wait for what comes of it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT)

    def call(self, function: Callable[[], T]) -> T:
        """Call it there, and wait for what it returns."""

        async def call() -> T:
            return function()

        return self.run(call())

    def end(self) -> None:
        """Let it end. Raises AssertionError where anything is amiss."""
        self.loop.call_soon_threadsafe(self._over.set)
        self._thread.join(WAIT)
        assert not self.complaints, "\n".join(self.complaints)
        assert not self.left, "\n".join(self.left)


class Bridge:
    """What is behind the facade of `outer`, a plain master that was made with the same arguments."""

    def __init__(self, outer: Master, *arguments: Any, **options: Any) -> None:
        def hook(name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
            async def call(inner: object, *arguments: Any) -> Any:
                return await asyncio.to_thread(getattr(outer, name), *arguments)

            return call

        mine = [name for name in HOOKS if getattr(type(outer), name) is not getattr(MasterHooks, name)]
        self.home = LoopThread()
        self.inner: aio.Master = type(type(outer).__name__, (aio.Master,), {name: hook(name) for name in mine})(
            *arguments, **options
        )
        self.options = self.inner._interaction.options
        self.hooks = outer
        self._known: dict[object, Any] = {}

    @property
    def port(self) -> int:
        return self.inner.port

    @property
    def started(self) -> bool:
        return self.inner._interaction.started

    def start(self) -> None:
        self.home.run(self.inner.start())

    def shutdown(self) -> None:
        self.home.run(self.inner.shutdown())

    def join(self) -> None:
        self.home.run(self.inner.join())

    def check_may_wait(self) -> None:
        self.home.call(self.inner._interaction.check_may_wait)

    def ping(self) -> bool:
        return self.home.run(self.inner.ping())

    def address_for(self, endpoint: None) -> str:
        return self.inner.my_address

    def new_connection(self, *arguments: Any) -> Connection:
        connection: Connection = self.outer(self.home.call(lambda: self.inner.new_connection(*arguments)))
        return connection

    def named(self, name: Any) -> Connection | None:
        return self.outer(self.home.call(lambda: self.inner[name])) if name in self.inner else None

    def living(self) -> list[Connection]:
        return [self.outer(self.inner[name]) for name in self.home.call(lambda: list(self.inner))]

    def tasks(self) -> list[Task]:
        return [self.outer(task) for task in self.home.call(self.inner.tasks)]

    def task(self, task_id: str) -> Task:
        task: Task = self.outer(self.home.call(lambda: self.inner.task(task_id)))
        return task

    def wait_until_resumed(self, timeout: float | None) -> list[Connection]:
        return [self.outer(connection) for connection in self.home.run(self.inner.wait_until_resumed(timeout))]

    def outer(self, inner: Any) -> Any:
        """What stands for it here: the same for the same. What is neither a connection nor a task stands for itself."""
        if isinstance(inner, aio.SlaveConnectionProxy):
            return self._known.setdefault(inner, Connection(self, inner))
        return self._known.setdefault(inner, Task(self, inner)) if isinstance(inner, aio.Task) else inner


class Connection:
    """A connection."""

    def __init__(self, bridge: Bridge, inner: aio.SlaveConnectionProxy) -> None:
        self._bridge = bridge
        self._run = bridge.home.run
        self._inner = inner
        self._home = bridge

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)  # what is no coroutine function

    def __repr__(self) -> str:
        return repr(self._inner)

    def connect(self) -> Any:
        return self._run(self._inner.connect())

    def disconnect(self) -> Any:
        return self._run(self._inner.disconnect())

    def start(self) -> Any:
        return self._run(self._inner.start())

    def close(self) -> None:
        self._run(self._inner.close())

    def __enter__(self) -> Connection:
        self._run(self._inner.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._run(self._inner.__aexit__(kind, error, traceback))

    def new_task(self, data: Mapping[str, Any] | None = None) -> Task:
        task: Task = self._bridge.outer(self._bridge.home.call(lambda: self._inner.new_task(data)))
        return task


class Task:
    """A task."""

    def __init__(self, bridge: Bridge, inner: aio.Task) -> None:
        self._bridge = bridge
        self._inner = inner

    @property
    def id(self) -> str:
        return self._inner.id

    @property
    def status(self) -> TaskStatus:
        return self._inner.status

    @property
    def task(self) -> Mapping[str, Any]:
        return self._inner.task

    @property
    def result(self) -> Any:
        return self._inner.result

    @property
    def error(self) -> BaseException | None:
        return self._inner.error

    def start(self) -> Any:
        return self._bridge.outer(self._bridge.home.run(self._inner.start()))

    def join(self, timeout: float | None = None) -> Task:
        self._bridge.home.run(self._inner.join(timeout))
        return self

    def get(self, timeout: float | None = None) -> Any:
        return self._bridge.home.run(self._inner.get(timeout))

    def on_complete(self, callback: Any) -> Task:
        self._bridge.home.call(lambda: self._inner.on_complete(_on_a_thread(callback)))
        return self

    def on_fail(self, callback: Any) -> Task:
        self._bridge.home.call(lambda: self._inner.on_fail(_on_a_thread(callback)))
        return self


def _on_a_thread(callback: Any) -> Any:
    async def call(data: Mapping[str, Any], result: Any) -> None:
        await asyncio.to_thread(callback, data, result)

    return call if callable(callback) else callback


class PoolFuture:
    """A future of a pool's."""

    def __init__(self, bridge: Bridge, inner: aio.PoolFuture) -> None:
        self._bridge = bridge
        self._inner = inner

    @property
    def task(self) -> Task | None:
        task: Task | None = self._bridge.outer(self._inner.task)
        return task

    def done(self) -> bool:
        return self._inner.done()

    def cancelled(self) -> bool:
        return self._inner.cancelled()

    def cancel(self) -> bool:
        return self._bridge.home.call(self._inner.cancel)

    def _wait(self, timeout: float | None) -> None:
        async def wait() -> None:
            if not (await asyncio.wait({self._inner}, timeout=timeout))[0]:
                raise TimeoutError

        self._bridge.home.run(wait())
        if self._inner.cancelled():
            raise concurrent.futures.CancelledError

    def result(self, timeout: float | None = None) -> Any:
        self._wait(timeout)
        return self._inner.result()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._wait(timeout)
        return self._inner.exception()


class SlavePool:
    """A pool."""

    def __init__(self, master: Master, **options: Any) -> None:
        bridge: object = master._interaction
        assert isinstance(bridge, Bridge)
        self._bridge = bridge
        self._run = bridge.home.run
        self._inner: aio.SlavePool = bridge.home.call(lambda: aio.SlavePool(bridge.inner, **options))

    def __len__(self) -> int:
        return len(self._inner)

    @property
    def places(self) -> int:
        return self._inner.places

    def submit(self, data: Mapping[str, Any] | None = None) -> PoolFuture:
        return PoolFuture(self._bridge, self._bridge.home.call(lambda: self._inner.submit(data)))

    def map(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        results = self._inner.map(*arguments, **options)
        assert isinstance(results, AsyncGenerator)
        try:
            while (one := self._run(_next(results))) is not _END:
                yield one
        finally:
            self._run(results.aclose())

    def close(self, *, wait: bool = True) -> None:
        self._run(self._inner.close(wait=wait))

    def __enter__(self) -> SlavePool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._run(self._inner.__aexit__(kind, error, traceback))


_END = object()


async def _next(results: AsyncIterator[Any]) -> Any:
    return await anext(results, _END)
