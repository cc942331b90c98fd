"""What every system that is measured can be asked to do, and how its time is taken: the same for all."""

from __future__ import annotations

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import ExitStack
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")
_Self = TypeVar("_Self", bound="System")
Data = dict[str, Any]
_FEWEST = 10  # calls that are timed, however long they take


def task(number: int) -> Data:
    """The task that does nothing."""
    return {"a": number, "b": 2}


def check(number: int, result: object) -> None:
    """Raise ValueError for a wrong result: the speed of a system that loses results is worth nothing."""
    if result != {"sum": number + 2}:
        raise ValueError(f"task {number} came back as {result!r}")


def array(size: int) -> Any:
    """What is carried: a NumPy array of so many bytes."""
    import numpy

    return numpy.arange(size, dtype=numpy.uint8)


class System(ABC):
    """A system with its workers in other processes. `workers`: how many, each of which runs one task at a time."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.stack = ExitStack()  # what is to be closed

    @abstractmethod
    def open(self) -> None:
        """Start it, and return when it has done a task."""

    @abstractmethod
    def round_trips(self, seconds: float) -> list[float]:
        """Seconds of each round trip with one worker, one after another for that long."""

    @abstractmethod
    def burst(self, count: int) -> float:
        """Seconds that so many tasks take, when they are given as its users would give many."""

    @abstractmethod
    def payloads(self, size: int, seconds: float) -> list[float]:
        """As `round_trips`, with so many bytes of NumPy there and back."""

    def __enter__(self: _Self) -> _Self:
        try:
            self.open()
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stack.close()


class PlainSystem(System):
    """One whose calls wait."""

    @abstractmethod
    def round_trip(self, number: int) -> None:
        """Give one task to one worker, wait for its result, and check that."""

    @abstractmethod
    def many(self, count: int) -> None:
        """Give so many tasks, wait for all results, and check them."""

    @abstractmethod
    def carry(self, content: Any) -> None:
        """Send content to one worker, and wait until it has come back."""

    def round_trips(self, seconds: float) -> list[float]:
        """Timed where the calls are made."""
        return self._timed(self.round_trip, seconds)

    def burst(self, count: int) -> float:
        """Timed where the calls are made."""
        began = time.perf_counter()
        self.many(count)
        return time.perf_counter() - began

    def payloads(self, size: int, seconds: float) -> list[float]:
        """Timed where the calls are made."""
        content = array(size)
        return self._timed(lambda number: self.carry(content), seconds)

    @staticmethod
    def _timed(call: Callable[[int], object], seconds: float) -> list[float]:
        durations: list[float] = []
        until = time.perf_counter() + seconds
        while len(durations) < _FEWEST or time.perf_counter() < until:
            began = time.perf_counter()
            call(len(durations))
            durations.append(time.perf_counter() - began)
        return durations


class AsyncSystem(System):
    """One whose calls are awaited: all is done and timed on one loop, which goes on between the measurements."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._loop.run_forever, name="bench-loop", daemon=True)
        thread.start()
        self.stack.callback(thread.join)
        self.stack.callback(self._loop.call_soon_threadsafe, self._loop.stop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Have it done on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    @abstractmethod
    async def round_trip(self, number: int) -> None:
        """Give one task to one worker, wait for its result, and check that."""

    @abstractmethod
    async def many(self, count: int) -> None:
        """Give so many tasks, wait for all results, and check them."""

    @abstractmethod
    async def carry(self, content: Any) -> None:
        """Send content to one worker, and wait until it has come back."""

    def round_trips(self, seconds: float) -> list[float]:
        """Timed on the loop."""
        return self.run(self._timed(self.round_trip, seconds))

    def burst(self, count: int) -> float:
        """Timed on the loop."""
        return self.run(self._burst(count))

    def payloads(self, size: int, seconds: float) -> list[float]:
        """Timed on the loop."""
        content = array(size)
        return self.run(self._timed(lambda number: self.carry(content), seconds))

    async def _burst(self, count: int) -> float:
        began = time.perf_counter()
        await self.many(count)
        return time.perf_counter() - began

    @staticmethod
    async def _timed(call: Callable[[int], Awaitable[object]], seconds: float) -> list[float]:
        durations: list[float] = []
        until = time.perf_counter() + seconds
        while len(durations) < _FEWEST or time.perf_counter() < until:
            began = time.perf_counter()
            await call(len(durations))
            durations.append(time.perf_counter() - began)
        return durations
