"""Mistakes that did nothing, and said nothing: each is told where it is made, with what to do about it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Callable, Generator, Mapping
from typing import Any

import pytest

from interaction import Master, Slave, SlaveConnectionProxy, SlavePool, TaskFail, TaskRefuse, aio
from interaction.core.model import Body
from interaction.exception import MasterChannelInvalid, SlaveChannelInvalid, SlaveTaskRefused
from interaction.rpc.guard import BY_MASTER, BY_SLAVE, Guard, Refusals
from interaction.rpc.metadata import Credentials
from tests.contract.conftest import CHANNEL, MakeMaster, MakeSlave, Worker
from tests.contract.slave_programs import WAIT
from tests.contract.test_coroutine_functions import MASTER_HOOKS, SLAVE_HOOKS

# A join() before start(), which returns at once, as it is documented.


class Idle(Slave):
    def _process_task(self, task: Any) -> Any:
        return task


FACADES: dict[str, Callable[[], Any]] = {
    "Idle": lambda: Idle("127.0.0.1", 0),
    "Master": lambda: Master("127.0.0.1", 0),
    "aio": lambda: aio.Master("127.0.0.1", 0),
}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def finished(said: object) -> None:
    if inspect.isawaitable(said):
        await asyncio.wait_for(said, WAIT)


@pytest.mark.parametrize("name", FACADES)
def test_join_before_start_returns_at_once_and_the_log_says_why(name: str, caplog: pytest.LogCaptureFixture) -> None:
    facade = FACADES[name]()
    asyncio.run(finished(facade.join()))
    (told,) = warnings(caplog)
    kind = type(facade).__name__
    assert told.startswith(f"{kind}.join() returns at once: this {kind} has not been started; call ")
    assert ("await start()" if name == "aio" else "start()") in told


@pytest.mark.parametrize("name", FACADES)
def test_close_before_start_is_no_mistake(name: str, caplog: pytest.LogCaptureFixture) -> None:
    asyncio.run(finished(FACADES[name]().close()))
    assert warnings(caplog) == []


@pytest.mark.parametrize("name", ["Idle", "Master"])
def test_join_after_the_end_is_no_mistake(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with FACADES[name]() as facade:
        pass
    facade.join()
    assert warnings(caplog) == []


# A pool's constructor that is left out.


class ForgetfulPool(SlavePool):
    def __init__(self) -> None:
        self.mine = 1


class ForgetfulAioPool(aio.SlavePool):
    def __init__(self) -> None:
        self.mine = 1


USES: dict[str, Callable[[Any], object]] = {
    "submit": lambda pool: pool.submit({}),
    "map": lambda pool: first_of(pool.map([{}])),
    "close": lambda pool: pool.close(),
    "close at once": lambda pool: pool.close(wait=False),
    "len": len,
    "places": lambda pool: pool.places,
    "leave": lambda pool: pool.__exit__(None, None, None),
    "leave with": lambda pool: pool.__aexit__(None, None, None),
}


def first_of(results: Any) -> object:
    return next(results) if hasattr(results, "__next__") else anext(results)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("kind", [ForgetfulPool, ForgetfulAioPool])
def test_a_pool_whose_constructor_forgets_that_of_the_facade_says_so(kind: type[Any], use: str) -> None:
    if (kind is ForgetfulPool) is (use == "leave with") and use.startswith("leave"):
        return  # the other one's

    async def main() -> None:
        await finished(USES[use](kind()))

    sentence = rf"^{kind.__name__}\.__init__\(\) has not called super\(\)\.__init__\(\), which takes the master"
    with pytest.raises(RuntimeError, match=sentence):
        asyncio.run(main())


def test_a_pool_may_be_subclassed(connection: SlaveConnectionProxy, master: Master) -> None:
    class Mine(SlavePool):
        def __init__(self, master: Master) -> None:
            self.mine = 1
            super().__init__(master)

    mine = Mine(master)
    with mine as pool:
        assert pool.submit({"a": mine.mine, "b": 2}).result(WAIT) == {"sum": 3}


class NoDisk(TaskFail):
    def __init__(self, disk: str) -> None:
        self.disk = disk


class NoRoom(TaskRefuse):
    def __init__(self, disk: str) -> None:
        self.disk = disk


def test_a_failure_or_refusal_of_the_users_own_needs_not_call_the_constructor(
    make_slave: MakeSlave, master: Master, caplog: pytest.LogCaptureFixture
) -> None:
    class Full(Worker):
        def _before_task(self, data: Mapping[str, Any]) -> None:
            if "refuse" in data:
                raise NoRoom("sda")

        def _process_task(self, task: Mapping[str, Any]) -> Any:
            raise NoDisk("sda")

    with master.new_connection("conn", "127.0.0.1", make_slave(Full).port) as connection:
        task = connection.new_task({}).start().join(WAIT)
        assert (str(task.error), task.result) == ("TaskFail: the task has failed", {})
        with pytest.raises(SlaveTaskRefused, match=r"^the slave refuses the task$") as said:
            connection.new_task({"refuse": True}).start()
        assert said.value.data == {}
    assert warnings(caplog) == []


# Retries of failures, of which there are none.


@pytest.mark.parametrize("wanted", [True, ValueError, "OutOfMemoryError", (ConnectionError, "E")])
def test_failures_that_are_to_be_done_again_need_retries(master: Master, wanted: Any) -> None:
    with pytest.raises(ValueError, match=r"^retry_failed=.* while retries is 0: .*retries=1"):
        SlavePool(master, retry_failed=wanted)
    with SlavePool(master, retry_failed=wanted, retries=1), SlavePool(master, retry_failed=()):
        pass

    async def main() -> None:
        async with aio.Master("127.0.0.1", 0) as other:
            with pytest.raises(ValueError, match="retries=1"):
                aio.SlavePool(other, retry_failed=wanted)

    asyncio.run(main())


# Functions with `yield`, of which not a line is run.


def with_yield(*arguments: Any) -> Generator[None, None, None]:
    raise AssertionError("nobody iterates over it")
    yield None


class Called:
    def __call__(self, *arguments: Any) -> Generator[None, None, None]:
        yield None


KINDS: dict[str, Any] = {
    "def": with_yield,
    "partial": functools.partial(with_yield, 1),
    "an object": Called(),
    "a static method": staticmethod(with_yield),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("facade", "hook"),
    [(Worker, hook) for hook in SLAVE_HOOKS] + [(kind, hook) for kind in (Master, aio.Master) for hook in MASTER_HOOKS],
)
def test_nobody_is_made_with_a_hook_that_yields(facade: type[Any], hook: str, kind: str) -> None:
    learner = type("Learner", (facade,), {hook: KINDS[kind]})
    with pytest.raises(TypeError, match=rf"Learner\.{hook} is a generator function.*iterates.*without yield"):
        learner("127.0.0.1", 0)


def test_a_callback_that_yields_is_refused(connection: SlaveConnectionProxy, master: Master) -> None:
    task = connection.new_task({"a": 1, "b": 2})
    with SlavePool(master) as pool:
        future = pool.submit({"a": 1, "b": 2})
        for add in (task.on_complete, task.on_fail, future.add_done_callback):
            with pytest.raises(TypeError, match=r"with_yield is a generator function.*without yield"):
                add(with_yield)
        assert future.result(WAIT) == {"sum": 3}


def test_callbacks_of_asyncio_that_yield_are_refused(slave: Worker) -> None:
    async def main() -> None:
        async with aio.Master("127.0.0.1", 0, channel=CHANNEL) as master:
            await master.new_connection("conn", "127.0.0.1", slave.port).connect()
            task = master["conn"].new_task({"a": 1, "b": 2})
            async with aio.SlavePool(master) as pool:
                future = pool.submit({"a": 1, "b": 2})
                for add in (task.on_complete, task.on_fail, future.add_done_callback):
                    with pytest.raises(TypeError, match=r"with_yield is a generator function.*without yield"):
                        add(with_yield)
                assert await asyncio.wait_for(future, WAIT) == {"sum": 3}

    asyncio.run(main())


def test_a_hook_that_returns_a_generator_refuses_rather_than_passes(make_slave: MakeSlave, master: Master) -> None:
    class Hiding(Worker):
        def _before_task(self, data: Mapping[str, Any]) -> Any:
            return with_yield()

    slave = make_slave(Hiding)
    with (
        master.new_connection("conn", "127.0.0.1", slave.port) as connection,
        pytest.raises(SlaveTaskRefused, match="has returned a generator, and nobody iterates over it"),
    ):
        connection.new_task({"a": 1, "b": 2}).start()
    assert slave.ran == []


# Another channel.


def test_a_refused_channel_is_named_with_the_place_where_it_is_given(
    make_master: MakeMaster, make_slave: MakeSlave
) -> None:
    slave = make_slave(Worker, channel=4711)
    with pytest.raises(SlaveChannelInvalid) as said:
        make_master(Master, channel=8).new_connection("conn", "127.0.0.1", slave.port).connect()
    assert "'8'" in said.value.message
    assert "Slave(channel=)" in said.value.message
    assert "4711" not in said.value.message  # which the caller did not send


@pytest.mark.parametrize("refusals", [BY_SLAVE, BY_MASTER], ids=["slave", "master"])
def test_whatever_is_sent_as_a_channel_is_told_in_bounds(refusals: Refusals) -> None:
    class Open:
        closing = False

        def admit(self, method: str, token: str, previous: str | None) -> Body:
            raise AssertionError("it is refused before")

    guard = Guard("a", 4711, refusals, Open())
    with pytest.raises((SlaveChannelInvalid, MasterChannelInvalid)) as said:
        guard._check(Credentials("9\n" * 8000, "t" * 43, None))
    assert len(said.value.message) < 200
    assert "\n" not in said.value.message
    assert "4711" not in said.value.message
