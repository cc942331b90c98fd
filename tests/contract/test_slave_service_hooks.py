"""SlaveService, the Python slave alone: its user is asked once, and what is said is carried."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

import grpc
import pytest
from grpc_status import rpc_status

from interaction.slave import ConnectionRefuse, DisconnectionRefuse, TaskRefuse
from interaction.v1 import slave_service_pb2 as messages
from interaction.v1.payload_pb2 import Payload
from interaction.v1.task_pb2 import Task
from tests.contract.conftest import Call, MakeSlave, Worker
from tests.contract.slave_programs import WAIT
from tests.contract.wire import (
    FORBIDDEN,
    REQUEST_INVALID,
    SUM,
    Caller,
    Refusal,
    duration_of,
    failed,
    metadata_of,
    new_id,
    new_token,
    payload_of,
    refusal_of,
    refused,
)


class Asked(Worker):
    """Waits until it may answer, and answers how often it was asked, or refuses with that."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.asked: list[str] = []
        self.refuse = ""
        self.being_asked = threading.Event()
        self.answer = threading.Event()
        self.answer.set()

    def _say(self, what: str, refusal: type[Exception]) -> Mapping[str, Any]:
        self.asked.append(what)
        self.being_asked.set()
        assert self.answer.wait(WAIT)
        if what == self.refuse:
            raise refusal({"times": len(self.asked)})
        return {"times": len(self.asked)}

    def _before_connection(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._say("connect", ConnectionRefuse)

    def _before_disconnection(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._say("disconnect", DisconnectionRefuse)

    def _before_task(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._say("task", TaskRefuse)


@pytest.fixture
def asked(make_slave: MakeSlave) -> Asked:
    return make_slave(Asked)


def carried(error: grpc.RpcError) -> tuple[Refusal, Any]:
    """A refusal, and what the user has to say with it."""
    assert isinstance(error, grpc.Call)
    status = rpc_status.from_call(error)
    assert status is not None
    (payload,) = [Payload.FromString(one.value) for one in status.details if one.Is(Payload.DESCRIPTOR)]
    return refusal_of(error), json.loads(payload.json)


def ask_twice(caller: Caller, asked: Asked, what: str) -> list[Any]:
    """Ask, ask again while the first waits for the user, and once more when both are answered."""
    task = messages.NewTaskRequest(task=Task(id=new_id(), data=payload_of(SUM)))
    token = new_token() if what == "connect" else caller.token
    stub, request = {
        "connect": (
            caller.stub.Connect,
            messages.ConnectRequest(master_address=caller.master.address, lease=duration_of(10)),
        ),
        "disconnect": (caller.stub.Disconnect, messages.DisconnectRequest()),
        "task": (caller.stub.NewTask, task),
    }[what]
    asked.being_asked.clear()
    asked.answer.clear()
    both = [stub.future(request, metadata=metadata_of(token), timeout=WAIT)]  # type: ignore[attr-defined]
    assert asked.being_asked.wait(WAIT)
    both.append(stub.future(request, metadata=metadata_of(token), timeout=WAIT))  # type: ignore[attr-defined]
    caller.ping()  # it comes behind the second
    asked.answer.set()
    answers = [one.exception() or one.result() for one in both]
    third = stub.future(request, metadata=metadata_of(token), timeout=WAIT)  # type: ignore[attr-defined]
    caller.token = token
    return [*answers, third.exception() or third.result()]


@pytest.mark.parametrize("what", ["connect", "task", "disconnect"])
def test_what_is_asked_again_asks_the_user_once(call: Call, asked: Asked, what: str) -> None:
    caller = call(asked)
    if what != "connect":
        caller.connect()
        asked.asked.clear()
    answers = ask_twice(caller, asked, what)
    assert asked.asked == [what]
    assert [json.loads(answer.data.json) for answer in answers] == [{"times": 1}] * 3
    if what == "task":
        assert caller.value() == {"sum": 3}
        assert asked.ran == [SUM]


@pytest.mark.parametrize(
    ("what", "reason"), [("connect", "SLAVE_CONNECTION_REFUSED"), ("task", "TASK_REFUSED")], ids=["connect", "task"]
)
def test_a_refusal_is_given_again_with_its_data_and_asks_the_user_once(
    call: Call, asked: Asked, what: str, reason: str
) -> None:
    caller = call(asked)
    if what == "task":
        caller.connect()
        asked.asked.clear()
    asked.refuse = what
    answers = ask_twice(caller, asked, what)
    assert asked.asked == [what]
    assert [carried(answer) for answer in answers] == [((FORBIDDEN, reason), {"times": 1})] * 3
    asked.refuse = ""
    if what == "connect":
        caller.connect()  # another token is another question
    caller.new_task(SUM)
    assert caller.value() == {"sum": 3}
    assert asked.ran == [SUM]


def test_a_refused_disconnection_changes_nothing_and_may_be_asked_again(call: Call, asked: Asked) -> None:
    caller = call(asked)
    caller.connect()
    asked.refuse = "disconnect"
    for times in (2, 3):
        error = failed(caller.disconnect)
        assert carried(error) == ((FORBIDDEN, "SLAVE_DISCONNECTION_REFUSED"), {"times": times})
    caller.new_task(SUM)
    assert caller.value() == {"sum": 3}
    asked.refuse = ""
    assert json.loads(caller.disconnect().data.json) == {"times": 5}
    assert asked.asked == ["connect", "disconnect", "disconnect", "task", "disconnect"]


def test_a_user_is_not_asked_about_a_resumed_session(call: Call, asked: Asked) -> None:
    caller = call(asked)
    caller.connect()
    caller.connect(caller.token)
    assert asked.asked == ["connect"]


def test_what_can_be_refused_otherwise_does_not_ask_the_user(call: Call, asked: Asked) -> None:
    caller = call(asked)
    unreadable = Payload(json="{")
    assert refused(caller.connect, data=unreadable) == REQUEST_INVALID
    assert refused(caller.connect, lease=0.0) == REQUEST_INVALID
    caller.connect()
    assert refused(caller.new_task, unreadable)
    assert refused(caller.disconnect, data=unreadable) == REQUEST_INVALID
    assert asked.asked == ["connect"]


def test_a_masters_address_that_is_not_allowed_is_refused(call: Call, make_slave: MakeSlave) -> None:
    caller = call(make_slave(Worker, allowed_masters=["10.0.0.0/8"]))
    assert refused(caller.connect) == REQUEST_INVALID
    assert caller.master.streams.empty(), "nobody is asked there"
    call(make_slave(Worker, allowed_masters=["127.0.0.0/8"])).connect()


def test_the_python_slave_says_how_long_a_message_may_be(call: Call, make_slave: MakeSlave) -> None:
    assert call(make_slave(Worker)).connect().max_message_bytes == 64 * 1024 * 1024
    assert call(make_slave(Worker, max_message_bytes=10**6)).connect().max_message_bytes == 10**6
