"""Ctrl-C at any line of any public call, caught by a script that goes on: what is called next works."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from interaction import Master, RequestException, SlaveConnectionProxy, SlavePool, Task, TaskStatus
from interaction.exception import ResponseException
from tests.contract.conftest import CHANNEL, MakeMaster, MakeSlave, Worker
from tests.contract.interrupting import interrupted_at

# An interrupt before a coroutine is handed to the loop leaves it unused, which Python says.
pytestmark = [pytest.mark.filterwarnings("ignore:coroutine .* was never awaited"), pytest.mark.timeout(120)]
WAIT = 20.0
DATA = {"a": 1, "b": 2}
SUM = {"sum": 3}


class Scene:
    """One master, connected to a slave with many places, and a pool."""

    def __init__(self, master: Master, slave: Worker, stack: ExitStack) -> None:
        self.master = master
        self.slave = slave
        self.connection = master.new_connection("first", "127.0.0.1", slave.port)
        self.connection.connect()
        self.pool = SlavePool(master)
        stack.callback(self.pool.close)
        self.tasks: list[Task] = []  # that a call has begun with

    def task(self) -> Task:
        task = self.connection.new_task(DATA)
        self.tasks.append(task)
        return task

    def check(self) -> None:
        """All that was begun ends, and what is called next works."""
        for task in self.tasks:
            if task.status is not TaskStatus.IDLE:
                task.join(WAIT)
        self.tasks.clear()
        called = threading.Event()
        task = self.connection.new_task(DATA).on_complete(lambda *_: called.set())
        assert task.start().join(WAIT).result == SUM
        assert called.is_set()
        assert self.pool.submit(DATA).result(WAIT) == SUM
        self.master.ping()


@pytest.fixture
def stack_of_pools() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def scene(make_master: MakeMaster, make_slave: MakeSlave, stack_of_pools: ExitStack) -> Scene:
    return Scene(make_master(), make_slave(slots=4, backlog=1000), stack_of_pools)


def every_line(call: Callable[[], object], check: Callable[[], object]) -> int:
    number = 1
    while interrupted_at(number, call):
        check()
        number += 1
    elsewhere = threading.Thread(target=check)  # for no lock is left with this thread, which it alone could take again
    elsewhere.start()
    elsewhere.join(WAIT)
    assert not elsewhere.is_alive()
    return number - 1


def start_and_join(scene: Scene) -> None:
    scene.task().start().join(WAIT)


def hear_of_an_end(scene: Scene) -> None:
    task = scene.task().start()
    task.on_complete(lambda *_: None)
    task.join(WAIT).on_complete(lambda *_: None).on_fail(lambda *_: None)


def submit(scene: Scene) -> None:
    scene.pool.submit(DATA).result(WAIT)


def hear_of_a_future(scene: Scene) -> None:
    future = scene.pool.submit(DATA)
    future.add_done_callback(lambda _: None)
    future.result(WAIT)
    future.add_done_callback(lambda _: None)


def cancel(scene: Scene) -> None:
    future = scene.pool.submit(DATA)
    if not future.cancel():
        future.result(WAIT)


def map_in_order(scene: Scene) -> None:
    assert list(scene.pool.map([DATA] * 3)) == [SUM] * 3


def map_as_completed(scene: Scene) -> None:
    assert list(scene.pool.map([DATA] * 3, ordered=False)) == [SUM] * 3


def a_pool_of_its_own(scene: Scene) -> None:
    with SlavePool(scene.master) as pool:
        pool.submit(DATA)


def a_pool_that_is_not_waited_for(scene: Scene) -> None:
    pool = SlavePool(scene.master)
    pool.submit(DATA)
    pool.close(wait=False)


def look(scene: Scene) -> None:
    task = scene.task().start()
    scene.master.ping()  # where the machine is busy it may come too late
    assert "first" in scene.master
    assert scene.master["first"] is scene.connection
    assert task.id
    scene.master.task(task.id).join(WAIT)


CALLS = [
    start_and_join,
    hear_of_an_end,
    submit,
    hear_of_a_future,
    cancel,
    map_in_order,
    map_as_completed,
    a_pool_of_its_own,
    a_pool_that_is_not_waited_for,
    look,
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_whoever_is_interrupted_goes_on(call: Callable[[Scene], None], scene: Scene) -> None:
    assert every_line(lambda: call(scene), scene.check) > 10


def until_connected(connection: SlaveConnectionProxy) -> None:
    """The slave of a session whose opening was interrupted is free as soon as it knows."""
    deadline = time.monotonic() + WAIT
    while True:
        try:
            connection.connect()
        except (ResponseException, RequestException):
            assert time.monotonic() < deadline
        else:
            return


def connect_and_disconnect(connection: SlaveConnectionProxy) -> None:
    connection.connect()
    connection.disconnect()


def with_a_connection(connection: SlaveConnectionProxy) -> None:
    with connection:
        assert connection.is_connected


@pytest.mark.parametrize("call", [connect_and_disconnect, with_a_connection], ids=lambda call: call.__name__)
def test_whoever_is_interrupted_as_a_session_begins_or_ends_can_begin_another(
    call: Callable[[SlaveConnectionProxy], None], make_master: MakeMaster, make_slave: MakeSlave
) -> None:
    master: Master = make_master(request_retries=0)
    slave: Worker = make_slave()
    connection = master.new_connection("first", "127.0.0.1", slave.port)

    def again() -> None:
        connection.close()
        until_connected(connection)
        assert connection.new_task(DATA).start().join(WAIT).result == SUM
        connection.close()

    assert every_line(lambda: call(connection), again) > 10


@pytest.fixture
def port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def start_and_close(service: Master | Worker) -> None:
    service.start()
    service.close()


def start_and_shut_down(service: Master | Worker) -> None:
    service.start()
    service.shutdown()
    service.join()


def drain(service: Master | Worker) -> None:
    assert isinstance(service, Worker)
    service.start()
    service.drain()


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (Master, start_and_close),
        (Master, start_and_shut_down),
        (Worker, start_and_close),
        (Worker, start_and_shut_down),
        (Worker, drain),
    ],
)
def test_whoever_is_interrupted_as_a_service_starts_or_ends_closes_it_and_its_port_is_free(
    kind: type[Any], call: Callable[[Master | Worker], None], port: int
) -> None:
    options = {"pacemaker": False} if kind is Worker else {}
    services: list[Master | Worker] = []

    def begin() -> None:
        service = kind("127.0.0.1", port, channel=CHANNEL, **options)
        services.append(service)
        call(service)

    def again() -> None:
        for service in services:
            service.close()
        services.clear()
        with kind("127.0.0.1", port, channel=CHANNEL, **options) as next_one:
            assert next_one.port == port

    assert every_line(begin, again) > 10
