"""What is told to those who have waited or started in vain is true, also when it is read: things have gone on since."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interaction import Master, SlaveConnectionProxy, Task, TaskStatus, aio
from interaction.aio import task as aio_task
from interaction.core.model import ResultStatus, TaskResult
from interaction.rpc.service import _State
from interaction.waiters import Waiters
from tests.contract.conftest import MakeMaster, Worker, plain_and_aio
from tests.unit.test_base_task import Road

facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)
WAIT = 20.0


@pytest.mark.parametrize("ask", ["join", "get"])
def test_whose_callbacks_still_run_is_not_told_to_run_itself(connection: SlaveConnectionProxy, ask: str) -> None:
    called, go_on = threading.Event(), threading.Event()

    def slow(data: Any, result: Any) -> None:
        called.set()
        go_on.wait(WAIT)

    task = connection.new_task({"a": 1, "b": 2}).on_complete(slow)
    try:
        task.start()
        assert called.wait(WAIT)
        with pytest.raises(TimeoutError) as caught:
            getattr(task, ask)(0.05)
    finally:
        go_on.set()
    assert str(caught.value) == f"task {task.id} is COMPLETED, but its callbacks had not all run within 0.05 s"
    assert task.get(WAIT) == {"sum": 3}


def under_way(kind: type[Task | aio.Task]) -> Task | aio.Task:
    task = kind({"a": 1}, Road(keeps=False))
    task.begin(object())
    task.accept({})
    return task


def finish(task: Task | aio.Task) -> None:
    task.finish(TaskResult(task.id, ResultStatus.COMPLETED, 3))


def test_what_ends_as_the_time_is_over_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    task = under_way(Task)
    assert isinstance(task, Task)
    wait = Waiters.wait_for

    def in_vain(self: Waiters, reached: Callable[[], bool], timeout: float | None = None) -> bool:
        found = wait(self, reached, timeout)
        finish(task)
        return found

    monkeypatch.setattr(Waiters, "wait_for", in_vain)
    assert task.get(0.01) == 3


def test_what_ends_as_the_time_is_over_has_ended_on_a_loop_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> Any:
        task = under_way(aio.Task)
        assert isinstance(task, aio.Task)
        wait = aio_task.Task._reached

        async def in_vain(self: aio.Task, condition: Callable[[], bool], timeout: float | None) -> bool:
            found = await wait(self, condition, timeout)
            finish(self)
            return found

        monkeypatch.setattr(aio_task.Task, "_reached", in_vain)
        return await task.get(0.01)

    assert asyncio.run(main()) == 3


def test_a_status_that_is_told_is_that_of_then() -> None:
    task = under_way(Task)
    assert isinstance(task, Task)
    with pytest.raises(TimeoutError) as caught:
        task.join(0.01)
    finish(task)
    assert task.status is TaskStatus.COMPLETED
    assert str(caught.value) == f"task {task.id} had not ended within 0.01 s; it was STARTED then"


@pytest.mark.parametrize("kind", [Task, aio.Task])
def test_who_starts_it_second_is_not_told_that_it_is_idle(kind: type[Task | aio.Task]) -> None:
    """The first one, on another thread, has not come far."""
    task = kind({"a": 1}, Road(keeps=False))
    task._starters.append(object())
    with pytest.raises(ValueError, match="was started before"):
        task.begin(object())
    assert task.status is TaskStatus.IDLE


def test_who_starts_a_master_beside_another_is_not_told_that_it_runs() -> None:
    async def main() -> list[object]:
        master = aio.Master("127.0.0.1", 0)
        try:
            return list(await asyncio.gather(master.start(), master.start(), return_exceptions=True))
        finally:
            await master.shutdown()

    (failure,) = [found for found in asyncio.run(main()) if found is not None]
    assert isinstance(failure, RuntimeError)
    assert "was started before and can't be started again" in str(failure)


def test_whose_start_is_almost_done_is_not_told_to_be_shut_down(master: Master) -> None:
    service: Any = getattr(getattr(master._interaction, "inner", master), "_interaction", None)
    service._state = _State.STARTING
    try:
        with pytest.raises(RuntimeError, match="has not been started"):
            service.check_running()
    finally:
        service._state = _State.RUNNING


def test_the_last_session_that_comes_back_as_the_time_is_over_is_back(
    make_master: MakeMaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slave: Worker
) -> None:
    """Else zero sessions were neither resumed nor over."""
    master = make_master(Master, journal=f"sqlite:///{tmp_path / 'master.db'}")
    master.new_connection("conn", "127.0.0.1", slave.port).connect()
    service: Any = getattr(getattr(master._interaction, "inner", master), "_interaction", None)
    assert service._all_resumed
    service._all_resumed = False
    assert [connection.name for connection in master.wait_until_resumed(0.01)] == ["conn"]
