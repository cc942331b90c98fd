"""A hook whose caller is gone: what it says is dropped, and others are asked about beside it, long before its limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from interaction import Master
from interaction.core.engagement import RETURN_SECONDS
from interaction.exception import ResponseException
from interaction.slave import user
from interaction.v1 import slave_service_pb2 as messages
from interaction.v1 import slave_service_pb2_grpc as services
from interaction.v1.master_service_pb2 import HeartbeatClosing, HeartbeatResponse
from interaction.v1.task_pb2 import Task
from tests.contract.conftest import MakeMaster, MakeSlave, Worker
from tests.contract.holding import wait_until
from tests.contract.recording_master import RecordingMaster, recording_master
from tests.contract.slave_programs import WAIT
from tests.contract.wire import NO_PROXY, SUM, duration_of, metadata_of, new_id, new_token, payload_of

SOON = RETURN_SECONDS + 5.0
SLOW = {"slow": True}


class Thinking(Worker):
    """Its hooks think about what is slow until the test ends."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.thinking = threading.Semaphore(0)
        self.thought = threading.Semaphore(0)
        self.enough = threading.Event()
        self.asked: list[str] = []

    def _think(self, hook: str, data: Mapping[str, Any]) -> None:
        self.asked.append(hook)
        if data.get("slow"):
            self.thinking.release()
            self.enough.wait(WAIT)
            self.thought.release()

    def _before_connection(self, data: Mapping[str, Any]) -> None:
        self._think("connection", data)

    def _before_disconnection(self, data: Mapping[str, Any]) -> None:
        self._think("disconnection", data)

    def _before_task(self, data: Mapping[str, Any]) -> None:
        self._think("task", data)


@pytest.fixture(params=["thread", "process"])
def slave(request: pytest.FixtureRequest, make_slave: MakeSlave) -> Iterator[Thinking]:
    slave = make_slave(Thinking, isolation=request.param, heartbeat_span=0.2)
    try:
        yield slave
    finally:
        slave.enough.set()


@pytest.fixture
def stub(slave: Thinking, stack: ExitStack) -> services.SlaveServiceStub:
    """How a stranger calls."""
    return services.SlaveServiceStub(stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{slave.port}", NO_PROXY)))


@pytest.fixture
def own() -> Iterator[RecordingMaster]:
    """The server of a stranger, who can answer for himself."""
    with recording_master() as own:
        yield own


def ask(stub: services.SlaveServiceStub, own: RecordingMaster, token: str, data: dict[str, Any]) -> grpc.Future[Any]:
    request = messages.ConnectRequest(
        master_address=own.address, lease=duration_of(86_400.0), data=payload_of(data), max_message_bytes=2**20
    )
    return stub.Connect.future(request, metadata=metadata_of(token), timeout=WAIT)


def thinks(slave: Thinking) -> None:
    assert slave.thinking.acquire(timeout=WAIT)


def has_it(master: Master, slave: Thinking) -> float:
    """Its master tries until it has the slave. Returns the seconds that this took."""
    began = time.monotonic()
    while True:
        try:
            with master.new_connection("conn", "127.0.0.1", slave.port):
                return time.monotonic() - began
        except ResponseException:
            assert time.monotonic() - began < SOON
            threading.Event().wait(0.05)


@pytest.mark.parametrize("server", ["stops", "stays"])
def test_others_are_asked_about_beside_a_hook_whose_caller_has_hung_up(
    slave: Thinking, stub: services.SlaveServiceStub, make_master: MakeMaster, server: str
) -> None:
    with recording_master() as own:
        call = ask(stub, own, new_token(), SLOW)
        thinks(slave)
        call.cancel()
        if server == "stays":
            assert has_it(make_master(), slave) < SOON
    if server == "stops":
        assert has_it(make_master(), slave) < SOON
    assert slave.asked == ["connection"] * 2 + ["disconnection"]
    slave.enough.set()
    assert slave.thought.acquire(timeout=WAIT)
    assert has_it(make_master(), slave) < SOON, "what the hook says late opens nothing"


def test_who_calls_again_in_time_hears_the_answer(
    slave: Thinking, stub: services.SlaveServiceStub, own: RecordingMaster
) -> None:
    token = new_token()
    call = ask(stub, own, token, SLOW)
    thinks(slave)
    call.cancel()
    again = ask(stub, own, token, SLOW)
    with pytest.raises(grpc.FutureTimeoutError):
        again.result(RETURN_SECONDS + 1.0)
    slave.enough.set()
    assert again.result(WAIT).incarnation
    assert slave.asked == ["connection"]


def test_those_who_come_again_and_again_and_hang_up_have_only_so_many_hooks_run_beside_each_other(
    slave: Thinking,
    stub: services.SlaveServiceStub,
    make_master: MakeMaster,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(user, "_MOST_LANES", 3)
    for _ in range(3):
        with recording_master() as own:
            call = is_asked_about(stub, own)
            thinks(slave)
            call.cancel()
    with recording_master() as own:
        call = is_asked_about(stub, own)
        assert not slave.thinking.acquire(timeout=0.5), "it waits for its turn"
        call.cancel()
    wait_until(lambda: not slave._interaction._desk._engagement.claims)
    slave.enough.set()
    assert has_it(make_master(), slave) < SOON
    assert slave.asked == ["connection"] * 4 + ["disconnection"], "he is not asked about who left before his turn"


def is_asked_about(stub: services.SlaveServiceStub, own: RecordingMaster) -> grpc.Future[Any]:
    """Call until the one before is known to be gone, and a call waits for the user."""
    began = time.monotonic()
    while True:
        call = ask(stub, own, new_token(), SLOW)
        try:
            call.result(0.5)
        except grpc.FutureTimeoutError:
            return call
        except grpc.RpcError:
            assert time.monotonic() - began < SOON


def end_of(stub: services.SlaveServiceStub, token: str) -> grpc.Future[Any]:
    request = messages.DisconnectRequest(data=payload_of(SLOW))
    return stub.Disconnect.future(request, metadata=metadata_of(token), timeout=WAIT)


def task_of(stub: services.SlaveServiceStub, token: str) -> grpc.Future[Any]:
    request = messages.NewTaskRequest(task=Task(id=new_id(), data=payload_of(SLOW | SUM)))
    return stub.NewTask.future(request, metadata=metadata_of(token), timeout=WAIT)


@pytest.mark.parametrize("request_of", [task_of, end_of])
def test_others_are_asked_about_beside_a_hook_of_a_session_that_is_over(
    slave: Thinking,
    stub: services.SlaveServiceStub,
    make_master: MakeMaster,
    own: RecordingMaster,
    request_of: Callable[[services.SlaveServiceStub, str], grpc.Future[Any]],
) -> None:
    token = new_token()
    assert ask(stub, own, token, {}).result(WAIT)
    call = request_of(stub, token)  # which is over where it is not held
    thinks(slave)
    own.beat_answers.append(HeartbeatResponse(closing=HeartbeatClosing(reason="it is over")))
    assert has_it(make_master(), slave) < SOON
    slave.enough.set()
    assert slave.thought.acquire(timeout=WAIT)
    assert has_it(make_master(), slave) < SOON
    assert slave.ran == [], "the task's session is over"
    call.cancel()


@pytest.mark.parametrize("leave", ["drain", "close"])
def test_a_slave_leaves_while_a_hook_goes_on_for_nobody(
    slave: Thinking, stub: services.SlaveServiceStub, leave: str
) -> None:
    with recording_master() as own:
        call = ask(stub, own, new_token(), SLOW)
        thinks(slave)
        call.cancel()
        leaving = threading.Thread(target=slave.drain if leave == "drain" else slave.shutdown)
        leaving.start()
        leaving.join(SOON)
        assert not leaving.is_alive()
    slave.enough.set()
    assert slave.thought.acquire(timeout=WAIT)
