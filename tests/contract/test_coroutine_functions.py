"""A coroutine that nobody awaits does nothing: who gives one to the plain facade is told, and no task runs past it."""

from __future__ import annotations

import asyncio
import functools
import threading
import types
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from interaction import Master, Slave, SlaveConnectionProxy, SlavePool, aio
from interaction.exception import LossReason, SlaveTaskRefused
from interaction.master.hooks import MasterHooks
from tests.contract.conftest import CHANNEL, MakeMaster, MakeSlave, Worker
from tests.contract.slave_programs import WAIT

Hook = Callable[..., Any]
MASTER_HOOKS = sorted(name for name in vars(MasterHooks) if name.startswith("_") and not name.startswith("__"))
SLAVE_HOOKS = ["_before_connection", "_before_disconnection", "_before_task", "_lost_connection", "_process_task"]


async def coroutine_function(*arguments: Any) -> None:
    raise AssertionError("nobody awaits it")


async def generator_function(*arguments: Any) -> AsyncIterator[None]:
    yield None


@types.coroutine
def old_coroutine_function(*arguments: Any) -> Any:
    yield


class Called:
    async def __call__(self, *arguments: Any) -> None:
        raise AssertionError("nobody awaits it")


KINDS: dict[str, Hook] = {
    "async def": coroutine_function,
    "async def with yield": generator_function,
    "types.coroutine": old_coroutine_function,
    "partial": functools.partial(functools.partial(coroutine_function, 1), 2),
    "an object whose __call__ is one": Called(),
    "a bound method": Called().__call__,
    "a static method": staticmethod(coroutine_function),
    "a partial method": functools.partialmethod(coroutine_function, 1),  # type: ignore[dict-item]
}
CALLABLE = {name: kind for name, kind in KINDS.items() if callable(kind) and "method" not in name}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hook", MASTER_HOOKS)
def test_a_master_is_not_made_with_a_hook_that_somebody_would_have_to_await(hook: str, kind: str) -> None:
    trainer = type("Trainer", (Master,), {hook: KINDS[kind]})
    with pytest.raises(TypeError, match=rf"Trainer\.{hook} is .*async def.*aio"):
        trainer("127.0.0.1", 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hook", SLAVE_HOOKS)
def test_a_slave_is_not_made_with_a_hook_that_somebody_would_have_to_await(hook: str, kind: str) -> None:
    learner = type("Learner", (Worker,), {hook: KINDS[kind]})
    with pytest.raises(TypeError, match=rf"Learner\.{hook} is .*async def.*asyncio\.run"):
        learner("127.0.0.1", 0)


def test_a_hook_that_was_put_on_the_object_itself_is_looked_at_too() -> None:
    class Learner(Worker):
        def __init__(self) -> None:
            self._process_task = coroutine_function  # type: ignore[assignment]
            super().__init__("127.0.0.1", 0)

    with pytest.raises(TypeError, match="_process_task"):
        Learner()


def test_a_plain_wrapper_around_a_coroutine_function_is_none() -> None:
    class Learner(Slave):
        async def _think(self, task: Mapping[str, Any]) -> Any:
            return task["a"]

        @functools.wraps(_think)
        def _process_task(self, task: Mapping[str, Any]) -> Any:  # type: ignore[override]  # functools.wraps tells mypy so
            return asyncio.run(self._think(task))

    with (
        Learner("127.0.0.1", 0, channel=CHANNEL) as slave,
        Master("127.0.0.1", 0, channel=CHANNEL) as master,
        master.new_connection("conn", "127.0.0.1", slave.port) as connection,
    ):
        assert connection.new_task({"a": 3}).start().join(WAIT).result == 3


@pytest.mark.parametrize("kind", CALLABLE)
def test_a_callback_that_somebody_would_have_to_await_is_refused(connection: SlaveConnectionProxy, kind: str) -> None:
    task = connection.new_task({"a": 1, "b": 2})
    for add in (task.on_complete, task.on_fail):
        with pytest.raises(TypeError, match=r"async def.*interaction\.aio"):
            add(CALLABLE[kind])
    with SlavePool(connection._home.hooks) as pool:  # type: ignore[arg-type]  # the master
        future = pool.submit({"a": 1, "b": 2})
        with pytest.raises(TypeError, match=r"async def.*interaction\.aio"):
            future.add_done_callback(CALLABLE[kind])
        assert future.result(WAIT) == {"sum": 3}


def test_a_refusal_in_a_coroutine_is_not_passed_over(make_slave: MakeSlave, master: Master) -> None:
    """What can't be seen when the slave is made is seen when the hook has returned: nothing runs past it."""

    async def refuse() -> None:
        raise AssertionError("nobody awaits it")

    class Hiding(Worker):
        def _before_task(self, data: Mapping[str, Any]) -> Any:
            return refuse()

    slave = make_slave(Hiding)
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        with pytest.raises(SlaveTaskRefused, match="has returned a coroutine, and nobody awaits it"):
            connection.new_task({"a": 1, "b": 2}).start()
        assert slave.ran == []


def test_a_coroutine_that_is_left_is_told_in_the_log(
    make_slave: MakeSlave, make_master: MakeMaster, caplog: pytest.LogCaptureFixture
) -> None:
    told = threading.Event()

    class Hiding(Master):
        def _lost_slave(self, name: str, reason: LossReason) -> Any:
            told.set()
            return coroutine_function()

    class Lost(Worker):
        def _lost_connection(self, master_address: str, error: Exception) -> Any:
            super()._lost_connection(master_address, error)
            return coroutine_function()

    slave, master = make_slave(Lost), make_master(Hiding)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    task = connection.new_task({"a": 1, "b": 2})
    task.on_complete(lambda data, result: coroutine_function()).start().join(WAIT)
    with SlavePool(master) as pool:
        done = threading.Event()
        future = pool.submit({"a": 1, "b": 2})
        future.add_done_callback(lambda future: coroutine_function())
        future.add_done_callback(lambda future: done.set())
        assert done.wait(WAIT)
    other = make_slave(Lost)
    master.new_connection("other", "127.0.0.1", other.port).connect()
    slave.close()
    assert told.wait(WAIT)
    master.close()
    assert other.lost_connection.wait(WAIT)
    other.close()
    left = [record for record in caplog.records if "nobody awaits it" in (record.exc_text or "")]
    assert len(left) == 4, caplog.text


def test_what_asyncio_awaits_it_takes() -> None:
    trainer = type("Trainer", (aio.Master,), dict.fromkeys(MASTER_HOOKS, coroutine_function))
    trainer("127.0.0.1", 0)


@pytest.mark.parametrize("hook", MASTER_HOOKS)
def test_what_asyncio_can_not_await_it_refuses(hook: str) -> None:
    trainer = type("Trainer", (aio.Master,), {hook: generator_function})
    with pytest.raises(TypeError, match=rf"Trainer\.{hook} is .*with yield"):
        trainer("127.0.0.1", 0)


def test_callbacks_of_asyncio_that_nobody_awaits_are_refused(slave: Worker) -> None:
    async def main() -> None:
        async with aio.Master("127.0.0.1", 0, channel=CHANNEL) as master:
            await master.new_connection("conn", "127.0.0.1", slave.port).connect()
            task = master["conn"].new_task({"a": 1, "b": 2})
            task.on_complete(coroutine_function)
            with pytest.raises(TypeError, match="with yield"):
                task.on_complete(generator_function)
            async with aio.SlavePool(master) as pool:
                future = pool.submit({"a": 1, "b": 2})
                with pytest.raises(TypeError, match="async def"):  # asyncio would call it, and drop what it returns
                    future.add_done_callback(coroutine_function)
                seen: list[object] = []
                future.add_done_callback(seen.append)
                assert await asyncio.wait_for(future, WAIT) == {"sum": 3}
                await asyncio.sleep(0)
                assert seen == [future]

    asyncio.run(main())
