"""A whole life, with failures, refusals, losses and hostile calls: no log holds a token or a payload."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import grpc
import pytest

from interaction import (
    ConnectionRefuse,
    DisconnectionRefuse,
    Master,
    Slave,
    SlaveConnectionProxy,
    TaskFail,
    TaskRefuse,
    TaskStatus,
)
from interaction.exception import (
    SlaveSlaveConnectionRefused,
    SlaveSlaveDisconnectionRefused,
    SlaveTaskRefused,
)
from interaction.v1 import master_service_pb2, slave_service_pb2, task_pb2
from interaction.v1.payload_pb2 import Payload
from tests.contract.slave_programs import CHANNEL, WAIT
from tests.contract.wire import NO_PROXY, metadata_of, new_id, new_token, refused_or_done

CANARY = "tweety-5f1d"
DATA = {CANARY: CANARY}  # as a key and as a value


class Bird(Slave):
    """Says the canary wherever it may say anything, and does what a task says."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1", 0, channel=CHANNEL, request_retry_waiting=0.05)
        self.refuses = self.says_nonsense = True
        self.lost = threading.Event()

    def _before_connection(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.says_nonsense:
            return {CANARY: {CANARY: object()}}
        if self.refuses:
            raise ConnectionRefuse(DATA)
        return DATA

    def _before_disconnection(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.refuses:
            raise DisconnectionRefuse(DATA)
        return DATA

    def _before_task(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        if data["do"] == "refuse":
            raise TaskRefuse(DATA)
        return DATA

    def _process_task(self, task: Mapping[str, Any]) -> Any:
        if task["do"] == "fail":
            raise TaskFail(DATA)
        if task["do"] == "raise":
            raise ValueError("the words of users' exceptions are their own")
        if task["do"] == "nonsense":
            return {CANARY: [{CANARY: object()}]}
        if task["do"] == "doubled":
            return {1: CANARY, "1": CANARY}
        return {**task, "bytes": CANARY.encode()}

    def _lost_connection(self, master_address: str, error: Exception) -> None:
        self.lost.set()


class Cat(Master):
    def _before_connect(self) -> Mapping[str, Any]:
        return DATA

    def _before_disconnect(self) -> Mapping[str, Any]:
        return DATA


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """All loggers, with all that they have to say."""
    caplog.set_level(logging.DEBUG)
    caplog.handler.setFormatter(logging.Formatter("%(name)s %(message)s"))  # which adds a traceback
    return caplog


def made(stack: ExitStack) -> tuple[Cat, Bird]:
    master = Cat("127.0.0.1", 0, channel=CHANNEL, request_retries=0)
    return stack.enter_context(master), stack.enter_context(Bird())


def token_of(connection: SlaveConnectionProxy) -> str:
    assert connection._link is not None
    return connection._link.token


def live(master: Cat, bird: Bird) -> list[str]:
    """Connect, be refused, work, fail, disconnect. Returns the tokens of the sessions."""
    tokens = []
    connection = master.new_connection("bird", "127.0.0.1", bird.port)
    for _ in range(2):
        with pytest.raises(SlaveSlaveConnectionRefused):
            connection.connect()
        tokens.append(token_of(connection))
        bird.says_nonsense = False
    bird.refuses = False
    connection.connect()
    tokens.append(token_of(connection))
    ends = {
        "echo": TaskStatus.COMPLETED,
        "fail": TaskStatus.FAILED,
        "raise": TaskStatus.FAILED,
        "nonsense": TaskStatus.FAILED,
        "doubled": TaskStatus.FAILED,
    }
    for do, end in ends.items():
        assert connection.new_task({"do": do, **DATA}).start().join(WAIT).status is end
    with pytest.raises(SlaveTaskRefused):
        connection.new_task({"do": "refuse", **DATA}).start()
    bird.refuses = True
    with pytest.raises(SlaveSlaveDisconnectionRefused):
        connection.disconnect()
    bird.refuses = False
    return tokens


def harass(master: Cat, bird: Bird, token: str) -> None:
    """Call both sides with good and bad tokens and messages, all with the canary in them."""
    bad = Payload(json='{"' + CANARY + '": {"$bytes": 9}}')
    end = task_pb2.TaskResult(task_id=new_id(), status=1, result=bad)  # type: ignore[arg-type]
    tasks = [slave_service_pb2.NewTaskRequest(task=task_pb2.Task(id=one, data=bad)) for one in (CANARY, new_id())]
    unread = master_service_pb2.ReportResultRequest(result=end)  # nobody has that task
    requests: list[tuple[int, str, Any]] = [
        *((bird.port, "SlaveService/NewTask", task) for task in tasks),
        (bird.port, "SlaveService/Connect", slave_service_pb2.ConnectRequest(master_address=CANARY, data=bad)),
        (bird.port, "SlaveService/Disconnect", slave_service_pb2.DisconnectRequest(data=bad)),
        (master.port, "MasterService/ReportResult", unread),
        (master.port, "MasterService/Heartbeat", master_service_pb2.HeartbeatRequest(sequence=1)),
    ]
    for port, method, request in requests:
        with grpc.insecure_channel(f"127.0.0.1:{port}", NO_PROXY) as channel:
            call = channel.stream_stream(f"/interaction.v1.{method}", bytes, bytes)
            for brought in (token, new_token(), CANARY * 4, CANARY):
                if method.endswith("Heartbeat") and brought == token:
                    continue  # it would take the place of the slave's own
                for content in (request.SerializeToString(), b"\xff" + CANARY.encode()):
                    ended = call(iter([content]), metadata=metadata_of(brought, CANARY), timeout=WAIT)
                    answered = request is unread and brought == token and content[0] != 0xFF
                    assert (refused_or_done(partial(next, ended)) is None) == answered


@pytest.mark.timeout(90)
def test_no_log_holds_a_token_or_a_payload(log: pytest.LogCaptureFixture) -> None:
    with ExitStack() as stack:
        master, bird = made(stack)
        tokens = live(master, bird)
        harass(master, bird, tokens[-1])
        connection = master["bird"]
        connection.disconnect()
        connection.connect()  # and the master dies without a word
        tokens.append(token_of(connection))
        task = connection.new_task({"do": "echo", **DATA}).start()
        assert task.join(WAIT).status is TaskStatus.COMPLETED
        master.shutdown()
        assert bird.lost.wait(WAIT)
        other, _ = made(stack)
        connection = other.new_connection("bird", "127.0.0.1", bird.port)
        connection.connect()
        tokens.append(token_of(connection))
        bird.drain(WAIT)
    lines = log.text
    assert "refused a connection" in lines
    assert "can't be carried" in lines
    assert "lost" in lines
    assert len(tokens) == 5
    for secret in (CANARY, *tokens):
        at = lines.find(secret)
        assert at < 0, lines[max(0, at - 500) : at + 100]
