"""Leaving well: a slave that drains, and the hook by which a master hears of every slave that is gone."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from queue import Queue
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from interaction import Master, SlaveConnectionProxy, TaskStatus
from interaction.exception import LossReason, SlaveSystemShuttingDown
from tests.contract.conftest import CHANNEL, ROOT, MakeMaster, MakeSlave, SlaveProcess, Worker, plain_and_aio
from tests.contract.scripted_slave import Beats, ScriptedSlave
from tests.contract.slave_programs import WAIT
from tests.contract.wire import NO_PROXY

facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)


class Watching(Master):
    """Writes down whom it loses."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.losses: Queue[tuple[str, LossReason]] = Queue()

    def _lost_slave(self, name: str, reason: LossReason) -> None:
        self.losses.put((name, reason))


@pytest.fixture
def watching(make_master: MakeMaster) -> Watching:
    return make_master(Watching)


@pytest.fixture
def connection(watching: Watching, slave: Worker) -> SlaveConnectionProxy:
    connection = watching.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    return connection


class Draining:
    """`slave.drain()` on a thread of its own."""

    def __init__(self, slave: Worker, timeout: float | None = None) -> None:
        self.answers: Queue[bool] = Queue()
        self._thread = threading.Thread(target=lambda: self.answers.put(slave.drain(timeout)))
        self._thread.start()

    def end(self) -> bool:
        self._thread.join(WAIT)
        return self.answers.get(timeout=WAIT)


def wait_until_it_drains(connection: SlaveConnectionProxy) -> None:
    """Offer tasks until one is refused with that: nothing else is to be seen of the beginning."""
    while True:
        with pytest.raises(Exception, match=r"drains|no place") as caught:
            connection.new_task({"a": 1, "b": 1}).start()
        if isinstance(caught.value, SlaveSystemShuttingDown):
            return


def health_of(port: int) -> int:
    with grpc.insecure_channel(f"127.0.0.1:{port}", NO_PROXY) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="interaction.v1.SlaveService")
        return int(stub.Check(request, timeout=WAIT).status)  # type: ignore[attr-defined]  # made at run time


def test_an_idle_slave_drains_at_once(watching: Watching, connection: SlaveConnectionProxy, slave: Worker) -> None:
    assert slave.drain()
    assert watching.losses.get(timeout=WAIT) == ("conn", LossReason.DRAINED)
    assert not connection.is_connected
    assert not slave.ping()
    assert slave.lost == []


def test_a_slave_that_drains_finishes_what_it_has_and_takes_nothing_new(
    watching: Watching, connection: SlaveConnectionProxy, slave: Worker
) -> None:
    running = connection.new_task({"wait": 1})
    running.start()
    assert slave.running.wait(WAIT)
    assert health_of(slave.port) == health_pb2.HealthCheckResponse.SERVING
    draining = Draining(slave)
    wait_until_it_drains(connection)
    assert health_of(slave.port) == health_pb2.HealthCheckResponse.NOT_SERVING
    assert connection.is_connected
    assert running.status is TaskStatus.STARTED
    slave.go_on.set()
    assert draining.end()
    assert running.join(WAIT).result == {"waited": 1}
    assert watching.losses.get(timeout=WAIT) == ("conn", LossReason.DRAINED)


def test_a_slave_that_drains_takes_no_new_master(
    make_master: MakeMaster, connection: SlaveConnectionProxy, slave: Worker
) -> None:
    connection.new_task({"wait": 1}).start()
    assert slave.running.wait(WAIT)
    draining = Draining(slave)
    wait_until_it_drains(connection)
    connection.disconnect()
    other = make_master(Master).new_connection("other", "127.0.0.1", slave.port)
    with pytest.raises(SlaveSystemShuttingDown):
        other.connect()
    slave.go_on.set()
    assert draining.end()


def test_a_slave_that_is_not_drained_in_time_shuts_down_all_the_same(
    watching: Watching, connection: SlaveConnectionProxy, slave: Worker
) -> None:
    task = connection.new_task({"wait": 1})
    task.start()
    assert slave.running.wait(WAIT)
    assert not slave.drain(0.1)
    assert task.join(WAIT).status is TaskStatus.LOST
    assert watching.losses.get(timeout=WAIT) == ("conn", LossReason.DISCONNECTED)


def test_a_slave_without_a_master_drains(slave: Worker) -> None:
    assert slave.drain()
    with pytest.raises(RuntimeError, match="shut down"):
        slave.drain()


def test_a_task_that_would_drain_its_own_slave_is_told(watching: Watching, make_slave: MakeSlave) -> None:
    class Drains(Worker):
        def _process_task(self, task: Any) -> Any:
            self.drain()

    with watching.new_connection("conn", "127.0.0.1", make_slave(Drains).port) as connection:
        task = connection.new_task({}).start().join(WAIT)
        assert task.status is TaskStatus.FAILED
        assert "RuntimeError" in str(task.error)


SCRIPT = f"""
import sys, interaction
class Slow(interaction.Slave):
    def _process_task(self, task):
        print("running", flush=True)
        sys.stdin.readline()
        return {{"done": True}}
with Slow("127.0.0.1", 0, channel={CHANNEL}) as slave:
    slave.drain_at_sigterm()
    print(slave.port, flush=True)
    slave.join()
print("left", flush=True)
"""


def test_sigterm_drains(watching: Watching) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            connection = watching.new_connection("conn", "127.0.0.1", int(process.stdout.readline()))
            connection.connect()
            task = connection.new_task({})
            task.start()
            assert process.stdout.readline() == "running\n"
            process.send_signal(signal.SIGTERM)
            with pytest.raises(Exception, match=r"drains|no place"):
                connection.new_task({}).start()
            process.stdin.write("\n")
            process.stdin.flush()
            assert task.join(WAIT).result == {"done": True}
            assert watching.losses.get(timeout=WAIT) == ("conn", LossReason.DRAINED)
            assert process.stdout.readline() == "left\n"
            assert process.wait(WAIT) == 0
        finally:
            process.kill()


UNHEARD = """
import signal, threading, interaction
class Idle(interaction.Slave):
    def _process_task(self, task): ...
def ask():
    print("asked", flush=True)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)  # which wakes no other thread
with Idle("127.0.0.1", 0) as slave:
    slave.drain_at_sigterm()
    threading.Timer(0.2, ask).start()
    slave.join()
print("left", flush=True)
"""


def test_a_signal_that_does_not_wake_the_main_thread_is_heard_all_the_same() -> None:
    """One that comes as `join()` begins to wait does not, either: Python runs handlers in the main thread alone."""
    done = subprocess.run(
        [sys.executable, "-c", UNHEARD], cwd=ROOT, capture_output=True, text=True, timeout=WAIT, check=False
    )
    assert (done.stdout, done.returncode) == ("asked\nleft\n", 0)
    assert done.stderr == "Idle: asked to end (SIGTERM); leaves. SIGTERM again ends the process at once\n"


# The hook.


def leave(slave: ScriptedSlave, beats: Beats) -> None:
    beats.leave("bye")


def restart(slave: ScriptedSlave, beats: Beats) -> None:
    slave.incarnation = "b" * 32
    beats.end()


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (leave, LossReason.DISCONNECTED),
        (restart, LossReason.RESTARTED),
    ],
    ids=["left", "restarted"],
)
def test_the_hook_says_why(
    watching: Watching, scripted: ScriptedSlave, end: Callable[[ScriptedSlave, Beats], object], reason: LossReason
) -> None:
    watching.new_connection("conn", "127.0.0.1", scripted.port).connect()
    beats = scripted.heartbeat()
    assert beats.beat(1) == 1
    end(scripted, beats)
    assert watching.losses.get(timeout=WAIT) == ("conn", reason)


def test_the_hook_comes_once_after_the_callbacks_and_the_name_is_free(
    make_master: MakeMaster, slave_process: Callable[..., SlaveProcess], slave: Worker
) -> None:
    events: Queue[object] = Queue()

    class Reconnecting(Master):
        def _lost_slave(self, name: str, reason: LossReason) -> None:
            events.put((name, reason))
            self.new_connection(name, "127.0.0.1", slave.port).connect()
            events.put(self[name].new_task({"a": 1, "b": 2}).start().join(WAIT).result)

    master, process = make_master(Reconnecting), slave_process()
    connection = master.new_connection("conn", "127.0.0.1", process.port)
    connection.connect()
    task = connection.new_task({"wait": 1}).on_fail(lambda data, result: events.put("on_fail"))
    task.start()
    process.kill()
    assert events.get(timeout=WAIT) == "on_fail"
    assert events.get(timeout=WAIT) == ("conn", LossReason.EXITED)
    assert events.get(timeout=WAIT) == {"sum": 3}  # by another slave, under the same name
    assert "conn" in master
    master.close()
    assert events.empty()


@pytest.mark.parametrize("how", ["disconnect", "close", "del", "shutdown", "refused"])
def test_what_the_master_ends_itself_is_no_loss(watching: Watching, scripted: ScriptedSlave, how: str) -> None:
    connection = watching.new_connection("conn", "127.0.0.1", scripted.port)
    if how == "refused":
        with pytest.raises(KeyError):
            del watching["conn"]
    else:
        connection.connect()
        assert scripted.heartbeat().beat(1) == 1
    if how in ("disconnect", "close"):
        getattr(connection, how)()
    elif how == "del":
        del watching["conn"]
    watching.close()
    assert watching.losses.empty()
