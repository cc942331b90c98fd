"""Under a secret nobody is believed who answers without it: at the port of a slave or a master that has gone, at a
wrong address, or on the way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import grpc
import pytest

from interaction import Master, SlaveConnectionProxy, TaskStatus
from interaction.exception import LeaseExpired, LossReason, RequestException, SlaveChannelInvalid, TaskLost
from interaction.v1 import master_service_pb2 as from_slaves
from interaction.v1 import slave_service_pb2 as from_masters
from tests.contract.conftest import MakeMaster, MakeSlave, Worker, plain_and_aio
from tests.contract.frames import FrameWatch, frame_watch
from tests.contract.holding import wait_until
from tests.contract.recording_master import Failure, RecordingMaster, recording_master
from tests.contract.scripted_slave import ScriptedSlave, scripted_slave
from tests.contract.signing import MASTER, OTHER, SECRET, SLAVE, Answering, answer_to, signed
from tests.contract.slave_programs import WAIT
from tests.contract.test_secret_calls import incarnation_of
from tests.contract.wire import NO_PROXY, new_token

facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)
UNBELIEVED = "does not show that they know the secret, and is not believed"
DENIED, GONE = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAVAILABLE


@pytest.fixture(params=["calls", "work"])
def impostor(request: pytest.FixtureRequest) -> Iterator[ScriptedSlave]:
    """A slave without the secret, which takes everything."""
    with scripted_slave() as slave:
        slave.features = ["work"] if request.param == "work" else []
        yield slave


@pytest.fixture(params=["without", "another"])
def pretender(request: pytest.FixtureRequest) -> Iterator[RecordingMaster]:
    """A master without the secret, which acknowledges everything."""
    with recording_master(*([] if request.param == "without" else [Answering(OTHER)])) as master:
        yield master


@pytest.fixture
def way() -> Iterator[FrameWatch]:
    with frame_watch(0) as way:
        yield way


def told(way: FrameWatch, port: int) -> None:
    """Who dials that address finds somebody else from now on."""
    way.target = port
    way.snap()


# Who is taken for a slave.


def test_a_slave_that_does_not_know_the_secret_is_not_connected_to_and_connect_says_why_at_once(
    make_master: MakeMaster, impostor: ScriptedSlave
) -> None:
    master = make_master(Master, secret=SECRET, request_retries=5, request_retry_waiting=1.0)
    connection = master.new_connection("conn", "127.0.0.1", impostor.port)
    began = time.monotonic()
    with pytest.raises(RequestException, match=f"the slave at 127.0.0.1:{impostor.port} {UNBELIEVED}.*INTERACTION_S"):
        connection.connect()
    assert time.monotonic() - began < 2.0
    assert not connection.is_connected
    assert impostor.arrivals.empty()


@pytest.mark.parametrize("reason", ["SLAVE_CONNECTION_REFUSED", "SLAVE_ALREADY_CONNECTED", "SYSTEM_SHUTTING_DOWN"])
def test_a_refusal_by_somebody_who_does_not_know_the_secret_is_none(
    make_master: MakeMaster, impostor: ScriptedSlave, reason: str
) -> None:
    master = make_master(Master, secret=SECRET)
    impostor.connect_answers.append(Failure(DENIED, reason))
    with pytest.raises(RequestException, match=UNBELIEVED):
        master.new_connection("conn", "127.0.0.1", impostor.port).connect()


def test_a_slave_that_signs_its_answers_by_the_secret_is_believed(make_master: MakeMaster) -> None:
    with scripted_slave(Answering()) as slave:
        master = make_master(Master, secret=(OTHER, SECRET))
        connection = master.new_connection("conn", "127.0.0.1", slave.port)
        connection.connect()
        assert connection.is_connected


def test_an_answer_by_a_secret_that_is_known_here_alone_as_a_later_one_is_told_at_once(
    make_master: MakeMaster, make_slave: MakeSlave
) -> None:
    """The slave signs by its first secret, which the master lacks: none of its beats would be believed."""
    master, slave = make_master(Master, secret=SECRET), make_slave(Worker, secret=(OTHER, SECRET))
    began = time.monotonic()
    with pytest.raises(RequestException, match="of several the first one signs"):
        master.new_connection("conn", "127.0.0.1", slave.port).connect()
    assert time.monotonic() - began < 5.0


@pytest.mark.parametrize("fast_road", [True, False])
@pytest.mark.parametrize("refusal", [None, "SLAVE_NOT_CONNECTED", "MASTER_TOKEN_INVALID", "SYSTEM_SHUTTING_DOWN"])
def test_who_has_taken_a_slaves_place_forges_no_result_sees_no_task_by_work_and_ends_no_session(
    make_master: MakeMaster, make_slave: MakeSlave, way: FrameWatch, refusal: str | None, fast_road: bool
) -> None:
    slave = make_slave(Worker, secret=SECRET, fast_road=fast_road)
    way.target = slave.port
    # What goes by the connection that breaks is tried again.
    master = make_master(Master, secret=SECRET, request_timeout=3.0, request_retries=9)
    connection = master.new_connection("conn", "127.0.0.1", way.port)
    connection.connect()
    with scripted_slave() as impostor:
        impostor.features, impostor.incarnation = ["work"] * fast_road, incarnation_of(slave)
        if refusal is not None:
            impostor.work_answers.extend([Failure(DENIED, refusal)] * 9)
            impostor.task_answers.extend([Failure(DENIED, refusal)] * 9)
        told(way, impostor.port)
        task = connection.new_task({"a": 1, "b": 2})
        silent = fast_road and refusal is None  # it takes the stream, and says nothing before it is given a task
        with pytest.raises(RequestException, match=f"{UNBELIEVED}|did not answer" if silent else UNBELIEVED):
            task.start()
        assert task.status is TaskStatus.START_FAILED
        while not impostor.works.empty():
            assert impostor.works.get().requests.empty(), "a message of tasks"
        told(way, slave.port)
    assert connection.is_connected
    assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}
    assert slave.lost == []


def test_who_has_taken_a_slaves_place_ends_no_session_by_answering_disconnect(
    make_master: MakeMaster, make_slave: MakeSlave, way: FrameWatch, impostor: ScriptedSlave
) -> None:
    slave = make_slave(Worker, secret=SECRET)
    way.target = slave.port
    master = make_master(Master, secret=SECRET, request_retries=9)
    connection = master.new_connection("conn", "127.0.0.1", way.port)
    connection.connect()
    impostor.incarnation = incarnation_of(slave)
    told(way, impostor.port)
    with pytest.raises(RequestException, match=UNBELIEVED):
        connection.disconnect()
    told(way, slave.port)


# Who is taken for a master.


def session_by(
    way: FrameWatch, make_master: MakeMaster, slave: Worker, tolerance: float
) -> tuple[Master, SlaveConnectionProxy]:
    master = make_master(
        Master, secret=SECRET, heartbeat_tolerance=tolerance, my_address=f"127.0.0.1:{way.port}", request_timeout=30.0
    )
    way.target = master.port
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    return master, connection


def test_beats_that_are_acknowledged_without_the_secret_renew_no_lease(
    make_master: MakeMaster, make_slave: MakeSlave, way: FrameWatch, pretender: RecordingMaster
) -> None:
    slave = make_slave(Worker, secret=SECRET)
    session_by(way, make_master, slave, 3.0)
    told(way, int(pretender.address.rpartition(":")[2]))
    assert slave.lost_connection.wait(WAIT)
    ((_, error),) = slave.lost
    assert isinstance(error, LeaseExpired)
    assert UNBELIEVED in str(error)
    assert not pretender.beats.empty()


@pytest.mark.parametrize(
    "answer",
    [
        from_slaves.HeartbeatResponse(closing=from_slaves.HeartbeatClosing(reason="forged")),
        Failure(DENIED, "SLAVE_TOKEN_INVALID"),
        Failure(GONE, "SYSTEM_SHUTTING_DOWN"),
        Failure(grpc.StatusCode.ABORTED),
        None,
    ],
    ids=["closing", "token", "shutting down", "replaced", "end"],
)
def test_nobody_ends_a_session_or_its_heartbeat_without_the_secret(
    make_master: MakeMaster, make_slave: MakeSlave, way: FrameWatch, pretender: RecordingMaster, answer: Any
) -> None:
    slave = make_slave(Worker, secret=SECRET)
    master, connection = session_by(way, make_master, slave, 12.0)
    pretender.beat_answers.extend([answer] * 3)
    told(way, int(pretender.address.rpartition(":")[2]))
    wait_until(lambda: pretender.opened >= 3)
    told(way, master.port)
    assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}
    lease = slave._interaction._desk._session.heart._lease  # type: ignore[union-attr]
    last = lease.renewed_at
    wait_until(lambda: lease.renewed_at > last)
    assert slave.lost == []


@pytest.mark.parametrize(
    "answer",
    [
        1,
        Failure(DENIED, "SLAVE_TOKEN_INVALID"),
        Failure(grpc.StatusCode.INVALID_ARGUMENT, "TASK_DATA_INVALID"),
        Failure(grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID"),
        Failure(grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
    ids=["recorded", "token", "unreadable", "malformed", "too long"],
)
def test_a_result_is_kept_until_a_master_has_it_that_knows_the_secret(
    make_master: MakeMaster, make_slave: MakeSlave, way: FrameWatch, pretender: RecordingMaster, answer: Any
) -> None:
    slave = make_slave(Worker, secret=SECRET, fast_road=False)
    master, connection = session_by(way, make_master, slave, 20.0)
    task = connection.new_task({"wait": 1}).start()
    assert slave.running.wait(WAIT)
    pretender.report_answers.extend([answer] * 20)
    told(way, int(pretender.address.rpartition(":")[2]))
    slave.go_on.set()
    for _ in range(4):
        pretender.reports.get(timeout=WAIT)
    told(way, master.port)
    assert task.join(WAIT).result == {"waited": 1}
    assert slave.lost == []


def test_a_master_that_does_not_know_the_secret_gets_no_session_by_another_of_that_address(
    make_slave: MakeSlave, make_master: MakeMaster, pretender: RecordingMaster
) -> None:
    """A master that knows it names an address at which somebody else is: connect() is told at once."""
    slave = make_slave(Worker, secret=SECRET)
    master = make_master(Master, secret=SECRET, my_address=pretender.address)
    with pytest.raises(Exception, match=f"the master at {pretender.address}.*{UNBELIEVED}"):
        master.new_connection("conn", "127.0.0.1", slave.port).connect()
    assert slave.lost == []


# What a server signs.


def signature_of(port: int, path: str, metadata: Any) -> list[Any]:
    """What an answer to an empty message, or a refusal, is signed with."""
    with grpc.insecure_channel(f"127.0.0.1:{port}", NO_PROXY) as channel:
        call = channel.stream_stream(path, lambda content: content, lambda content: content)(
            iter([from_masters.DisconnectRequest().SerializeToString()]), metadata=metadata, timeout=WAIT
        )
        with suppress(grpc.RpcError):
            next(call, None)
        came = [*(call.initial_metadata() or ()), *(call.trailing_metadata() or ())]
        call.cancel()
    return [value for key, value in came if key == "answer-signature"]


@pytest.mark.parametrize("method", ["Connect", "Disconnect", "NewTask", "Work", "CancelTask"])
def test_a_slave_signs_every_answer_to_a_call_that_is_signed_rightly_refusals_included(
    make_slave: MakeSlave, method: str
) -> None:
    slave = make_slave(Worker, secret=(SECRET, OTHER))
    mine, path = incarnation_of(slave), f"{SLAVE}{method}"
    terms: dict[str, Any] = {"lease": 10**10, "address": "127.0.0.1:1"} if method == "Connect" else {}
    assert_signed(slave.port, path, signed(path, new_token(), mine, **terms))
    assert_signed(slave.port, path, signed(path, new_token(), mine, secret=OTHER, **terms))
    assert_signed(slave.port, path, signed(path, new_token(), mine, at=time.time() - 400, **terms))
    assert_signed(slave.port, path, signed(path, new_token(), "b" * 32, **terms))
    assert_unsigned(slave.port, path, mine, terms)


@pytest.mark.parametrize("method", ["Heartbeat", "ReportResult"])
def test_a_master_signs_every_answer_to_a_call_that_is_signed_rightly_refusals_included(
    make_master: MakeMaster, method: str
) -> None:
    master, path = make_master(Master, secret=(SECRET, OTHER)), f"{MASTER}{method}"
    assert_signed(master.port, path, signed(path, new_token()))
    assert_signed(master.port, path, signed(path, new_token(), secret=OTHER))
    assert_signed(master.port, path, signed(path, new_token(), at=time.time() - 400))
    assert_unsigned(master.port, path, "", {})


def assert_signed(port: int, path: str, metadata: Any) -> None:
    found = signature_of(port, path, metadata)
    assert found, "signed at least once"
    assert set(found) == {answer_to(metadata, SECRET)}


def assert_unsigned(port: int, path: str, slave: str, terms: dict[str, Any]) -> None:
    good = signed(path, new_token(), slave, **terms)
    assert signature_of(port, path, good[:-1]) == []
    assert signature_of(port, path, signed(path, new_token(), slave, secret="n" * 40, **terms)) == []
    assert signature_of(port, path, (*good, good[-1])) == []
    assert signature_of(port, path, signed(f"{path}2", new_token(), slave, **terms)) == []


def test_a_refusal_for_the_channel_is_signed_and_so_believed(make_master: MakeMaster, make_slave: MakeSlave) -> None:
    """Though it comes before anybody asks for a signature."""
    master, slave = make_master(Master, secret=SECRET, channel=8), make_slave(Worker, secret=SECRET)
    with pytest.raises(SlaveChannelInvalid):
        master.new_connection("conn", "127.0.0.1", slave.port).connect()


def test_a_master_that_shuts_down_is_believed(make_master: MakeMaster, make_slave: MakeSlave) -> None:
    master, slave = make_master(Master, secret=SECRET), make_slave(Worker, secret=SECRET)
    master.new_connection("conn", "127.0.0.1", slave.port).connect()
    master.shutdown()
    assert slave.lost_connection.wait(WAIT)
    assert not isinstance(slave.lost[0][1], LeaseExpired)


def test_a_slave_that_leaves_is_believed(make_master: MakeMaster, make_slave: MakeSlave) -> None:
    master, slave = make_master(Master, secret=SECRET), make_slave(Worker, secret=SECRET)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    task = connection.new_task({"wait": 1}).start()
    assert slave.running.wait(WAIT)
    slave.go_on.set()
    slave.shutdown()
    wait_until(lambda: not connection.is_connected)
    task.join(WAIT)
    if isinstance(task.error, TaskLost):
        assert task.error.reason is LossReason.DISCONNECTED
