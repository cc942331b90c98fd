"""A pool, as far as it is the same for the plain facade and for `interaction.aio`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from interaction.config import labels_of
from interaction.core.again import Failures, Wanted
from interaction.exception import NoSlave
from interaction.master.base_connection import BaseConnection
from interaction.master.base_master import BaseMaster
from interaction.master.crew import Crew, PoolJob, Sink
from interaction.rpc import payload
from interaction.rpc.facade import NotMade

Item = Any  # whatever a user's function makes data of
Source = Iterable[Item] | Callable[[Item], Mapping[str, Any] | None]
_LEAST, _MOST = 16, 20_000  # tasks that `map()` has under way, where its user does not say


class BasePool:
    """What a pool knows of its slaves, and how data become jobs."""

    _master: type[BaseMaster[Any, Any]]  # of which masters there may be one
    _facade = "interaction"
    if not TYPE_CHECKING:
        _service = _crew = _closed = _strand = _check_here = NotMade("the master and the other options")

    def __init__(
        self,
        master: BaseMaster[Any, Any],
        names: Collection[str] | None,
        labels: Mapping[str, str] | None,
        retries: int,
        retry_failed: Wanted,
        wait_for_slaves: bool | float,
    ) -> None:
        self._check_master(master)
        if isinstance(retries, bool) or not isinstance(retries, int):
            raise TypeError(f"retries must be an integer, not {retries!r}")
        if retries < 0:
            raise ValueError(f"retries must be 0 or more, not {retries}")
        failures = Failures(retry_failed)
        if failures and not retries:
            raise ValueError(
                f"retry_failed={retry_failed!r:.80} does nothing while retries is 0: say how often a task may be done "
                "again, such as retries=1"
            )
        self._service = master._interaction
        _, self._roster = self._service.running()
        self._names = None if names is None else _names_of(names)
        self._labels = {} if labels is None else labels_of(labels)
        self._wait = wait_of(wait_for_slaves)
        self._crew = Crew(self._accepts, self._wanted(), retries, failures, self._wait)
        self._closed = False

    def __len__(self) -> int:
        """How many slaves it has at this moment."""
        return self._crew.size

    @property
    def places(self) -> int:
        """How many tasks all its slaves together take at this moment: slots and backlogs."""
        return self._crew.places

    def _check_master(self, master: object) -> None:
        """Raise TypeError for what is no master of this facade."""
        if isinstance(master, self._master):
            return
        sentence = f"{self._facade}.SlavePool takes a master of {self._facade}, not {master!r:.80}"
        if isinstance(master, BaseMaster):
            sentence += "; for that one there is the SlavePool of its own module, interaction or interaction.aio"
        elif isinstance(master, BaseConnection):
            sentence += f"; give it the master of that connection, and names=[{master.name!r}]"
        raise TypeError(sentence)

    def _wanted(self) -> str:
        """Which slaves it takes, in words."""
        names = [] if self._names is None else [f"the names {', '.join(map(repr, sorted(self._names)))}"]
        labels = [f"the labels {self._labels}"] if self._labels else []
        return " and ".join(names + labels)

    def _accepts(self, connection: BaseConnection) -> bool:
        if self._names is not None and connection.name not in self._names:
            return False
        return all(connection.labels.get(name) == value for name, value in self._labels.items())

    async def _open(self) -> None:
        self._roster.watch(self._crew)

    async def _finish(self, error: BaseException, wait: bool) -> None:
        """Have nothing more done: what then has not begun ends with that error."""
        try:
            if wait:
                await self._crew.join()
        finally:  # also where the wait is interrupted
            self._roster.unwatch(self._crew)
            self._crew.closed(error)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this pool is closed; create another one")
        self._service.running()
        if self._wait == 0 and not self._crew.size:
            raise NoSlave(f"{self._crew.lack()}; connect one, or let the pool wait: wait_for_slaves=True, or seconds")

    @staticmethod
    def _job(data: Mapping[str, Any] | None, prepared: Mapping[str, Any] | None, sink: Sink) -> PoolJob:
        """Raises TypeError and PayloadError: what can't be sent is refused where it is submitted."""
        if callable(data):
            raise TypeError(f"data must be a mapping, and not the function {data!r:.60}{_WORK}")
        return PoolJob(data, payload.encode_mapping(prepared, "data"), sink)

    def _limit(self, in_flight: int | None) -> int:
        return in_flight if in_flight is not None else max(_LEAST, min(2 * self._crew.places, _MOST))


def _names_of(names: Collection[str]) -> frozenset[str]:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"names must be a collection of connections' names, not {names!r:.80}")
    return frozenset(names)


def wait_of(wait_for_slaves: bool | float) -> float | None:
    """How many seconds a job waits for a slave; None: as long as it takes. Raises TypeError and ValueError."""
    if isinstance(wait_for_slaves, bool):
        return None if wait_for_slaves else 0.0
    if not isinstance(wait_for_slaves, (int, float)):
        raise TypeError(f"wait_for_slaves must be a boolean or a number of seconds, not {wait_for_slaves!r:.80}")
    if not math.isfinite(wait_for_slaves) or wait_for_slaves < 0:
        raise ValueError(f"wait_for_slaves must be a finite number of seconds, 0 or more, not {wait_for_slaves!r}")
    return float(wait_for_slaves)


def check_in_flight(in_flight: int | None) -> None:
    """Raise TypeError or ValueError for what is no number of tasks."""
    if in_flight is None:
        return
    if isinstance(in_flight, bool) or not isinstance(in_flight, int):
        raise TypeError(f"in_flight must be an integer, not {in_flight!r}")
    if in_flight < 1:
        raise ValueError(f"in_flight must be 1 or more, not {in_flight}")


def data_of(source: Source, items: Iterable[Item] | None) -> Iterator[Mapping[str, Any] | None]:
    """The data of `map(source, items)`: an iterable's, or what a function makes of items. Raises TypeError."""
    if items is None:
        if isinstance(source, Mapping) or not isinstance(source, Iterable):
            raise TypeError(
                f"map() takes an iterable of task data, or a function that makes them and items, not {source!r:.80}"
                f"{_WORK if callable(source) else ''}"
            )
        return iter(source)
    if not callable(source):
        raise TypeError(f"map() with items takes a function that makes task data of one, not {source!r:.80}")
    return (_made_of(item, source) for item in items)


_WORK = ". The work itself is done by the slaves, in their _process_task()"


def _made_of(item: Item, make: Callable[[Item], Mapping[str, Any] | None]) -> Mapping[str, Any] | None:
    data = make(item)
    if data is None or isinstance(data, Mapping):
        return data
    if inspect.iscoroutine(data):
        data.close()  # nobody will await it
    raise TypeError(
        f"map(function, items): the function makes the data of a task, a mapping, of one item; {make!r:.80} returned "
        f"{data!r:.80}{_WORK}"
    )
