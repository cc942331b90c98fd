"""A task ends, and says why, whatever its result, its exception or the answer of a hook does when it is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from queue import Queue
from typing import Any

import pytest

from interaction import Master, SlaveConnectionProxy, Task, TaskStatus
from interaction.exception import (
    LossReason,
    ResponseException,
    SlaveSlaveConnectionRefused,
    SlaveSlaveDisconnectionRefused,
    SlaveTaskRefused,
    TaskFailed,
)
from tests.contract.broken_slave import ERRORS, REFUSED, RESULTS, Broken, Mute, Quit
from tests.contract.conftest import CHANNEL, MakeMaster, MakePool, MakeSlave, SlaveProcess, Worker

WAIT = 20.0
both_facades = pytest.mark.parametrize("facade", ["plain", "aio"])


@pytest.fixture(params=["thread", "process"], scope="module")
def broken(request: pytest.FixtureRequest) -> Iterator[Broken]:
    slave = Broken("127.0.0.1", 0, channel=CHANNEL, pacemaker=False, isolation=request.param)
    slave.start()
    try:
        yield slave
    finally:
        slave.close()


@pytest.fixture
def connection(master: Master, broken: Broken) -> Iterator[SlaveConnectionProxy]:
    with master.new_connection("conn", "127.0.0.1", broken.port) as connection:
        yield connection


def do(connection: SlaveConnectionProxy, data: Mapping[str, Any]) -> Task:
    task: Task = connection.new_task(data).start().join(WAIT)
    return task


def failed(connection: SlaveConnectionProxy, data: Mapping[str, Any]) -> TaskFailed:
    task = do(connection, data)
    assert task.status is TaskStatus.FAILED
    assert isinstance(task.error, TaskFailed)
    assert do(connection, {}).result == {"well": True}, "the slot is not free"
    return task.error


RESULT_TEXTS = {
    "a released memoryview": ("ValueError", "released memoryview"),
    "a mapping that changes": ("RuntimeError", "changed size during iteration"),
    "a lazy mapping": ("ValueError", "I/O operation on closed file"),
    "a lazy mapping, and no Exception": ("Quit", "the pool is gone"),
    "an array without memory": ("MemoryError", "8 TiB"),
    "an exit": ("SystemExit", "3"),
}
ERROR_TEXTS = {
    "a template's SyntaxError": ("SyntaxError", "bad"),
    "no text": ("Mute", "str() of it raises ValueError"),
    "no text, and no Exception": ("Mute", "str() of it raises Quit"),
    "no Exception": ("Quit", "enough"),
    "no Exception and no text": ("Silent", "str() of it raises ZeroDivisionError"),
    "an exit": ("SystemExit", "3"),
    "an interrupt": ("KeyboardInterrupt", ""),
    "half a character": ("ValueError", "\N{GRINNING FACE} and ?"),
    "a long one": ("ValueError", "x" * 1000),
    "no result": ("OSError", "the result can't be written: the file is closed"),
    "no message": ("TaskFail", "str() of it raises Quit"),
}


@pytest.mark.parametrize("give", RESULTS)
def test_a_result_that_raises_when_it_is_written_fails_its_task_and_says_why(
    connection: SlaveConnectionProxy, give: str
) -> None:
    error = failed(connection, {"give": give})
    kind, text = RESULT_TEXTS[give]
    assert error.type == kind
    assert error.message.startswith("the result can't be written: ")
    assert text in error.message
    assert "payload.py" in error.traceback


@pytest.mark.parametrize("what", ERRORS)
def test_an_exception_that_raises_when_it_is_told_fails_its_task_all_the_same(
    connection: SlaveConnectionProxy, what: str
) -> None:
    error = failed(connection, {"raise": what})
    kind, text = ERROR_TEXTS[what]
    assert error.type == kind
    assert text in error.message
    assert kind == "TaskFail" or "broken_slave.py" in error.traceback


def test_an_exception_with_more_text_than_a_message_takes_tells_its_beginning(
    make_master: MakeMaster, broken: Broken
) -> None:
    master = make_master(Master, max_message_bytes=100_000)
    with master.new_connection("conn", "127.0.0.1", broken.port) as connection:
        error = failed(connection, {"raise": "a long one"})
        assert error.type == "ValueError"
        assert error.message.startswith("xxxx")


def test_what_a_hook_returns_is_read_where_it_ran_and_refuses_the_task_where_that_raises(
    connection: SlaveConnectionProxy,
) -> None:
    for answer, (kind, text) in RESULT_TEXTS.items():
        if answer == "a released memoryview":  # no mapping, and so not for the master
            continue
        with pytest.raises(SlaveTaskRefused) as caught:
            connection.new_task({"answer": answer}).start()
        assert kind in caught.value.message
        assert text in caught.value.message
    assert do(connection, {}).result == {"well": True}


@pytest.mark.parametrize("what", [*REFUSED, *ERRORS])
def test_a_refusal_that_raises_when_it_is_told_refuses_all_the_same(master: Master, broken: Broken, what: str) -> None:

    def raises(refusal: type[ResponseException]) -> Any:
        return pytest.raises(refusal, match="left out: (I/O|the pool)" if what in REFUSED else None)

    connection = master.new_connection("conn", "127.0.0.1", broken.port)
    with connection:
        with raises(SlaveTaskRefused):
            connection.new_task({"refuse": what}).start()
        assert do(connection, {}).result == {"well": True}


class Asking(Master):
    """Gives the slave's hooks what the test says."""

    told: Mapping[str, Any] | None = None

    def _before_connect(self) -> Any:
        return self.told

    _before_disconnect = _before_connect


@pytest.mark.parametrize("what", [*REFUSED, *ERRORS])
def test_so_do_those_of_a_connection_and_of_a_disconnection(make_master: MakeMaster, broken: Broken, what: str) -> None:
    master = make_master(Asking)
    connection = master.new_connection("conn", "127.0.0.1", broken.port)
    master.told = {"refuse": what}
    with pytest.raises(SlaveSlaveConnectionRefused):
        connection.connect()
    master.told = None
    connection.connect()
    master.told = {"refuse": what}
    with pytest.raises(SlaveSlaveDisconnectionRefused):
        connection.disconnect()
    master.told = None
    assert do(connection, {}).result == {"well": True}
    connection.disconnect()


def test_an_answer_to_connect_that_raises_when_it_is_read_refuses_the_connection(
    make_master: MakeMaster, broken: Broken
) -> None:
    master = make_master(Asking)
    connection = master.new_connection("conn", "127.0.0.1", broken.port)
    master.told = {"lazy": True}
    with pytest.raises(SlaveSlaveConnectionRefused, match="Quit: not at your place"):
        connection.connect()
    master.told = None
    with connection:  # there is no session that nobody has
        assert do(connection, {}).result == {"well": True}


@both_facades
@pytest.mark.parametrize("what", ERRORS)
def test_a_callback_that_raises_what_cant_be_told_disturbs_no_other(
    facade: str, master: Master, make_slave: MakeSlave, what: str
) -> None:
    def callback(*_: Any) -> None:
        raise ERRORS[what]()

    with master.new_connection("conn", "127.0.0.1", make_slave(Worker).port) as connection:
        for _ in range(2):
            called: list[Any] = []
            task = connection.new_task({"a": 1, "b": 2}).on_complete(callback)
            task.on_complete(lambda *result, called=called: called.append(result))
            assert task.start().join(WAIT).status is TaskStatus.COMPLETED
            assert called == [({"a": 1, "b": 2}, {"sum": 3})]


@pytest.mark.parametrize("what", ERRORS)
def test_so_does_a_callback_of_a_pools_future(
    master: Master, make_slave: MakeSlave, make_pool: MakePool, what: str
) -> None:
    def callback(_: Any) -> None:
        raise ERRORS[what]()

    with master.new_connection("conn", "127.0.0.1", make_slave(Worker).port):
        pool = make_pool(master)
        for _ in range(2):
            called: Queue[Any] = Queue()
            future = pool.submit({"a": 1, "b": 2})
            future.add_done_callback(callback)
            future.add_done_callback(called.put)
            assert called.get(timeout=WAIT).result() == {"sum": 3}


@both_facades
def test_so_does_the_masters_hook_of_a_lost_slave(
    facade: str, make_master: MakeMaster, slave_process: Callable[..., SlaveProcess]
) -> None:
    lost: Queue[str] = Queue()

    class Losing(Master):
        def _lost_slave(self, name: str, reason: LossReason) -> None:
            lost.put(name)
            raise Mute(Quit("no word"))

    master = make_master(Losing)
    for name in ("one", "other"):
        process = slave_process()
        master.new_connection(name, "127.0.0.1", process.port).connect()
        process.kill()
        assert lost.get(timeout=WAIT) == name


def test_hooks_of_the_slave_that_raise_what_cant_be_told_disturb_no_other(
    make_master: MakeMaster, make_slave: MakeSlave
) -> None:
    class Losing(Worker):
        def _lost_connection(self, master_address: str, error: Exception) -> None:
            super()._lost_connection(master_address, error)
            raise Mute(Quit("no word"))

    slave = make_slave(Losing)
    for number in range(2):
        slave.lost_connection.clear()
        master = make_master(Master)
        master.new_connection("conn", "127.0.0.1", slave.port).connect()
        master.close()
        assert slave.lost_connection.wait(WAIT)
        assert len(slave.lost) == number + 1
