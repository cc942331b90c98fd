"""Signed calls by hand, to a slave and to a master with a secret: what is believed, and how often."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from interaction import Master, Slave, SlaveConnectionProxy
from interaction.v1 import master_service_pb2 as from_slaves
from interaction.v1 import slave_service_pb2 as from_masters
from interaction.v1.payload_pb2 import Payload
from interaction.v1.task_pb2 import Task
from tests.contract.conftest import MakeMaster, MakeSlave, Worker
from tests.contract.recording_master import recording_master
from tests.contract.scripted_slave import completed
from tests.contract.signing import MASTER, OTHER, SECRET, SLAVE, Answering, signed
from tests.contract.slave_programs import WAIT
from tests.contract.wire import (
    CHANNEL_GIVEN,
    FORBIDDEN,
    NO_PROXY,
    NO_STATE,
    NOBODY,
    Metadata,
    Refusal,
    duration_of,
    new_id,
    new_token,
    refusal_of,
)
from tests.hostile.peers import INCARNATION, AnyPeer, served

MISSING_AT_SLAVE, MISSING_AT_MASTER = (NOBODY, "SIGNATURE_NOT_FOUND"), (NOBODY, "SIGNATURE_NOT_GIVEN")
INVALID, STALE = (FORBIDDEN, "SIGNATURE_INVALID"), (FORBIDDEN, "SIGNATURE_STALE")
TAKEN = (grpc.StatusCode.FAILED_PRECONDITION, "SLAVE_ALREADY_CONNECTED")
LEASE = 10_000_000_000
DONE = None


class Peer:
    """Calls one server, each method as a stream on the wire."""

    def __init__(self, port: int) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", NO_PROXY)

    def call(self, path: str, message: Any, metadata: Metadata) -> Refusal | None:
        """Make a call; returns what it was refused with, or DONE."""
        call = self.channel.stream_stream(path, lambda content: content, lambda content: content)(
            iter([message.SerializeToString()]), metadata=metadata, timeout=WAIT
        )
        try:
            next(call, None)
        except grpc.RpcError as error:
            return refusal_of(error)
        finally:
            call.cancel()
        return DONE


@pytest.fixture
def to_slave(make_slave: MakeSlave) -> Iterator[tuple[Peer, Worker]]:
    slave = make_slave(Worker, secret=SECRET)
    peer = Peer(slave.port)
    yield peer, slave
    peer.channel.close()


def incarnation_of(slave: Slave) -> str:
    return slave._interaction._desk.identity().incarnation


@pytest.fixture
def at_home() -> Iterator[str]:
    """The address of a master that acknowledges whatever comes."""
    with recording_master(Answering()) as master:
        yield master.address


def connect_request(address: str, lease: float = 10.0) -> from_masters.ConnectRequest:
    return from_masters.ConnectRequest(master_address=address, lease=duration_of(lease))


def new_task() -> from_masters.NewTaskRequest:
    return from_masters.NewTaskRequest(task=Task(id=new_id(), data=Payload(json='{"echo": 1}')))


@pytest.mark.parametrize("method", ["Connect", "Disconnect", "NewTask", "Work", "CancelTask"])
def test_a_slave_takes_no_call_that_is_not_signed_and_says_nothing_of_tokens(
    to_slave: tuple[Peer, Worker], at_home: str, method: str
) -> None:
    peer, slave = to_slave
    token, mine = new_token(), incarnation_of(slave)
    terms: dict[str, Any] = {"lease": LEASE, "address": at_home}
    opened = peer.call(f"{SLAVE}Connect", connect_request(at_home), signed(f"{SLAVE}Connect", token, mine, **terms))
    assert opened is DONE
    more: dict[str, Any] = terms if method == "Connect" else {}
    path, message = f"{SLAVE}{method}", from_masters.DisconnectRequest()
    for known in (token, new_token()):
        good = signed(path, known, mine, **more)
        assert peer.call(path, message, good[:-1]) == MISSING_AT_SLAVE
        assert peer.call(path, message, (*good, good[-1])) == INVALID
        assert peer.call(path, message, (*good[:-1], ("signature", "x" * 200))) == INVALID
        assert peer.call(path, message, signed(path, known, mine, secret=OTHER, **more)) == INVALID
        assert peer.call(path, message, signed(f"{SLAVE}Ping", known, mine, **more)) == INVALID
        assert peer.call(path, message, signed(path, known, mine, at=time.time() - 400, **more)) == STALE
        assert peer.call(path, message, signed(path, known, mine, at=time.time() + 400, **more)) == STALE
    assert slave.lost == []
    assert slave.ran == []


def test_ping_health_and_reflection_need_no_signature(to_slave: tuple[Peer, Worker], make_master: MakeMaster) -> None:
    peer, slave = to_slave
    assert slave.ping()
    assert peer.call(f"{SLAVE}Ping", from_masters.SlaveServicePingRequest(), ()) is DONE
    assert peer.call("/grpc.health.v1.Health/Check", from_masters.SlaveServicePingRequest(), ()) is DONE
    assert peer.call("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", new_task(), ()) is DONE
    assert make_master(Master, secret=SECRET).ping()


def test_a_signature_is_taken_once_also_where_the_call_that_it_came_with_was_refused_later(
    to_slave: tuple[Peer, Worker], at_home: str
) -> None:
    peer, slave = to_slave
    token, mine, path = new_token(), incarnation_of(slave), f"{SLAVE}Connect"
    bad = signed(path, new_token(), mine, lease=LEASE, address="127.0.0.1:1")
    assert peer.call(path, connect_request(at_home), bad) == INVALID
    assert peer.call(path, connect_request("127.0.0.1:1"), bad) == STALE
    good = signed(path, token, mine, lease=LEASE, address=at_home)
    assert peer.call(path, connect_request(at_home), good) is DONE
    assert peer.call(path, connect_request(at_home), good) == STALE
    late = signed(path, new_token(), mine, lease=LEASE, address=at_home)
    assert peer.call(path, connect_request(at_home), late) == TAKEN
    assert peer.call(path, connect_request(at_home), late) == STALE
    task = signed(f"{SLAVE}NewTask", token, mine)
    assert peer.call(f"{SLAVE}NewTask", new_task(), task) is DONE
    assert peer.call(f"{SLAVE}NewTask", new_task(), task) == STALE
    end = signed(f"{SLAVE}Disconnect", token, mine)
    assert peer.call(f"{SLAVE}Disconnect", from_masters.DisconnectRequest(), end) is DONE
    assert peer.call(f"{SLAVE}Disconnect", from_masters.DisconnectRequest(), end) == STALE


@pytest.mark.parametrize(
    ("lease", "address"), [(10.0, "127.0.0.1:1"), (86400.0, None), (10.000000001, None), (10.0, "127.0.0.1:07235")]
)
def test_what_connect_says_is_what_was_signed(
    to_slave: tuple[Peer, Worker], at_home: str, lease: float, address: str | None
) -> None:
    peer, slave = to_slave
    path = f"{SLAVE}Connect"
    request = connect_request(address or at_home, 1.0)
    request.lease.FromNanoseconds(round(lease * 1e9))
    metadata = signed(path, new_token(), incarnation_of(slave), lease=LEASE, address=at_home)
    assert peer.call(path, request, metadata) == INVALID
    without = signed(path, new_token(), incarnation_of(slave))
    assert peer.call(path, connect_request(at_home), without) == INVALID
    good = signed(path, new_token(), incarnation_of(slave), lease=LEASE, address=at_home)
    assert peer.call(path, connect_request(at_home), good) is DONE


def test_what_one_slave_was_sent_is_of_no_use_at_another_with_the_same_secret(
    to_slave: tuple[Peer, Worker], make_slave: MakeSlave, at_home: str
) -> None:
    """Nor at the same one after its restart, which is another one."""
    _, slave = to_slave
    other = make_slave(Worker, secret=SECRET)
    peer, token, path = Peer(other.port), new_token(), f"{SLAVE}Connect"
    terms: dict[str, Any] = {"lease": LEASE, "address": at_home}
    try:
        seen = signed(path, token, incarnation_of(slave), **terms)
        assert peer.call(path, connect_request(at_home), seen) == STALE
        mine = signed(path, token, incarnation_of(other), **terms)
        assert peer.call(path, connect_request(at_home), mine) is DONE
        task = signed(f"{SLAVE}NewTask", token, incarnation_of(slave))
        assert peer.call(f"{SLAVE}NewTask", new_task(), task) == STALE
        assert other.ran == []
    finally:
        peer.channel.close()


def test_a_previous_token_is_signed_too(to_slave: tuple[Peer, Worker], at_home: str) -> None:
    peer, slave = to_slave
    first, second, path = new_token(), new_token(), f"{SLAVE}Connect"
    terms: dict[str, Any] = {"lease": LEASE, "address": at_home}
    assert peer.call(path, connect_request(at_home), signed(path, first, incarnation_of(slave), **terms)) is DONE
    alone = signed(path, second, incarnation_of(slave), **terms)
    assert peer.call(path, connect_request(at_home), (*alone, ("previous-token", first))) == INVALID
    assert peer.call(path, connect_request(at_home), alone) == (NO_STATE, "SLAVE_ALREADY_CONNECTED")
    resumes = signed(path, second, incarnation_of(slave), previous=first, **terms)
    assert peer.call(path, connect_request(at_home), resumes) is DONE


# A master.


@pytest.fixture
def session(make_master: MakeMaster, make_slave: MakeSlave) -> tuple[Master, SlaveConnectionProxy, Worker]:
    master, slave = make_master(Master, secret=SECRET), make_slave(Worker, secret=SECRET)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    return master, connection, slave


@pytest.fixture
def to_master(session: tuple[Master, SlaveConnectionProxy, Worker]) -> Iterator[Callable[..., Refusal | None]]:
    peer = Peer(session[0].port)
    yield peer.call
    peer.channel.close()


def token_of(connection: SlaveConnectionProxy) -> str:
    assert connection._link is not None
    return connection._link.token


LEAVING = from_slaves.HeartbeatRequest(sequence=1, leaving=from_slaves.HeartbeatLeaving(reason="stolen"))


@pytest.mark.parametrize("method", ["Heartbeat", "ReportResult"])
def test_a_master_takes_no_call_that_is_not_signed_and_says_nothing_of_tokens(
    session: tuple[Master, SlaveConnectionProxy, Worker], to_master: Callable[..., Refusal | None], method: str
) -> None:
    _, connection, slave = session
    path = f"{MASTER}{method}"
    for known in (token_of(connection), new_token()):
        good = signed(path, known)
        assert to_master(path, LEAVING, good[:-1]) == MISSING_AT_MASTER
        assert to_master(path, LEAVING, (*good[:-1], ("signature", "x" * 200))) == INVALID
        assert to_master(path, LEAVING, signed(path, known, secret=OTHER)) == INVALID
        assert to_master(path, LEAVING, signed(f"{SLAVE}{method}", known)) == INVALID
        assert to_master(path, LEAVING, signed(path, known, at=time.time() - 400)) == STALE
    assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}
    assert slave.lost == []


def test_a_signature_of_a_slave_is_taken_once(
    session: tuple[Master, SlaveConnectionProxy, Worker], to_master: Callable[..., Refusal | None]
) -> None:
    """Who has seen it on the wire ends no session by it."""
    _, connection, _ = session
    path = f"{MASTER}ReportResult"
    report = from_slaves.ReportResultRequest(result=completed(new_id()))
    metadata = signed(path, token_of(connection))
    assert to_master(path, report, metadata) is DONE
    assert to_master(path, report, metadata) == STALE
    unknown = signed(path, new_token())
    for _ in range(2):
        assert to_master(path, report, unknown) == (FORBIDDEN, "SLAVE_TOKEN_INVALID")


def test_who_knows_the_secret_and_no_session_fills_no_memory(
    session: tuple[Master, SlaveConnectionProxy, Worker], to_master: Callable[..., Refusal | None]
) -> None:
    master, connection, _ = session
    path = f"{MASTER}ReportResult"
    for _ in range(20):
        assert to_master(path, LEAVING, signed(path, new_token())) == (FORBIDDEN, "SLAVE_TOKEN_INVALID")
        assert to_master(path, LEAVING, (CHANNEL_GIVEN, ("token", new_token()))) == MISSING_AT_MASTER
    assert set(master._interaction._checker._used) == {token_of(connection)}


def test_each_try_of_a_call_is_signed_anew(make_master: MakeMaster) -> None:
    """Else the slave that has answered the first, and whose answer was lost, would take the second for a replay."""
    seen: list[str] = []

    def later(request: bytes, context: grpc.ServicerContext) -> bytes:
        seen.extend(str(value) for key, value in context.invocation_metadata() if key == "signature")
        if len(seen) < 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "later")
        return from_masters.ConnectResponse(incarnation=INCARNATION).SerializeToString()

    with served(AnyPeer(), Answering()) as peer:
        peer.answers["Connect"] = later
        master = make_master(Master, secret=SECRET, request_retries=5)
        master.new_connection("conn", "127.0.0.1", peer.port).connect()
    assert len(set(seen)) == 3
    assert all(f";slave={INCARNATION};lease=10000000000;address={master.my_address};mac=" in one for one in seen)
