"""The Python master and the slave in JavaScript: the contract in real use."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from queue import Queue
from typing import Any

import pytest

from interaction import Master
from interaction.exception import (
    LossReason,
    SlaveChannelInvalid,
    SlaveSignatureInvalid,
    SlaveSignatureNotFound,
    SlaveTaskAlreadyExist,
    SlaveTaskDataInvalid,
    TaskFailed,
    TaskLost,
)
from interaction.master.connection import SlaveConnectionProxy
from interaction.master.task import TaskStatus
from tests.contract.slave_programs import NODE, WAIT, SlaveProgram, running_slave
from tests.installing import NODE_EXAMPLE, ROOT
from tests.vectors import vectors


@pytest.fixture
def master() -> Iterator[Master]:
    with Master("127.0.0.1", 0, channel=7, heartbeat_tolerance=2.0) as master:
        yield master


@pytest.fixture
def connection(master: Master, node_slave: SlaveProgram) -> Iterator[SlaveConnectionProxy]:
    with master.new_connection("node", "127.0.0.1", node_slave.port) as connection:
        yield connection


def test_tasks_run_one_after_the_other(master: Master, connection: SlaveConnectionProxy) -> None:
    assert "node" in master
    for a, b in ((1, 2), (-3, 3), (0.5, 0.25), (2**52, 1)):
        task = connection.new_task({"a": a, "b": b}).start().join(timeout=WAIT)
        assert (task.status, task.result) == (TaskStatus.COMPLETED, {"sum": a + b})
        assert type(task.result["sum"]) is type(a + b)


def test_any_text_arrives(connection: SlaveConnectionProxy) -> None:
    a, b = 'é "quoted" \\ \n', "日本 🙂 \u2028"
    assert connection.new_task({"a": a, "b": b}).start().join(timeout=WAIT).result == {"sum": a + b}


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_numbers_that_json_lacks_arrive(connection: SlaveConnectionProxy, number: float) -> None:
    result = connection.new_task({"a": number, "b": 1}).start().join(timeout=WAIT).result
    assert repr(result) == repr({"sum": number})  # for no NaN equals another


def test_what_the_slave_cannot_read_is_refused_and_not_misread(connection: SlaveConnectionProxy) -> None:
    for data in (b"bytes", [b"bytes"], 10**5000):
        with pytest.raises(SlaveTaskDataInvalid):
            connection.new_task({"a": data, "b": 1}).start()
    assert connection.new_task({"a": "", "b": "", "c": {"$bytes": 0}}).start().join(timeout=WAIT).result == {"sum": ""}


def test_a_failing_task_says_why_and_the_next_one_runs(connection: SlaveConnectionProxy) -> None:
    task = connection.new_task({"a": 1}).start().join(timeout=WAIT)
    assert task.status is TaskStatus.FAILED
    assert isinstance(task.error, TaskFailed)
    assert (task.error.type, task.error.message) == ("TypeError", "the data lacks a or b")
    assert "slave.js" in task.error.traceback
    assert connection.new_task({"a": 1, "b": 2}).start().join(timeout=WAIT).result == {"sum": 3}


def test_a_second_task_is_refused_while_one_runs(connection: SlaveConnectionProxy) -> None:
    connection.new_task({"seconds": 60}).start()
    second = connection.new_task({"a": 1, "b": 2})
    with pytest.raises(SlaveTaskAlreadyExist):
        second.start()
    assert second.status is TaskStatus.START_FAILED


def test_disconnect_and_connect_again(master: Master, connection: SlaveConnectionProxy) -> None:
    assert connection.is_connected
    connection.disconnect()
    assert not connection.is_connected
    assert "node" not in master
    connection.connect()
    assert "node" in master
    assert connection.new_task({"a": 1, "b": 2}).start().join(timeout=WAIT).result == {"sum": 3}


@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGKILL, LossReason.EXITED), (signal.SIGTERM, LossReason.DISCONNECTED)]
)
def test_a_slave_that_ends_takes_its_task_with_it(
    master: Master,
    connection: SlaveConnectionProxy,
    node_slave: SlaveProgram,
    number: signal.Signals,
    reason: LossReason,
) -> None:
    failures: Queue[tuple[Any, Any]] = Queue()
    task = connection.new_task({"seconds": 60}).on_fail(lambda data, result: failures.put((data, result))).start()
    node_slave.process.send_signal(number)
    task.join(timeout=WAIT)
    assert task.status is TaskStatus.LOST
    assert isinstance(task.error, TaskLost)
    assert task.error.reason is reason
    assert failures.get(timeout=WAIT)[0] == {"seconds": 60}
    assert "node" not in master
    assert not connection.is_connected


def test_another_channel_is_refused(node_slave: SlaveProgram) -> None:
    with Master("127.0.0.1", 0, channel=8) as master:
        connection = master.new_connection("node", "127.0.0.1", node_slave.port)
        with pytest.raises(SlaveChannelInvalid) as caught:
            connection.connect()
        assert caught.value.status_code == 403
        assert "node" not in master


def test_a_payload_means_what_the_vectors_say(node_example: None) -> None:
    assert passed("vectors.test.js") == len(vectors())


def test_a_signature_is_what_the_vectors_say(node_example: None) -> None:
    found = json.loads((ROOT / "protos" / "vectors" / "signature.json").read_text(encoding="utf-8"))
    assert passed("secret.test.js") > len(found["vectors"] + found["accepted"] + found["refused"])


def passed(file: str) -> int:
    """How many of the tests in it pass, which are all."""
    done = subprocess.run(["node", "--test", file], cwd=NODE_EXAMPLE, capture_output=True, text=True, timeout=WAIT * 2)
    assert done.returncode == 0, done.stdout[-3000:]
    return int(re.findall(r"pass (\d+)", done.stdout)[-1])


# A secret, from the environment of both.


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    text = "a-secret-that-both-sides-know-0123456"
    monkeypatch.setenv("INTERACTION_SECRET", text)
    return text


def test_with_a_secret_tasks_run_and_results_and_beats_are_believed(secret: str, node_example: None) -> None:
    with (
        running_slave(NODE) as slave,
        Master("127.0.0.1", 0, channel=7, heartbeat_tolerance=2.0) as master,
        master.new_connection("node", "127.0.0.1", slave.port) as connection,
    ):
        for number in range(3):
            assert connection.new_task({"a": number, "b": 1}).start().join(timeout=WAIT).result == {"sum": number + 1}
        task = connection.new_task({"a": 1, "b": 1, "seconds": 3.0}).start()
        assert task.join(timeout=WAIT).status is TaskStatus.COMPLETED, "its lease was renewed meanwhile"


@pytest.mark.parametrize(
    ("given", "kind"),
    [((), SlaveSignatureNotFound), ("b" * 40, SlaveSignatureInvalid)],
    ids=["none", "another"],
)
def test_a_master_without_its_secret_is_told_at_once(
    secret: str, node_example: None, given: Any, kind: type[Exception]
) -> None:
    with (
        running_slave(NODE) as slave,
        Master("127.0.0.1", 0, channel=7, secret=given) as master,
        pytest.raises(kind, match="secret"),
    ):
        master.new_connection("node", "127.0.0.1", slave.port).connect()


def test_a_master_with_a_secret_is_told_that_the_slave_has_none(node_slave: SlaveProgram) -> None:
    with (
        Master("127.0.0.1", 0, channel=7, secret="b" * 40) as master,
        pytest.raises(SlaveSignatureInvalid, match="no secret"),
    ):
        master.new_connection("node", "127.0.0.1", node_slave.port).connect()
