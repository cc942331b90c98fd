"""The hooks of new_task, and what gets to the `_error_*` hooks: their row of the facade's table."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from interaction import Master, RequestException, SlaveConnectionProxy, TaskRefuse, TaskStatus
from interaction.exception import SlaveErrorCode, SlaveTaskRefused
from tests.contract.conftest import MakeMaster, MakeSlave, SlaveProcess, Worker, plain_and_aio

facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)
WAIT = 10.0


def test_before_new_task_makes_the_data_that_is_sent(make_master: MakeMaster, slave: Worker) -> None:
    class Doubling(Master):
        def _before_new_task(self, data: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
            assert data is not None
            return {key: 2 * value for key, value in data.items()}

    with make_master(Doubling).new_connection("conn", "127.0.0.1", slave.port) as connection:
        calls: list[Any] = []
        task = connection.new_task({"a": 1, "b": 2}).on_complete(lambda data, _: calls.append(data))
        assert task.start().join(WAIT).result == {"sum": 6}
        assert task.task == {"a": 1, "b": 2}
        assert calls == [{"a": 1, "b": 2}]


def test_before_new_task_may_make_a_mapping_of_anything(make_master: MakeMaster, slave: Worker) -> None:
    class Packing(Master):
        def _before_new_task(self, data: Any = None) -> Mapping[str, Any]:
            return {"echo": data}

    with make_master(Packing).new_connection("conn", "127.0.0.1", slave.port) as connection:
        assert connection.new_task([1, 2]).start().join(WAIT).result == [1, 2]  # type: ignore[arg-type]


def test_an_exception_in_before_new_task_cancels_the_request(make_master: MakeMaster, slave: Worker) -> None:
    class Careful(Master):
        def _before_new_task(self, data: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
            raise LookupError("not today")

    with make_master(Careful).new_connection("conn", "127.0.0.1", slave.port) as connection:
        task = connection.new_task({})
        with pytest.raises(LookupError, match="not today"):
            task.start()
        assert task.join(1).status is TaskStatus.START_FAILED
    assert slave.ran == []


def test_start_returns_what_after_new_task_returns_unless_that_is_none(
    make_master: MakeMaster, make_slave: MakeSlave
) -> None:
    calls: list[tuple[Any, ...]] = []

    class Counting(Master):
        def _after_new_task(self, *arguments: Any) -> Any:
            calls.append(arguments)
            return {"number": len(calls)} if len(calls) < 2 else None

    class Talking(Worker):
        def _before_task(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
            return {"taken": data}

    with make_master(Counting).new_connection("conn", "127.0.0.1", make_slave(Talking).port) as connection:
        task = connection.new_task({"a": 1, "b": 2})
        assert task.start() == {"number": 1}
        assert task.join(WAIT).result == {"sum": 3}
        second = connection.new_task({"a": 1, "b": 2})
        assert second.start() is second
    status_code, success, code, message, data = calls[0]
    assert (status_code, success, code, data) == (200, True, SlaveErrorCode.SUCCESS, {"taken": {"a": 1, "b": 2}})
    assert message


def test_an_exception_in_an_after_hook_reaches_the_caller_and_the_task_goes_on(
    make_master: MakeMaster, slave: Worker
) -> None:
    class Broken(Master):
        def _after_new_task(self, *arguments: Any) -> Any:
            raise LookupError("a bug in a hook")

    with make_master(Broken).new_connection("conn", "127.0.0.1", slave.port) as connection:
        task = connection.new_task({"a": 1, "b": 2})
        with pytest.raises(LookupError, match="a bug in a hook"):
            task.start()
        assert task.join(WAIT).result == {"sum": 3}


class Recording(Master):
    """Keeps every error that gets to a hook, and answers with its name."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.errors: list[tuple[str, RequestException]] = []

    def _error_connect(self, error: RequestException) -> Any:
        self.errors.append(("connect", error))
        return "no connection"

    def _error_disconnect(self, error: RequestException) -> Any:
        self.errors.append(("disconnect", error))
        return "no disconnection"

    def _error_new_task(self, error: RequestException) -> Any:
        self.errors.append(("new_task", error))
        return "no task"


def test_a_refusal_never_gets_to_an_error_hook(make_master: MakeMaster, make_slave: MakeSlave) -> None:
    class Picky(Worker):
        def _before_task(self, data: Mapping[str, Any]) -> None:
            raise TaskRefuse({"picky": True})

    master = make_master(Recording)
    with master.new_connection("conn", "127.0.0.1", make_slave(Picky).port) as connection:
        task = connection.new_task({})
        with pytest.raises(SlaveTaskRefused) as caught:
            task.start()
        assert (caught.value.status_code, caught.value.data) == (403, {"picky": True})
        assert task.join(1).status is TaskStatus.START_FAILED
    assert master.errors == []


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port that takes connections, and says nothing on them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_nobody_there(make_master: MakeMaster, closed_port: int) -> None:
    master = make_master(Master)
    connection = master.new_connection("conn", "127.0.0.1", closed_port)
    begun = time.monotonic()
    with pytest.raises(RequestException, match=str(closed_port)) as caught:
        connection.connect()
    assert time.monotonic() - begun < 5
    assert isinstance(caught.value, OSError)
    assert caught.value.code == "UNAVAILABLE"
    assert not connection.is_connected
    assert "conn" not in master


def test_an_overridden_error_hook_gets_the_error_and_its_answer_is_returned(
    make_master: MakeMaster, closed_port: int
) -> None:
    master = make_master(Recording)
    connection = master.new_connection("conn", "127.0.0.1", closed_port)
    assert connection.connect() == "no connection"
    assert [(name, type(error)) for name, error in master.errors] == [("connect", RequestException)]
    assert not connection.is_connected
    master.new_connection("conn", "127.0.0.1", closed_port)  # the name is free again


def test_retries_are_counted_and_waited_for(make_master: MakeMaster, closed_port: int) -> None:
    def seconds(retries: int) -> float:
        master = make_master(Recording, request_retries=retries, request_retry_waiting=0.3)
        begun = time.monotonic()
        master.new_connection("conn", "127.0.0.1", closed_port).connect()
        return time.monotonic() - begun

    assert seconds(0) < 0.3  # 0 means 0
    assert 0.9 <= seconds(3) < 5


def test_a_black_hole_ends_within_the_deadline(make_master: MakeMaster, black_hole: int) -> None:
    master = make_master(Recording, request_timeout=1.0, request_retries=5)
    begun = time.monotonic()
    assert master.new_connection("conn", "127.0.0.1", black_hole).connect() == "no connection"
    assert time.monotonic() - begun < 4
    assert master.errors[0][1].code in ("DEADLINE_EXCEEDED", "UNAVAILABLE")


def test_a_peer_that_speaks_something_else_is_a_transport_failure(make_master: MakeMaster) -> None:
    import http.server
    import threading

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            master = make_master(Recording, request_timeout=2.0)
            assert master.new_connection("conn", "127.0.0.1", server.server_port).connect() == "no connection"
        finally:
            server.shutdown()
            thread.join()


def test_a_frozen_slave_ends_every_request_within_the_deadline(
    make_master: MakeMaster, slave_process: Callable[..., SlaveProcess]
) -> None:
    process = slave_process()
    master = make_master(Recording, request_timeout=1.0)
    connection = master.new_connection("conn", "127.0.0.1", process.port)
    connection.connect()
    process.send(signal.SIGSTOP)

    def seconds(call: Callable[[], Any], answer: str) -> float:
        begun = time.monotonic()
        assert call() == answer
        return time.monotonic() - begun

    task = connection.new_task({"a": 1, "b": 2})
    assert seconds(task.start, "no task") < 4
    assert task.join(1).status is TaskStatus.START_FAILED
    assert isinstance(task.error, RequestException)
    assert seconds(connection.disconnect, "no disconnection") < 4
    assert connection.is_connected  # until it is known to be lost
    process.send(signal.SIGCONT)
    assert [name for name, _ in master.errors] == ["new_task", "disconnect"]
    assert {error.code for _, error in master.errors} == {"DEADLINE_EXCEEDED"}


def test_start_returns_the_task_where_an_error_hook_returns_none(
    make_master: MakeMaster, slave_process: Callable[..., SlaveProcess]
) -> None:
    class Quiet(Master):
        def _error_new_task(self, error: RequestException) -> Any:
            return None

    process = slave_process()
    connection: SlaveConnectionProxy = make_master(Quiet, request_timeout=0.5).new_connection(
        "conn", "127.0.0.1", process.port
    )
    connection.connect()
    process.send(signal.SIGSTOP)
    task = connection.new_task({})
    assert task.start() is task
    assert task.join(1).status is TaskStatus.START_FAILED
