"""The life of a master and of a slave: the rows `Master(...)`, `start ... with` and `ping()` of the facade's table."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest

from interaction import Master, Slave
from tests.contract.conftest import CHANNEL, ROOT, MakeMaster, MakeSlave, Worker, plain_and_aio
from tests.contract.slave_programs import WAIT

facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)
SERVICES = [Master, Worker]


@pytest.mark.parametrize("kind", SERVICES)
def test_it_answers_from_start_to_shutdown(kind: type[Master] | type[Slave]) -> None:
    service = kind("127.0.0.1", 0, channel=CHANNEL)
    assert not service.ping()
    service.start()
    try:
        assert service.ping()
    finally:
        service.close()
    assert not service.ping()


@pytest.mark.parametrize("kind", SERVICES)
def test_with_starts_and_closes(kind: type[Master] | type[Slave]) -> None:
    with kind("127.0.0.1", 0) as service:
        assert service.ping()
    assert not service.ping()


@pytest.mark.parametrize("kind", SERVICES)
def test_starting_and_closing_take_less_than_a_fifth_of_a_second(kind: type[Master] | type[Slave]) -> None:
    best = {"start": 9.9, "close": 9.9}
    for _ in range(5):  # the best of five: the machine may be busy with something else
        service = kind("127.0.0.1", 0)
        begun = time.monotonic()
        service.start()
        started = time.monotonic()
        assert service.ping()
        pinged = time.monotonic()
        service.close()
        best["start"] = min(best["start"], started - begun)
        best["close"] = min(best["close"], time.monotonic() - pinged)
    assert best["start"] < 0.2
    assert best["close"] < 0.2


def test_closing_with_a_connection_takes_no_longer(make_slave: MakeSlave) -> None:
    slave = make_slave(Worker)
    best = 9.9
    for _ in range(3):
        master = Master("127.0.0.1", 0, channel=CHANNEL)
        master.start()
        master.new_connection("conn", "127.0.0.1", slave.port).connect()
        slave.lost_connection.clear()
        begun = time.monotonic()
        master.close()
        best = min(best, time.monotonic() - begun)
        assert slave.lost_connection.wait(5)
    assert best < 0.2


@pytest.mark.parametrize("kind", SERVICES)
def test_shutdown_is_harmless_before_start_and_when_repeated(kind: type[Master] | type[Slave]) -> None:
    service = kind("127.0.0.1", 0)
    service.shutdown()
    service.join()
    service.close()
    service.start()
    service.shutdown()
    service.shutdown()
    service.join()
    service.close()
    service.close()


@pytest.mark.parametrize("kind", SERVICES)
def test_an_object_is_started_once(kind: type[Master] | type[Slave]) -> None:
    with kind("127.0.0.1", 0) as service:
        with pytest.raises(RuntimeError, match="was started before"):
            service.start()
        assert service.ping()
    with pytest.raises(RuntimeError, match="was stopped and can't be started again"):
        service.start()


def test_join_waits_for_somebodys_shutdown() -> None:
    with Master("127.0.0.1", 0) as master:
        joined = threading.Event()

        def join() -> None:
            master.join()
            joined.set()

        thread = threading.Thread(target=join)
        thread.start()
        assert master.ping()  # a round trip later it still waits
        assert not joined.is_set()
        master.shutdown()
        assert joined.wait(5)
        thread.join(5)


def test_join_waits_for_a_callback_that_runs(make_master: MakeMaster, slave: Worker) -> None:
    master = make_master(Master)
    begun, go_on, order = threading.Event(), threading.Event(), []

    def callback(data: Mapping[str, Any], result: Any) -> None:
        begun.set()
        assert go_on.wait(10)
        order.append("callback")

    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        connection.new_task({"a": 1, "b": 2}).on_complete(callback).start()
        assert begun.wait(10)
    master.shutdown()
    assert not master.ping()

    def join() -> None:
        master.join()
        order.append("joined")

    thread = threading.Thread(target=join)
    thread.start()
    go_on.set()
    thread.join(10)
    assert order == ["callback", "joined"]


def test_a_slaves_join_waits_for_its_task(make_master: MakeMaster, make_slave: MakeSlave) -> None:
    master, slave = make_master(Master), make_slave(Worker)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    task = connection.new_task({"wait": 1}).start()
    assert slave.running.wait(10)
    slave.shutdown()
    assert task.join(10).error is not None  # the master is told at once, not when the task ends
    joined = threading.Thread(target=slave.join)
    joined.start()
    assert joined.is_alive()
    slave.go_on.set()
    joined.join(10)
    assert not joined.is_alive()


@pytest.mark.parametrize("leave", ["", "raise SystemExit(3)", "raise ValueError('a mistake')"])
def test_a_master_that_nobody_closed_does_not_keep_the_process_alive(leave: str) -> None:
    script = (
        f"import interaction\nkept = interaction.Master('127.0.0.1', 0)\nkept.start()\nassert kept.ping()\n{leave}\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert ended.returncode == (3 if "SystemExit" in leave else 1 if leave else 0), ended.stderr
    assert ended.stdout == ""
    if "ValueError" not in leave:
        assert ended.stderr == ""


def test_no_thread_of_a_closed_object_is_left() -> None:
    before = set(threading.enumerate())

    def ours() -> set[str]:
        return {thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("interaction-")}

    with Worker("127.0.0.1", 0) as slave, Master("127.0.0.1", 0) as master:
        with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
            connection.new_task({"a": 1, "b": 2}).on_complete(lambda *_: None).start().join(10)
        assert "interaction-loop" in {thread.name for thread in threading.enumerate()}
    assert ours() <= {"interaction-reserve"}  # which Python 3.12.0 and 3.12.1 have for good


def test_one_loop_serves_all_and_ends_with_the_last() -> None:
    with Master("127.0.0.1", 0) as first:
        with Master("127.0.0.1", 0), Worker("127.0.0.1", 0):
            loops = [thread for thread in threading.enumerate() if thread.name == "interaction-loop"]
            assert len(loops) == 1
        assert first.ping()


def test_the_library_prints_nothing(make_master: MakeMaster, slave: Worker, capfd: pytest.CaptureFixture[str]) -> None:
    master = make_master(Master)
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        connection.new_task({"a": 1, "b": 2}).start().join(10)
    master.close()
    assert capfd.readouterr() == ("", "")


def test_after_a_fork_an_old_object_says_what_to_do_and_beside_a_closed_one_a_new_one_works() -> None:
    script = """
import os, sys, interaction
early = interaction.Master("127.0.0.1", 0)
early.start()
child = os.fork()
if child == 0:
    code = 1
    try:
        early.new_connection("conn", "127.0.0.1", 1).connect()
    except RuntimeError as error:
        code = 0 if "fork" in str(error) else 2
    os._exit(code)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
early.close()
child = os.fork()
if child == 0:
    code = 1
    try:
        with interaction.Master("127.0.0.1", 0) as late:
            code = 0 if late.port else 2
    finally:
        os._exit(code)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 0, ended.stderr


def test_a_child_forked_before_anything_was_started_may_start_its_own() -> None:
    script = """
import os, interaction
child = os.fork()
if child == 0:
    with interaction.Master("127.0.0.1", 0) as master:
        code = 0 if master.ping() else 1
    os._exit(code)
class Slave(interaction.Slave):
    def _process_task(self, task):
        return task
with Slave("127.0.0.1", 0) as slave:
    assert slave.ping()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 0, ended.stderr


def test_protobuf_in_pure_python_is_refused_with_the_remedy() -> None:
    script = "import interaction; interaction.Master('127.0.0.1', 0).start()"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert "RuntimeError: protobuf runs in pure Python here: unset PROTOCOL_BUFFERS" in done.stderr


JOINING = """
import threading
from interaction import Master

master = Master("127.0.0.1", 0)
master.start()

def join():
    master.join()
    print("joined", flush=True)

threading.Thread(target=join).start()
"""


def test_a_thread_that_waits_for_a_master_does_not_hold_up_the_end_of_the_program() -> None:
    """Python waits for the thread, and the thread for somebody to shut the master down: nobody is left who would."""
    done = subprocess.run(
        [sys.executable, "-c", JOINING], cwd=ROOT, capture_output=True, text=True, timeout=WAIT, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("joined\n", "", 0)
