"""Bodies that nobody needs: of sessions that have ended, and of callers who may be anybody."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from interaction import Master
from interaction.rpc.unproved import LONG, PLACES, SECONDS
from interaction.v1 import master_service_pb2 as of_master
from interaction.v1 import slave_service_pb2 as of_slave
from interaction.v1.payload_pb2 import Payload
from interaction.v1.task_pb2 import TaskResult
from tests.contract.conftest import CHANNEL, Worker
from tests.contract.holding import wait_until
from tests.contract.slave_programs import WAIT
from tests.contract.thief import token_of
from tests.contract.wire import NO_PROXY, SUM, duration_of, metadata_of, new_id, new_token
from tests.hostile.bodies import MASTER, SLAVE
from tests.hostile.conftest import MIB
from tests.hostile.http2 import DATA, Connection, Field, frame, message

LARGE = Payload(json="{}", buffers=[bytes(48 * MIB)])


@pytest.fixture
def slave() -> Iterator[Worker]:
    with Worker("127.0.0.1", 0, channel=CHANNEL, pacemaker=False) as slave:
        yield slave


@pytest.fixture
def master() -> Iterator[Master]:
    with Master("127.0.0.1", 0, channel=CHANNEL) as master:
        yield master


@pytest.fixture
def ended(master: Master, slave: Worker) -> str:
    """The token of a session that has ended."""
    with master.new_connection("conn", "127.0.0.1", slave.port):
        return token_of(slave)


def fields(token: str) -> list[Field]:
    return [(b"channel", b"%d" % CHANNEL), (b"token", token.encode())]


def answer(port: int, path: str, content: bytes, token: str) -> bytes:
    options = [*NO_PROXY, ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        said: bytes = channel.unary_unary(path, bytes, bytes)(content, metadata=metadata_of(token), timeout=WAIT)
        return said


@pytest.mark.parametrize("method", ["ReportResult", "Disconnect"])
def test_what_an_ended_session_says_is_answered_before_the_body(
    master: Master, slave: Worker, ended: str, method: str
) -> None:
    port, path = (master.port, MASTER + method) if method == "ReportResult" else (slave.port, SLAVE + method)
    with Connection(port) as connection:
        connection.open(1, path, *fields(ended))  # and no body follows
        connection.until_end_of(1)


def test_a_late_result_is_stale_and_a_late_disconnect_succeeds_however_long_they_are(
    master: Master, slave: Worker, ended: str
) -> None:
    report = of_master.ReportResultRequest(
        result=TaskResult(task_id=new_id(), status=1, result=LARGE)  # type: ignore[arg-type]  # an enum's number
    )
    for _ in range(3):
        said = answer(master.port, MASTER + "ReportResult", report.SerializeToString(), ended)
        assert of_master.ReportResultResponse.FromString(said).acknowledgement == of_master.RESULT_ACKNOWLEDGEMENT_STALE
        assert answer(
            slave.port, SLAVE + "Disconnect", of_slave.DisconnectRequest(data=LARGE).SerializeToString(), ended
        ) == (of_slave.DisconnectResponse(data=Payload(json="{}")).SerializeToString())


def has_it(master: Master, slave: Worker) -> float:
    began = time.monotonic()
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        assert connection.new_task(SUM).start().join(WAIT).result == {"sum": 3}
    return time.monotonic() - began


def test_who_sends_no_body_has_the_free_slave_for_a_moment(master: Master, slave: Worker) -> None:
    """Of a thousand calls one at a time is waited for, and other connections have their turn."""
    with ExitStack() as stack:
        for _ in range(4):
            connection = stack.enter_context(Connection(slave.port))
            for stream in range(1, 201, 2):
                connection.open(stream, SLAVE + "Connect", *fields(new_token()))
                connection.send(frame(DATA, 0, stream, message(bytes(100))[:-1]))  # all but a byte
        assert has_it(master, slave) < WAIT / 2
    assert len(slave.ran) == 1


def test_a_body_that_does_not_come_is_not_waited_for_while_others_wait(slave: Worker) -> None:
    with ExitStack() as stack:
        connections = [stack.enter_context(Connection(slave.port)) for _ in range(PLACES + 1)]
        for connection in connections:
            connection.open(1, SLAVE + "Connect", *fields(new_token()))

        def one_has_ended() -> bool:
            for connection in connections:
                connection.hear()
            return any(connection.has_ended(1) for connection in connections)

        wait_until(one_has_ended, SECONDS / 2)
        for connection in connections:
            connection.until_end_of(1)


def test_of_long_connects_that_nothing_has_proved_one_is_looked_at(slave: Worker) -> None:
    """A stranger's address that says nothing: each is looked at for ten seconds."""
    data = Payload(json="{}", buffers=[bytes(LONG)])
    content = of_slave.ConnectRequest(
        master_address="127.0.0.1:1", lease=duration_of(9.0), data=data
    ).SerializeToString()

    def code(_: int) -> grpc.StatusCode:
        with pytest.raises(grpc.RpcError) as raised:
            answer(slave.port, SLAVE + "Connect", content, new_token())
        found: grpc.StatusCode = raised.value.code()
        return found

    with ThreadPoolExecutor(4) as threads:
        codes = list(threads.map(code, range(4)))
    assert grpc.StatusCode.UNAVAILABLE in codes
    assert grpc.StatusCode.PERMISSION_DENIED in codes
    assert code(0) is grpc.StatusCode.PERMISSION_DENIED, "the next one is looked at"


class Wordy(Master):
    def _before_connect(self) -> dict[str, Any]:
        return {"weights": bytes(32 * MIB)}


def test_a_master_with_much_to_say_connects_to_a_free_slave(slave: Worker) -> None:
    with Wordy("127.0.0.1", 0, channel=CHANNEL) as master:
        assert has_it(master, slave) < WAIT
