"""Certificates say who: only a master opens sessions and hands over tasks, and only a session's slave speaks for it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import trustme

from interaction import TLS, Master, SlavePool
from interaction.certs import fleet as certs
from interaction.certs import issue
from interaction.exception import LossReason, RequestException, SlaveCertificateInvalid
from interaction.roles import member
from interaction.v1 import slave_service_pb2 as to_slave
from interaction.v1 import slave_service_pb2_grpc
from tests.contract.conftest import MakeMaster, MakeSlave, Worker, plain_and_aio
from tests.contract.holding import wait_until
from tests.contract.slave_programs import WAIT
from tests.contract.test_tls import assert_works, pem_of
from tests.contract.thief import REFUSED, calls_of_a_master, calls_of_a_slave, channel_by, token_of
from tests.contract.wire import (
    SUM,
    new_token,
)

facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)
TRIES = 100


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of a master, and of the slaves `one` and `other`."""
    folder = certs.create(tmp_path_factory.mktemp("fleet") / "certs", "lab.example", "trainer")
    for name in ("one", "other"):
        certs.new_slave(folder, name)
    return folder


@pytest.fixture
def master_tls(place: Path) -> TLS:
    return TLS.from_folder(place)


@pytest.fixture
def one(place: Path) -> TLS:
    return TLS.from_folder(place / "slaves/one")


@pytest.fixture
def other(place: Path) -> TLS:
    return TLS.from_folder(place / "slaves/other")


class Asked(Worker):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.asked: list[object] = []

    def _before_connection(self, data: object) -> None:
        self.asked.append(data)


@pytest.mark.parametrize("fast_road", [True, False])
def test_a_fleet_of_its_own_works_by_one_argument(
    make_master: MakeMaster, make_slave: MakeSlave, master_tls: TLS, one: TLS, fast_road: bool
) -> None:
    slave = make_slave(Worker, tls=one, fast_road=fast_road)
    master = make_master(Master, tls=master_tls)
    for _ in range(2):
        assert_works(master.new_connection("conn", "127.0.0.1", slave.port))
    assert slave.lost == []


def test_a_pool_of_two_slaves_works(make_master: MakeMaster, make_slave: MakeSlave, place: Path) -> None:
    slaves = [make_slave(Worker, tls=TLS.from_folder(place / "slaves" / name)) for name in ("one", "other")]
    with Master("127.0.0.1", 0, channel=7, tls=TLS.from_folder(place)) as master:
        connections = [master.new_connection(str(slave.port), "127.0.0.1", slave.port) for slave in slaves]
        for connection in connections:
            connection.connect()
        with SlavePool(master) as pool:
            assert list(pool.map([{"a": n, "b": 1} for n in range(50)])) == [{"sum": n + 1} for n in range(50)]
    assert sum(len(slave.ran) for slave in slaves) == 50


def test_a_slaves_certificate_opens_no_session(make_slave: MakeSlave, one: TLS, other: TLS) -> None:
    """Before, it was a member's like any other: its tasks ran."""
    slave = make_slave(Asked, tls=one)
    thief = make_slave(Worker, tls=other)
    with channel_by(other, slave.port, "slave.lab.example") as channel:
        call = calls_of_a_master(channel, f"https://127.0.0.1:{thief.port}")
        assert {call["Connect"](new_token()) for _ in range(TRIES)} == {REFUSED}
        assert {name: each(new_token()) for name, each in call.items()} == dict.fromkeys(call, REFUSED)
        slave_service_pb2_grpc.SlaveServiceStub(channel).Ping(to_slave.SlaveServicePingRequest(), timeout=WAIT)
    assert (slave.asked, slave.ran) == ([], [])


def test_a_stolen_token_is_of_no_use_to_a_slave(
    make_master: MakeMaster, make_slave: MakeSlave, master_tls: TLS, one: TLS, other: TLS
) -> None:
    slave = make_slave(Worker, tls=one)
    with make_master(Master, tls=master_tls).new_connection("conn", "127.0.0.1", slave.port) as connection:
        token = token_of(slave)
        with channel_by(other, slave.port, "slave.lab.example") as channel:
            call = calls_of_a_master(channel, "https://127.0.0.1:1")
            for name in ("NewTask", "Work", "Disconnect"):
                assert {call[name](token) for _ in range(TRIES)} == {REFUSED}, name
        assert connection.new_task(SUM).start().join(WAIT).result == {"sum": 3}
    assert slave.ran == [SUM]


@pytest.mark.parametrize("whose", ["other", "the master's"])
def test_nobody_else_beats_and_reports_for_a_session(
    make_master: MakeMaster, make_slave: MakeSlave, master_tls: TLS, one: TLS, other: TLS, whose: str
) -> None:
    """Before, the token was enough: a result that another slave made up was the task's."""
    slave = make_slave(Worker, tls=one)
    master = make_master(Master, tls=master_tls, heartbeat_tolerance=5.0)
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        task = connection.new_task({"wait": 1}).start()
        assert slave.running.wait(WAIT)
        with channel_by(other if whose == "other" else master_tls, master.port, "master.lab.example") as channel:
            for name, call in calls_of_a_slave(channel, task.id).items():
                assert {call(token_of(slave)) for _ in range(TRIES)} == {REFUSED}, name
        assert connection.is_connected
        slave.go_on.set()
        assert task.join(WAIT).result == {"waited": 1}
    assert slave.lost == []


def test_who_stands_where_a_master_is_said_to_be_has_to_be_one(
    make_master: MakeMaster, make_slave: MakeSlave, master_tls: TLS, one: TLS, other: TLS
) -> None:
    """A slave's certificate at the master's address is told no token."""
    impostor, slave = make_slave(Worker, tls=other), make_slave(Worker, tls=one)
    master = make_master(
        Master, tls=master_tls, my_address=f"https://127.0.0.1:{impostor.port}", heartbeat_tolerance=2.0
    )
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    try:
        connection.connect()
    except Exception:  # noqa: BLE001 - that may be found out before, or after
        assert not connection.is_connected
    else:
        assert slave.lost_connection.wait(WAIT)
        wait_until(lambda: connection.lost_reason is LossReason.SILENT)


def test_who_stands_where_a_slave_is_said_to_be_has_to_be_one(make_master: MakeMaster, master_tls: TLS) -> None:
    impostor, master = make_master(Master, tls=master_tls), make_master(Master, tls=master_tls)
    with pytest.raises(RequestException, match=r"is no slave's of the cluster 'lab\.example'"):
        master.new_connection("conn", "127.0.0.1", impostor.port).connect()


def test_a_key_that_others_may_read_is_told(place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    copied = Path(shutil.copytree(place / "slaves/one", tmp_path / "one"))
    TLS.from_folder(copied)
    assert caplog.messages == []
    (copied / "key.pem").chmod(0o644)
    TLS.from_folder(copied)
    assert caplog.messages == [f"others on this machine may read the TLS key ({copied}/key.pem): `chmod 600` it"]


def test_another_cluster_of_the_same_authority_is_another(
    make_master: MakeMaster, make_slave: MakeSlave, place: Path, one: TLS, tmp_path: Path
) -> None:
    by = issue.Pair(*((place / "authority" / name).read_bytes() for name in ("authority.pem", "key.pem")))
    pair = issue.identity(by, member("elsewhere", "master", "trainer"), ["127.0.0.1"], 2)
    slave = make_slave(Asked, tls=one)
    theirs = TLS(pair.certificate, pair.key, by.certificate, mutual=True, server_name="slave.lab.example")
    with pytest.raises(SlaveCertificateInvalid, match="Connect is for a master, and the certificate"):
        make_master(Master, tls=theirs).new_connection("conn", "127.0.0.1", slave.port).connect()
    assert slave.asked == []


# Certificates of another authority.


def issued(authority: trustme.CA, *names: str, **options: Any) -> TLS:
    made = authority.issue_cert(*names, "127.0.0.1", common_name=options.pop("common_name", None))
    certificate = b"".join(blob.bytes() for blob in made.cert_chain_pems)
    return TLS(certificate, made.private_key_pem.bytes(), pem_of(authority), mutual=True, **options)


PATTERNS = {"masters": ["trainer-?.example", "boss"], "slaves": ["*.nodes.example"]}


@pytest.mark.parametrize("named", [{"names": ["TRAINER-1.example"]}, {"names": [], "common_name": "boss"}])
def test_patterns_say_who_is_what(make_master: MakeMaster, make_slave: MakeSlave, named: dict[str, Any]) -> None:
    authority = trustme.CA()
    options = {key: value for key, value in named.items() if key != "names"}
    slave = make_slave(Worker, tls=issued(authority, "a.nodes.example", **PATTERNS))
    good = issued(authority, *named["names"], **options, **PATTERNS)
    assert_works(make_master(Master, tls=good).new_connection("conn", "127.0.0.1", slave.port))
    for bad in ("trainer-11.example", "b.nodes.example", "example"):
        master = make_master(Master, tls=issued(authority, bad, **PATTERNS))
        with pytest.raises(SlaveCertificateInvalid):
            master.new_connection("conn", "127.0.0.1", slave.port).connect()


def test_a_slave_that_no_pattern_names_is_not_heard(make_master: MakeMaster, make_slave: MakeSlave) -> None:
    authority = trustme.CA()
    slave = make_slave(Worker, tls=issued(authority, "a.elsewhere.example"))
    master = make_master(Master, tls=issued(authority, "trainer-1.example", **PATTERNS), heartbeat_tolerance=2.0)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    try:
        connection.connect()
    except Exception:  # noqa: BLE001 - as above
        assert not connection.is_connected
    else:
        assert slave.lost_connection.wait(WAIT)
        wait_until(lambda: connection.lost_reason is LossReason.SILENT)


def test_without_names_and_patterns_a_certificate_says_member_as_before(
    make_master: MakeMaster, make_slave: MakeSlave
) -> None:
    authority = trustme.CA()
    slave = make_slave(Worker, tls=issued(authority, "a.nodes.example"))
    assert_works(
        make_master(Master, tls=issued(authority, "b.nodes.example")).new_connection("conn", "127.0.0.1", slave.port)
    )
