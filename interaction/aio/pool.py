"""Many tasks for many slaves, for asyncio."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextvars import Context
from types import BuiltinFunctionType, TracebackType
from typing import Any

from interaction.aio.loop import Change
from interaction.aio.master import Master
from interaction.aio.task import Task
from interaction.core.again import Wanted
from interaction.master.base_pool import BasePool, Item, Source, check_in_flight, data_of
from interaction.master.base_task import BaseTask
from interaction.master.crew import Crew, PoolJob
from interaction.rpc import forks
from interaction.rpc.coroutines import check_callback

Data = Mapping[str, Any] | None


class PoolFuture(asyncio.Future[Any]):
    """The result to come of one `submit()`; to be awaited."""

    def __init__(self, crew: Crew) -> None:
        super().__init__()
        self._crew = crew
        self._job: PoolJob | None = None  # until it has ended
        self._last_task: BaseTask | None = None

    @property
    def task(self) -> Task | None:
        """The task that does it: with retries, the last one. None while no slave has a place for it."""
        task = self._last_task
        assert task is None or isinstance(task, Task)
        return task

    def add_done_callback(self, fn: Callable[[PoolFuture], object], /, *, context: Context | None = None) -> None:
        """As in `asyncio`. Raises TypeError for a coroutine function, which asyncio would call and not await."""
        if not isinstance(fn, BuiltinFunctionType):  # as that is by which a future wakes who awaits it: not each time
            check_callback(fn, awaited=False)
        super().add_done_callback(fn, context=context)

    def cancel(self, msg: Any = None) -> bool:
        """As in `asyncio`. It is not done, where no slave has it yet; else nobody waits for it any more."""
        job, self._job = self._job, None
        if job is not None:
            self._crew.drop(job)
        return super().cancel(msg)

    # What the pool tells.

    def made(self, job: PoolJob) -> None:
        """This is its job."""
        self._job = job

    def begun(self) -> bool:
        """A slave gets it. False where it was cancelled."""
        return not self.done()

    def given(self, task: BaseTask) -> None:
        """This is its task from now on."""
        self._last_task = task

    def ended(self, result: Any, error: BaseException | None) -> None:
        """It has ended."""
        self._job = None
        if self.done():
            return
        if isinstance(error, asyncio.CancelledError):
            self.cancel()
        elif error is not None:
            self.set_exception(error)
        else:
            self.set_result(result)


class SlavePool(BasePool):
    """Hands tasks to the living slaves of a master, each to that which has the least to do.

    As `interaction.SlavePool`, with the same arguments, on the master's loop. Use it with `async with`, or await
    `close()`.
    """

    _master = Master
    _facade = "interaction.aio"

    def __init__(
        self,
        master: Master,
        *,
        names: Collection[str] | None = None,
        labels: Mapping[str, str] | None = None,
        retries: int = 0,
        retry_failed: Wanted = False,
        wait_for_slaves: bool | float = True,
    ) -> None:
        super().__init__(master, names, labels, retries, retry_failed, wait_for_slaves)
        self._check_here = master._interaction.check_here
        self._check_here()
        self._preparing: set[asyncio.Task[None]] = set()
        self._service.running()[1].watch(self._crew)

    def submit(self, data: Data = None) -> PoolFuture:
        """Have a task done. Returns at once, with a future to await: the result, or the task's error.

        Raises TypeError, PayloadError and RuntimeError, as the plain `submit()`.
        """
        self._check_here()
        self._check_open()
        future = PoolFuture(self._crew)
        prepared: Data | Awaitable[Data] = self._service.hooks._before_new_task({} if data is None else data)
        if inspect.isawaitable(prepared):
            preparing = asyncio.ensure_future(self._submit_when(prepared, data, future))
            self._preparing.add(preparing)
            preparing.add_done_callback(self._preparing.discard)
        else:
            self._hand_over(data, prepared, future)
        return future

    def _hand_over(self, data: Data, prepared: Data, future: PoolFuture) -> None:
        job = self._job(data, prepared, future)
        future.made(job)
        self._crew.submit(job)

    async def _submit_when(self, prepared: Awaitable[Data], data: Data, future: PoolFuture) -> None:
        try:
            self._hand_over(data, await prepared, future)
        except Exception as error:  # noqa: BLE001 - what a user's hook raises is for who awaits the future
            future.ended(None, error)

    async def map(
        self,
        source: Source | AsyncIterable[Data],
        items: Iterable[Item] | None = None,
        *,
        ordered: bool = True,
        in_flight: int | None = None,
        return_errors: bool = False,
    ) -> AsyncIterator[Any]:
        """Have a task done for each item, and iterate over the results. As the plain `map()`; data may come from an
        asynchronous iterable, too. The arguments are looked at when the iteration begins."""
        self._check_here()
        check_in_flight(in_flight)
        self._check_open()
        futures = _Futures(self, source, items, ordered, in_flight)
        try:
            while (future := await futures.next()) is not None:
                problem = _problem_of(future)
                yield future.result() if problem is None or not return_errors else problem
            if futures.failure is not None:
                raise futures.failure
        finally:
            await futures.close()

    async def close(self, *, wait: bool = True) -> None:
        """Take nothing more. `wait`: return when all tasks have ended; else what has not begun is cancelled."""
        self._check_here()
        if self._closed:
            return
        self._closed = True
        if wait and self._preparing:
            await asyncio.wait(set(self._preparing))
        await self._finish(asyncio.CancelledError(), wait)

    async def __aenter__(self) -> SlavePool:
        self._check_here()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not forks.inherited():
            await self.close(wait=error is None)


class _Futures:
    """What `map()` has under way, of what a source supplies."""

    def __init__(
        self,
        pool: SlavePool,
        source: Source | AsyncIterable[Data],
        items: Iterable[Item] | None,
        ordered: bool,
        in_flight: int | None,
    ) -> None:
        self.failure: Exception | None = None  # of the source: raised when its turn comes
        self._pool = pool
        self._ordered = ordered
        self._in_flight = in_flight
        self._supplied: Iterator[Data] | None = None  # until it is exhausted
        self._pump: asyncio.Task[None] | None = None  # takes from a source that has to be waited for
        self._futures: set[PoolFuture] = set()
        self._line: deque[PoolFuture] = deque()  # those of them that come next: all in order, or those that are ready
        self._change = Change()
        self._pumping = isinstance(source, AsyncIterable)
        if isinstance(source, AsyncIterable):
            self._pump = asyncio.ensure_future(self._take_from(source))
        else:
            self._supplied = data_of(source, items)

    @property
    def _room(self) -> bool:
        return len(self._futures) < self._pool._limit(self._in_flight)

    def _submit(self, data: Data) -> None:
        future = self._pool.submit(data)
        self._futures.add(future)
        if self._ordered:
            self._line.append(future)
        else:
            future.add_done_callback(self._is_ready)

    def _is_ready(self, future: asyncio.Future[Any]) -> None:
        assert isinstance(future, PoolFuture)
        self._line.append(future)
        self._change.notify_all()

    def _fill(self) -> None:
        while self._supplied is not None and self._room:
            try:
                self._submit(next(self._supplied))
            except StopIteration:
                self._supplied = None
            except Exception as error:  # noqa: BLE001 - what a user's iterable raises
                self._supplied, self.failure = None, error

    async def _take_from(self, source: AsyncIterable[Data]) -> None:
        supply = aiter(source)
        try:
            while True:
                await self._change.wait_for(lambda: self._room)
                self._submit(await anext(supply))
                self._change.notify_all()
        except StopAsyncIteration:
            pass
        except Exception as error:  # noqa: BLE001 - what a user's iterable raises
            self.failure = error
        finally:
            self._pumping = False
            self._change.notify_all()

    async def next(self) -> PoolFuture | None:
        """The next that has ended. None: there is no more."""
        self._fill()
        await self._change.wait_for(lambda: bool(self._line) or not (self._futures or self._pumping))
        if not self._line:
            return None
        future = self._line[0]
        if not future.done():
            await asyncio.wait({future})
        self._line.popleft()
        self._futures.remove(future)
        if self._pumping:  # there is room
            self._change.notify_all()
        return future

    async def close(self) -> None:
        """Nobody wants the others."""
        for future in self._futures:
            if not future.cancel():
                _problem_of(future)
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait({self._pump})


def _problem_of(future: PoolFuture) -> BaseException | None:
    """Why there is no result. It has ended."""
    return asyncio.CancelledError() if future.cancelled() else future.exception()
