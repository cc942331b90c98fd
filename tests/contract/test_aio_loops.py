"""`interaction.aio` on another loop than its own, such as a test's beside its fixture's: an error, and never a wait."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from interaction import aio
from tests.contract.conftest import CHANNEL, Worker
from tests.contract.slave_programs import WAIT

SUM = {"a": 1, "b": 2}
SAYS_SO = "event loop on which it was started"


class Home(NamedTuple):
    """All that lives on the first loop."""

    loop: asyncio.AbstractEventLoop
    master: aio.Master
    connection: aio.SlaveConnectionProxy
    idle: aio.SlaveConnectionProxy  # not connected
    task: aio.Task  # not started
    done: aio.Task
    pool: aio.SlavePool


@pytest.fixture
def home(slave: Worker) -> Iterator[Home]:
    loop = asyncio.new_event_loop()

    async def begin() -> Home:
        master = aio.Master("127.0.0.1", 0, channel=CHANNEL, request_retries=0)
        await master.start()
        connection = master.new_connection("conn", "127.0.0.1", slave.port)
        await connection.connect()
        done = connection.new_task(SUM)
        await done.start()
        await done.join(WAIT)
        idle = master.new_connection("idle", "127.0.0.1", slave.port)
        return Home(loop, master, connection, idle, connection.new_task(SUM), done, aio.SlavePool(master))

    async def end(home: Home) -> None:
        async with home.pool:
            assert await asyncio.wait_for(home.pool.submit(SUM), WAIT) == {"sum": 3}
        await home.master.close()

    try:
        home = loop.run_until_complete(begin())
        yield home
        loop.run_until_complete(end(home))  # nothing was broken by the attempt
    finally:
        loop.close()


async def consume(results: Any) -> None:
    async for _ in results:
        raise AssertionError("there is no result here")


Call = Callable[[Home], Any]
CALLS: dict[str, Call] = {
    "Master.new_connection": lambda home: home.master.new_connection("new", "127.0.0.1", 1),
    "Master.tasks": lambda home: home.master.tasks(),
    "Master.task": lambda home: home.master.task(home.done.id),
    "Master.start": lambda home: home.master.start(),
    "Master.shutdown": lambda home: home.master.shutdown(),
    "Master.join": lambda home: home.master.join(),
    "Master.close": lambda home: home.master.close(),
    "Master.ping": lambda home: home.master.ping(),
    "Master.wait_until_resumed": lambda home: home.master.wait_until_resumed(WAIT),
    "Master.__aenter__": lambda home: home.master.__aenter__(),
    "Master.__aexit__": lambda home: home.master.__aexit__(None, None, None),
    "SlaveConnectionProxy.connect": lambda home: home.idle.connect(),
    "SlaveConnectionProxy.start": lambda home: home.idle.start(),
    "SlaveConnectionProxy.disconnect": lambda home: home.connection.disconnect(),
    "SlaveConnectionProxy.close": lambda home: home.connection.close(),
    "SlaveConnectionProxy.new_task": lambda home: home.connection.new_task(SUM),
    "SlaveConnectionProxy.__aenter__": lambda home: home.idle.__aenter__(),
    "SlaveConnectionProxy.__aexit__": lambda home: home.connection.__aexit__(None, None, None),
    "Task.start": lambda home: home.task.start(),
    "Task.join": lambda home: home.task.join(),
    "Task.get": lambda home: home.task.get(),
    "Task.on_complete": lambda home: home.done.on_complete(print),
    "Task.on_fail": lambda home: home.task.on_fail(print),
    "SlavePool": lambda home: aio.SlavePool(home.master),
    "SlavePool.submit": lambda home: home.pool.submit(SUM),
    "SlavePool.map": lambda home: consume(home.pool.map([SUM])),
    "SlavePool.close": lambda home: home.pool.close(),
    "SlavePool.__aenter__": lambda home: home.pool.__aenter__(),
    "SlavePool.__aexit__": lambda home: home.pool.__aexit__(None, None, None),
}
# What reads, or comes from a loop of its own: asyncio itself refuses a future of another loop.
HARMLESS = {
    "Task": {"adopt", "accept", "begin", "fail_to_start", "finish", "lose", "mark", "send", "watch", "withdraw"},
    "SlaveConnectionProxy": {"check_here", "hand_over", "recover", "send_now", "withdraw"},
}


def test_every_public_call_is_asked_here() -> None:
    for kind in (aio.Master, aio.SlaveConnectionProxy, aio.Task, aio.SlavePool):
        public = {
            name
            for name, member in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_") or name in ("__aenter__", "__aexit__")
        }
        asked = {name.partition(".")[2] for name in CALLS if name.startswith(f"{kind.__name__}.")}
        assert public - HARMLESS.get(kind.__name__, set()) <= asked, kind


async def outcome_of(call: Call, home: Home) -> Any:
    made = call(home)
    return await made if inspect.isawaitable(made) else made


@pytest.mark.parametrize("name", CALLS)
def test_a_call_on_another_loop_says_so(home: Home, name: str) -> None:
    async def main() -> None:
        with pytest.raises(
            RuntimeError, match="was started before" if name.endswith(("er.start", "er.__aenter__")) else SAYS_SO
        ):
            await asyncio.wait_for(outcome_of(CALLS[name], home), WAIT)

    asyncio.run(main())


@pytest.mark.parametrize("name", CALLS)
def test_a_call_on_another_loop_in_another_thread_says_so(home: Home, name: str) -> None:
    def elsewhere() -> None:
        asyncio.run(asyncio.wait_for(outcome_of(CALLS[name], home), WAIT))

    async def main() -> None:
        with pytest.raises(
            RuntimeError, match="was started before" if name.endswith(("er.start", "er.__aenter__")) else SAYS_SO
        ):
            await asyncio.to_thread(elsewhere)

    home.loop.run_until_complete(main())


@pytest.mark.parametrize("name", ["SlavePool.submit", "SlaveConnectionProxy.new_task", "Task.on_complete"])
def test_a_call_without_a_loop_says_so(home: Home, name: str) -> None:
    with pytest.raises(RuntimeError, match=SAYS_SO):
        CALLS[name](home)


def test_a_loop_that_is_closed_is_named(slave: Worker) -> None:
    async def whole() -> aio.Master:
        async with aio.Master("127.0.0.1", 0, channel=CHANNEL) as master:
            return master

    master = asyncio.run(whole())
    with pytest.raises(RuntimeError, match="is closed: use `async with`"):
        asyncio.run(master.ping())


def test_what_was_made_before_the_start_may_come_from_another_loop(slave: Worker) -> None:
    master = aio.Master("127.0.0.1", 0, channel=CHANNEL)

    async def before() -> aio.Task:
        return master.new_connection("conn", "127.0.0.1", slave.port).new_task(SUM)

    async def main(task: aio.Task) -> None:
        called = asyncio.Event()
        async with master:
            connection: Any = task._road
            await connection.connect()
            task.on_complete(lambda data, result: called.set())
            await task.start()
            await task.join(WAIT)
            await asyncio.wait_for(called.wait(), WAIT)

    asyncio.run(main(asyncio.run(before())))
