"""Tasks: the rows `connection.new_task(data)` and `Task.status ... on_fail(f)` of the facade's table."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from interaction import Master, SlaveConnectionProxy, TaskStatus
from interaction.exception import PayloadError, PayloadTooLarge, SlaveTaskAlreadyExist, TaskFailed
from tests.contract.conftest import MakeMaster, MakeSlave, Worker, plain_and_aio, without_and_with_a_journal

master_options = pytest.fixture(params=[False, True], ids=["", "journal"])(without_and_with_a_journal)


facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)
WAIT = 10.0


def test_the_values_of_the_statuses_are_di_engines() -> None:
    assert {status.name: status.value for status in TaskStatus} == {
        "IDLE": 0x00,
        "STARTING": 0x11,
        "STARTED": 0x12,
        "START_FAILED": 0x13,
        "COMPLETED": 0x21,
        "FAILED": 0x22,
        "LOST": 0x23,
        "CANCELLED": 0x24,
    }


def test_a_task_from_its_making_to_its_end(connection: SlaveConnectionProxy, slave: Worker) -> None:
    data = {"wait": [1, {"two": None}]}
    task = connection.new_task(data)
    assert (task.status, task.task, task.result, task.error) == (TaskStatus.IDLE, data, None, None)
    assert str(uuid.UUID(task.id)) == task.id
    assert task.start() is task
    assert slave.running.wait(WAIT)
    assert (task.status, task.result, task.error) == (TaskStatus.STARTED, None, None)
    slave.go_on.set()
    assert task.join() is task
    assert (task.status, task.result, task.error) == (TaskStatus.COMPLETED, {"waited": [1, {"two": None}]}, None)


def test_nothing_is_sent_until_start(connection: SlaveConnectionProxy, slave: Worker) -> None:
    first = connection.new_task({"a": 1, "b": 1})
    connection.new_task({"a": 2, "b": 2}).start().join(WAIT)
    assert slave.ran == [{"a": 2, "b": 2}]
    first.start().join(WAIT)
    assert slave.ran == [{"a": 2, "b": 2}, {"a": 1, "b": 1}]


def test_starting_twice_is_a_valueerror(connection: SlaveConnectionProxy, slave: Worker) -> None:
    task = connection.new_task({"a": 1, "b": 2}).start()
    with pytest.raises(ValueError, match="started before"):
        task.start()
    task.join(WAIT)
    with pytest.raises(ValueError, match="started before"):
        task.start()
    assert len(slave.ran) == 1


def test_a_declared_failure(connection: SlaveConnectionProxy) -> None:
    task = connection.new_task({"a": 2, "bb": 3}).start().join(WAIT)
    assert (task.status, task.result) == (TaskStatus.FAILED, {"message": "ab not found"})
    assert isinstance(task.error, TaskFailed)
    assert (task.error.type, task.error.message) == ("TaskFail", "A or B not found in task data.")


def test_join_gives_up_after_its_timeout_and_the_task_goes_on(connection: SlaveConnectionProxy, slave: Worker) -> None:
    task = connection.new_task({"wait": 1}).start()
    with pytest.raises(TimeoutError, match=r"0\.05"):
        task.join(timeout=0.05)
    slave.go_on.set()
    assert task.join(WAIT).status is TaskStatus.COMPLETED


def test_join_before_start_waits_for_the_end(connection: SlaveConnectionProxy) -> None:
    task = connection.new_task({"a": 1, "b": 2})
    with pytest.raises(TimeoutError, match="IDLE"):
        task.join(0.05)
    joined: list[Any] = []
    thread = threading.Thread(target=lambda: joined.append(task.join(WAIT).result))
    thread.start()
    task.start()
    thread.join(WAIT)
    assert joined == [{"sum": 3}]


def test_a_second_task_is_refused_while_one_runs(connection: SlaveConnectionProxy, slave: Worker) -> None:
    calls: list[str] = []
    first = connection.new_task({"wait": 1}).start()
    assert slave.running.wait(WAIT)
    second = connection.new_task({"a": 1, "b": 2})
    second.on_complete(lambda *_: calls.append("complete")).on_fail(lambda *_: calls.append("fail"))
    with pytest.raises(SlaveTaskAlreadyExist) as caught:
        second.start()
    assert caught.value.status_code == 400
    assert second.join(1).status is TaskStatus.START_FAILED  # it returns
    assert second.error is caught.value
    slave.go_on.set()
    assert first.join(WAIT).status is TaskStatus.COMPLETED
    assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}
    assert calls == []


def test_callbacks_get_data_and_result_in_the_order_added_before_join_returns(connection: SlaveConnectionProxy) -> None:
    calls: list[Any] = []
    task = connection.new_task({"a": 2, "b": 3})
    chained = (
        task.on_complete(lambda data, result: calls.append(("first", data, result)))
        .on_fail(lambda data, result: calls.append("never"))
        .on_complete(lambda data, result: calls.append(("second", data, result)))
    )
    assert chained is task
    assert task.start().join(WAIT) is task
    expected = ({"a": 2, "b": 3}, {"sum": 5})
    assert calls == [("first", *expected), ("second", *expected)]


def test_on_fail_is_called_for_a_failure(connection: SlaveConnectionProxy) -> None:
    calls: list[Any] = []
    task = connection.new_task({"a": 2}).on_complete(lambda *_: calls.append("never"))
    task.on_fail(lambda data, result: calls.append((data, result))).start().join(WAIT)
    assert calls == [({"a": 2}, {"message": "ab not found"})]


def test_a_callback_added_after_the_end_is_called_once(connection: SlaveConnectionProxy) -> None:
    task = connection.new_task({"a": 2, "b": 3}).start().join(WAIT)
    calls: list[str] = []
    called = threading.Event()
    task.on_fail(lambda *_: calls.append("never"))
    task.on_complete(lambda *_: calls.append("late"))
    task.on_complete(lambda *_: called.set())
    assert called.wait(WAIT)
    assert calls == ["late"]


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug in a callback"), SystemExit(1)], ids=repr)
def test_a_callback_that_raises_is_logged_and_disturbs_nothing(
    connection: SlaveConnectionProxy, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    def broken(data: Mapping[str, Any], result: Any) -> None:
        raise error

    calls: list[str] = []
    task = connection.new_task({"a": 2, "b": 3}).on_complete(broken).on_complete(lambda *_: calls.append("next"))
    assert task.start().join(WAIT).status is TaskStatus.COMPLETED
    assert calls == ["next"]
    logged = [record for record in caplog.records if record.exc_info and record.levelno == logging.ERROR]
    assert [record.name for record in logged] == ["interaction.master"]
    assert task.id in logged[0].getMessage()
    assert connection.new_task({"a": 2, "b": 3}).start().join(WAIT).status is TaskStatus.COMPLETED


def test_a_callback_may_use_the_facade(connection: SlaveConnectionProxy, master: Master) -> None:
    results: list[Any] = []

    def follow(data: Mapping[str, Any], result: Any) -> None:
        assert master.ping()
        assert master["conn"] is connection
        again = connection.new_task({"a": result["sum"], "b": 1}).on_complete(lambda _, last: results.append(last))
        results.append(again.start().join(WAIT).result)

    done = threading.Event()
    task = connection.new_task({"a": 1, "b": 1}).on_complete(follow).on_complete(lambda *_: done.set())
    task.start().join(WAIT)
    assert results[0] == {"sum": 3}
    connection.new_task({"a": 0, "b": 0}).on_complete(lambda *_: None).start().join(WAIT)  # queues behind
    assert results == [{"sum": 3}, {"sum": 3}]


def test_a_callback_may_join_its_own_task(connection: SlaveConnectionProxy) -> None:
    joined: list[Any] = []
    task = connection.new_task({"a": 1, "b": 1})
    task.on_complete(lambda *_: joined.append(task.join(WAIT).result)).start().join(WAIT)
    assert joined == [{"sum": 2}]


def test_a_callback_may_disconnect(connection: SlaveConnectionProxy, master: Master) -> None:
    task = connection.new_task({"a": 1, "b": 1}).on_complete(lambda *_: connection.disconnect())
    task.start().join(WAIT)
    assert not connection.is_connected
    assert "conn" not in master


@pytest.mark.parametrize("wait", ["join", "close"])
def test_a_callback_that_would_wait_for_itself_gets_an_error(
    connection: SlaveConnectionProxy, master: Master, wait: str
) -> None:
    errors: list[BaseException] = []

    def close(data: Mapping[str, Any], result: Any) -> None:
        try:
            getattr(master, wait)()
        except RuntimeError as error:
            errors.append(error)

    connection.new_task({"a": 1, "b": 1}).on_complete(close).start().join(WAIT)
    assert len(errors) == 1
    assert master.ping()  # nothing half done


def test_a_callback_may_shut_the_master_down(connection: SlaveConnectionProxy, master: Master) -> None:
    connection.new_task({"a": 1, "b": 1}).on_complete(lambda *_: master.shutdown()).start().join(WAIT)
    master.join()
    assert not master.ping()


def test_a_slow_callback_delays_no_other_connections_results(master: Master, make_slave: MakeSlave) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(data: Mapping[str, Any], result: Any) -> None:
        begun.set()
        assert go_on.wait(30)

    one, other = make_slave(Worker), make_slave(Worker)
    with (
        master.new_connection("one", "127.0.0.1", one.port) as first,
        master.new_connection("other", "127.0.0.1", other.port) as second,
    ):
        slow_task = first.new_task({"a": 1, "b": 1}).on_complete(slow).start()
        assert begun.wait(WAIT)
        calls: list[Any] = []
        quick = second.new_task({"a": 1, "b": 2}).on_complete(lambda _, result: calls.append(result))
        quick.start().join(WAIT)
        assert calls == [{"sum": 3}]
        assert first.new_task({"a": 2, "b": 2}).start().join(WAIT).result == {"sum": 4}  # nor its own results
        go_on.set()
        slow_task.join(WAIT)


def test_callbacks_of_one_connection_run_one_at_a_time(connection: SlaveConnectionProxy) -> None:
    inside, most = 0, 0

    def count(data: Mapping[str, Any], result: Any) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        inside -= 1

    for number in range(50):
        task = connection.new_task({"a": number, "b": 0}).on_complete(count).on_complete(count)
        task.start().join(WAIT)
    assert most == 1


def test_what_is_no_callback_is_refused(connection: SlaveConnectionProxy) -> None:
    with pytest.raises(TypeError, match="callable"):
        connection.new_task({}).on_complete("no function")  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [[1], "text", 5, {1, 2}])
def test_data_that_is_no_mapping_is_refused_before_it_is_sent(
    connection: SlaveConnectionProxy, slave: Worker, data: Any
) -> None:
    task = connection.new_task(data)
    with pytest.raises(TypeError, match="mapping"):
        task.start()
    assert task.join(1).status is TaskStatus.START_FAILED
    assert slave.ran == []


def test_data_that_cant_be_carried_is_refused_with_its_path_before_it_is_sent(
    connection: SlaveConnectionProxy, slave: Worker
) -> None:
    task = connection.new_task({"frames": [0, 1, {"pixels": object()}]})
    with pytest.raises(PayloadError) as caught:
        task.start()
    assert caught.value.path == "data['frames'][2]['pixels']"
    assert "object" in str(caught.value)
    assert (task.join(1).status, task.error) == (TaskStatus.START_FAILED, caught.value)
    assert slave.ran == []
    assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}


def test_data_over_the_masters_limit_is_refused_before_it_is_sent(make_master: MakeMaster, slave: Worker) -> None:
    master = make_master(Master, max_message_bytes=1_000_000)
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        with pytest.raises(PayloadTooLarge, match="1,0") as caught:
            connection.new_task({"echo": b"0" * 1_000_000}).start()
        assert caught.value.size > 1_000_000 > caught.value.limit
        assert connection.new_task({"echo": b"0" * 900_000}).start().join(WAIT).result == b"0" * 900_000
    assert len(slave.ran) == 1


def test_data_over_the_slaves_limit_is_refused_before_it_is_sent(master: Master, make_slave: MakeSlave) -> None:
    slave = make_slave(Worker, max_message_bytes=1_000_000)
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection, pytest.raises(PayloadTooLarge):
        connection.new_task({"echo": b"0" * 1_000_000}).start()
    assert slave.ran == []


def test_a_result_over_the_masters_limit_fails_the_task(make_master: MakeMaster, make_slave: MakeSlave) -> None:
    class Verbose(Worker):
        def _process_task(self, task: Mapping[str, Any]) -> Any:
            return b"0" * task["size"]

    master = make_master(Master, max_message_bytes=100_000)
    with master.new_connection("conn", "127.0.0.1", make_slave(Verbose).port) as connection:
        task = connection.new_task({"size": 100_000}).start().join(WAIT)
        assert task.status is TaskStatus.FAILED
        assert isinstance(task.error, TaskFailed)
        assert "100," in task.error.message
        assert connection.new_task({"size": 50_000}).start().join(WAIT).result == b"0" * 50_000
