"""Masters and slaves over real sockets, on ports that the system picks, ended whatever a test does."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, TypeVar

import grpc
import pytest

from interaction import Master, Slave, SlaveConnectionProxy, SlavePool, TaskFail
from tests.contract import bridge
from tests.contract.bridge import Bridge
from tests.contract.recording_master import RecordingMaster, recording_master
from tests.contract.scripted_slave import Beats, ScriptedSlave, scripted_slave
from tests.contract.slave_programs import ISOLATED, NODE, PYTHON, Implementation, Programs, SlaveProgram
from tests.contract.wire import NO_PROXY, Caller, refused_or_done
from tests.installing import install_node_example

CHANNEL = 7
ROOT = Path(__file__).parent.parent.parent
S = TypeVar("S", bound=Slave)
M = TypeVar("M", bound=Master)
Call = Callable[..., Caller]


class Worker(Slave):
    """Adds, echoes, fails, and waits until it is told to go on."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.go_on = threading.Event()
        self.running = threading.Event()
        self.ran: list[Mapping[str, Any]] = []
        self.lost: list[tuple[str, Exception]] = []
        self.lost_connection = threading.Event()

    def _process_task(self, task: Mapping[str, Any]) -> Any:
        self.ran.append(task)
        if "echo" in task:
            return task["echo"]
        if "wait" in task:
            self.running.set()
            assert self.go_on.wait(30), "nobody let the task go on"
            return {"waited": task["wait"]}
        if "a" in task and "b" in task:
            return {"sum": task["a"] + task["b"]}
        raise TaskFail({"message": "ab not found"}, "A or B not found in task data.")

    def _lost_connection(self, master_address: str, error: Exception) -> None:
        self.lost.append((master_address, error))
        self.lost_connection.set()


class MakeSlave(Protocol):
    def __call__(self, kind: type[S] = ..., **options: Any) -> S: ...


class MakeMaster(Protocol):
    def __call__(self, kind: type[M] = ..., **options: Any) -> M: ...


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def make_slave(stack: ExitStack) -> Callable[..., Any]:
    """Start a slave that is shut down at the end; a task that still waits is let go on first.

    It is not closed: that would wait for masters that have gone.

    Without a pacemaker, which hundreds of tests would start for nothing; slaves in processes of their own have theirs.
    """

    def make(kind: type[Slave] = Worker, **options: Any) -> Slave:
        slave = kind("127.0.0.1", 0, **{"channel": CHANNEL, "pacemaker": False, **options})
        slave.start()
        stack.callback(slave.join)
        stack.callback(slave.shutdown)
        if isinstance(slave, Worker):
            stack.callback(slave.go_on.set)
        return slave

    return make


@pytest.fixture
def master_options() -> dict[str, Any]:
    """What every master of a test gets, beside what the test gives it: a module may say more."""
    return {}


def without_and_with_a_journal(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The options of a master, for a module whose tests are to hold on both."""
    return {"journal": f"sqlite:///{tmp_path / 'master.db'}"} if request.param else {}


@pytest.fixture
def facade() -> str:
    """Which facade a test is about: "plain", or "aio" behind a bridge. A module may say more."""
    return "plain"


def plain_and_aio(request: pytest.FixtureRequest) -> str:
    """Each facade, for a module whose tests are to hold for both."""
    return str(request.param)


@pytest.fixture
def make_master(stack: ExitStack, master_options: dict[str, Any], facade: str) -> Callable[..., Any]:
    """Start a master that is closed at the end. Requests end soon, so that a test that fails does so soon."""

    def make(kind: type[Master] = Master, **options: Any) -> Master:
        quick = {"request_retries": 0, "request_retry_waiting": 0.05, "request_timeout": 10.0, "channel": CHANNEL}
        options = {**quick, **master_options, **options}
        master = kind("127.0.0.1", 0, **options)
        if facade == "aio":
            behind = Bridge(master, "127.0.0.1", 0, **options)
            stack.callback(behind.home.end)
            master._interaction = behind  # type: ignore[assignment]
        master.start()
        stack.callback(master.close)
        return master

    return make


class MakePool(Protocol):
    def __call__(self, master: Master, **options: Any) -> SlavePool: ...


@pytest.fixture
def make_pool(stack: ExitStack, facade: str) -> Callable[..., Any]:
    """Make a pool that is closed at the end, without waiting for what nobody wants."""

    def make(master: Master, **options: Any) -> SlavePool | bridge.SlavePool:
        kind = SlavePool if facade == "plain" else bridge.SlavePool
        pool = kind(master, **options)
        stack.callback(pool.close, wait=False)
        return pool

    return make


@pytest.fixture
def slave(make_slave: MakeSlave) -> Worker:
    return make_slave(Worker)


@pytest.fixture
def master(make_master: MakeMaster) -> Master:
    return make_master(Master)


@pytest.fixture
def connection(master: Master, slave: Worker) -> SlaveConnectionProxy:
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    return connection


class SlaveProcess:
    """A slave in a process of its own, that can be frozen and killed."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.slave_process", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,  # its end is the process's end
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self.line())

    def line(self) -> str:
        """The next line that the process prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def send(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def slave_process(stack: ExitStack) -> Callable[..., SlaveProcess]:
    def make(*arguments: str) -> SlaveProcess:
        process = SlaveProcess(*arguments)
        stack.callback(process.close)
        return process

    return make


# One suite for every implementation of SlaveService: a slave in a process of its own, called by raw stubs.


@pytest.fixture(scope="session")
def node_example() -> None:
    install_node_example()


@pytest.fixture(scope="session")
def programs() -> Iterator[Programs]:
    pool = Programs()
    try:
        yield pool
    finally:
        pool.close()


@pytest.fixture(params=[PYTHON, ISOLATED, NODE], ids=lambda implementation: implementation.name)
def program(request: pytest.FixtureRequest, programs: Programs) -> Iterator[SlaveProgram]:
    """A slave of each implementation."""
    if request.param is NODE:
        request.getfixturevalue("node_example")
    with programs.lend(foreign_slave(request.config) or request.param) as program:
        yield program


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("a slave of yours, asked by the suite of the contract")
    group.addoption("--slave-at", metavar="HOST:PORT", help="one that runs on this machine, with channel 7")
    group.addoption("--slave-command", help="one that is started, with --port 0 --channel 7 behind")


def foreign_slave(config: pytest.Config) -> Implementation | None:
    """The slave that the suite is run for, where that is none of ours."""
    address, command = config.getoption("slave_at", None), config.getoption("slave_command", None)
    if not address and not command:
        return None
    return Implementation("yours", None, tuple(shlex.split(command or "")), Path.cwd(), None, None, address or "")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """For a slave that is none of ours there are the tests that any slave is asked, once each."""
    foreign = foreign_slave(config)
    if foreign is None:
        return
    asked = [item for item in items if _implementation_of(item) is PYTHON]
    config.hook.pytest_deselected(items=[item for item in items if item not in asked])
    items[:] = asked


def _implementation_of(item: pytest.Item) -> object:
    if (
        not isinstance(item, pytest.Function)
        or "test_slave_service" not in item.nodeid
        or not hasattr(item, "callspec")
    ):
        return None
    return item.callspec.params.get("program")


@pytest.fixture
def recorder() -> Iterator[RecordingMaster]:
    """A master that writes down what slaves say."""
    with recording_master() as master:
        yield master


@pytest.fixture
def caller(request: pytest.FixtureRequest, program: SlaveProgram, recorder: RecordingMaster) -> Iterator[Caller]:
    """Calls the slave in the name of the recorder."""
    with grpc.insecure_channel(program.address, NO_PROXY) as channel:
        caller = Caller(channel, recorder)
        if "_work" in request.node.nodeid and foreign_slave(request.config) and "work" not in caller.ping().features:
            pytest.skip("its features lack `work`")
        yield caller
        program.free = caller.leaves_it_free()


@pytest.fixture
def resumes(request: pytest.FixtureRequest, program: SlaveProgram) -> bool:
    """Whether the slave resumes sessions, which the contract leaves to it; ours do."""
    if foreign_slave(request.config) is None:
        return True
    with recording_master() as master, grpc.insecure_channel(program.address, NO_PROXY) as channel:
        caller = Caller(channel, master)
        caller.connect()
        first = caller.token
        if refused_or_done(lambda: caller.connect(first)) is not None:
            caller.token = first
        taken = caller.token != first
        caller.disconnect()
        return taken


@pytest.fixture
def resumed(resumes: bool) -> None:
    """For what is asked of a slave that resumes sessions alone."""
    if not resumes:
        pytest.skip("it resumes no session")


@pytest.fixture
def call(stack: ExitStack, recorder: RecordingMaster) -> Call:
    """Calls a slave of this process in the name of the recorder."""

    def call(slave: Slave) -> Caller:
        caller = Caller(stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{slave.port}", NO_PROXY)), recorder)
        stack.callback(refused_or_done, caller.disconnect)  # so that nothing is left that a closing slave waits for
        return caller

    return call


# MasterService, called by a slave that is a script.


@pytest.fixture
def scripted() -> Iterator[ScriptedSlave]:
    with scripted_slave() as slave:
        yield slave


@pytest.fixture
def linked(master: Master, scripted: ScriptedSlave) -> SlaveConnectionProxy:
    connection = master.new_connection("conn", "127.0.0.1", scripted.port)
    connection.connect()
    return connection


@pytest.fixture
def beats(linked: SlaveConnectionProxy, scripted: ScriptedSlave) -> Beats:
    """The heartbeat stream of the scripted slave, with its first beat acknowledged."""
    beats = scripted.heartbeat()
    assert beats.beat(1) == 1
    return beats
