"""A certificate that is renewed with other names: who is the same by it goes on, who is another is told and let go."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from interaction import TLS, Master, TaskStatus
from interaction.exception import LeaseExpired, LossReason, SlaveCertificateInvalid, TaskLost
from interaction.rpc import certificates, watch
from tests.chaos.proxy import Proxy
from tests.contract.conftest import MakeMaster, MakeSlave, Worker
from tests.contract.holding import wait_until
from tests.contract.slave_programs import WAIT
from tests.contract.test_tls import assert_works


class Clock:
    """`time`, as far as it is used there."""

    def __init__(self, now: float) -> None:
        self.time = lambda: now


PARTS = ("certificate", "key", "authority")


class Folder:
    """The files of one side."""

    def __init__(self, folder: Path, authority: trustme.CA, *names: str) -> None:
        self.folder, self._authority, self.issuer, self.host = folder, authority, authority, "127.0.0.1"
        folder.mkdir()
        self.write(*names)

    def write(self, *names: str, **options: Any) -> None:
        """New ones, for these names."""
        issued = self.issuer.issue_cert(self.host, *names, **options)
        contents = (issued.cert_chain_pems[0], issued.private_key_pem, self._authority.cert_pem)
        for part, content in zip(PARTS, contents, strict=True):
            (self.folder / "new").write_bytes(content.bytes())
            os.replace(self.folder / "new", self.folder / f"{part}.pem")

    def tls(self, **options: Any) -> TLS:
        paths: dict[str, Any] = {part: self.folder / f"{part}.pem" for part in PARTS}
        return TLS.from_files(mutual=True, **paths, **options)


def renew(folder: Folder, tls: TLS, *names: str) -> None:
    """Put new files there, and wait until they are in use."""
    folder.write(*names)
    wait_until(lambda: tls.current.certificate == (folder.folder / "certificate.pem").read_bytes())


@pytest.fixture(autouse=True)
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK", 0.02)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def wire() -> Iterator[Proxy]:
    with Proxy() as proxy:
        yield proxy


@pytest.fixture
def back() -> Iterator[Proxy]:
    with Proxy() as proxy:
        yield proxy


def warnings(caplog: pytest.LogCaptureFixture, name: str) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == logging.WARNING and record.name == f"interaction.{name}"
    ]


# Who is the same.


@pytest.mark.parametrize("cut", [False, True], ids=["streams stay open", "streams are opened again"])
@pytest.mark.parametrize("fast_road", [True, False])
@pytest.mark.parametrize("renewed", ["slave", "master"])
def test_who_is_known_by_a_name_that_stayed_goes_on_by_every_road(
    make_master: MakeMaster,
    make_slave: MakeSlave,
    tmp_path: Path,
    authority: trustme.CA,
    wire: Proxy,
    back: Proxy,
    renewed: str,
    fast_road: bool,
    cut: bool,
) -> None:
    """Before, a slave's new host name made another one of it: its results were refused for ever. A master is whoever a
    pattern of its slave says."""
    ours, theirs = (
        Folder(tmp_path / "m", authority, "a.trainers.example"),
        Folder(tmp_path / "s", authority, "n1.example"),
    )
    tls, slave_tls = ours.tls(slaves=["*.example"]), theirs.tls(masters=["*.trainers.example"])
    slave = make_slave(Worker, tls=slave_tls, fast_road=fast_road)
    master = make_master(Master, tls=tls, my_address=f"https://127.0.0.1:{back.port}", request_retries=5)
    wire.target, back.target = slave.port, master.port
    with master.new_connection("conn", "127.0.0.1", wire.port) as connection:
        waiting = connection.new_task({"wait": 1}).start()
        assert slave.running.wait(WAIT)
        if renewed == "slave":
            renew(theirs, slave_tls, "n1b.example", "n1.example")
        else:
            renew(ours, tls, "b.trainers.example")
        if cut:
            for each in (wire, back):
                each.reset()
        slave.go_on.set()
        assert waiting.join(WAIT).result == {"waited": 1}
        assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}
        large = connection.new_task({"echo": b"x" * 5_000_000}).start()
        assert large.join(WAIT).status is TaskStatus.COMPLETED
        assert connection.is_connected
    assert slave.lost == []


# Who is another.


@pytest.mark.parametrize("name", ["n2.nodes.example", "n1.elsewhere.example"])
def test_results_of_who_has_become_another_do_not_leave_their_tasks_hanging(
    make_master: MakeMaster,
    make_slave: MakeSlave,
    tmp_path: Path,
    authority: trustme.CA,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    """Before, each was refused every five seconds without a word, and the heartbeat went on by the old certificate."""
    ours, theirs = Folder(tmp_path / "m", authority), Folder(tmp_path / "s", authority, "n1.nodes.example")
    slave_tls = theirs.tls()
    slave = make_slave(Worker, tls=slave_tls, fast_road=False)
    master = make_master(Master, tls=ours.tls(slaves=["*.nodes.example"]), heartbeat_tolerance=3.0)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    task = connection.new_task({"wait": 1}).start()
    assert slave.running.wait(WAIT)
    renew(theirs, slave_tls, name)
    slave.go_on.set()
    wait_until(lambda: warnings(caplog, "slave") != [] and warnings(caplog, "master") != [])
    assert connection.is_connected  # at once it is told, and for as long as a lease it may be set right
    assert task.join(WAIT).status is TaskStatus.LOST
    assert isinstance(task.error, TaskLost)
    assert (task.error.reason, connection.lost_reason) == (LossReason.DISCONNECTED, LossReason.DISCONNECTED)
    assert "no result was taken for as long as the lease of 2 s" in str(task.error)
    ((_, error),) = slave.lost
    assert isinstance(error, LeaseExpired)
    (told, *_) = warnings(caplog, "slave")
    assert told.startswith("the heartbeat goes on, and no result is taken: ")
    assert name in told
    (told,) = (line for line in warnings(caplog, "master") if "refused" in line)
    assert told.startswith("a call for the session with 'conn' is refused: ")
    assert name in told
    if name == "n2.nodes.example":
        assert_works(master.new_connection("again", "127.0.0.1", slave.port))


@pytest.mark.parametrize("renewed", ["slave", "master"])
def test_results_that_tls_keeps_from_their_master_do_not_leave_their_tasks_hanging(
    make_master: MakeMaster,
    make_slave: MakeSlave,
    tmp_path: Path,
    authority: trustme.CA,
    caplog: pytest.LogCaptureFixture,
    renewed: str,
) -> None:
    """A slave's certificate of an authority that the master does not know, or a master's for another host: before, that
    was the same, for ever, and never told."""
    ours, theirs = Folder(tmp_path / "m", authority), Folder(tmp_path / "s", authority)
    tls, slave_tls = ours.tls(), theirs.tls()
    slave = make_slave(Worker, tls=slave_tls, fast_road=False, request_retry_waiting=0.05)
    master = make_master(Master, tls=tls, heartbeat_tolerance=3.0)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    task = connection.new_task({"wait": 1}).start()
    assert slave.running.wait(WAIT)
    if renewed == "slave":
        theirs.issuer = trustme.CA()
        renew(theirs, slave_tls)
    else:
        ours.host = "elsewhere.example"
        renew(ours, tls)
        renew(theirs, slave_tls)  # so that it dials anew
    slave.go_on.set()
    assert task.join(WAIT).status is TaskStatus.LOST
    assert connection.lost_reason is LossReason.DISCONNECTED
    (told, *_) = (line for line in warnings(caplog, "slave") if line.startswith("the heartbeat goes on"))
    assert ("does not trust the one that is shown" if renewed == "slave" else "is not for '127.0.0.1'") in told
    ((_, error),) = slave.lost
    assert isinstance(error, LeaseExpired)


def test_what_is_set_right_within_the_lease_costs_nothing(
    make_master: MakeMaster,
    make_slave: MakeSlave,
    tmp_path: Path,
    authority: trustme.CA,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ours, theirs = Folder(tmp_path / "m", authority), Folder(tmp_path / "s", authority, "n1.nodes.example")
    slave_tls = theirs.tls()
    slave = make_slave(Worker, tls=slave_tls, fast_road=False)
    master = make_master(Master, tls=ours.tls(slaves=["*.nodes.example"]), heartbeat_tolerance=60.0)
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        renew(theirs, slave_tls, "n2.nodes.example")
        task = connection.new_task({"a": 1, "b": 2}).start()
        wait_until(lambda: warnings(caplog, "slave") != [])
        renew(theirs, slave_tls, "n1.nodes.example")
        assert task.join(WAIT).result == {"sum": 3}
        assert connection.is_connected
    assert slave.lost == []


# Who has none any more.


def test_a_certificate_is_asked_whether_it_is_still_good_at_each_call(
    make_master: MakeMaster,
    make_slave: MakeSlave,
    tmp_path: Path,
    authority: trustme.CA,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before, TLS asked at the beginning of a connection, and not even then where it went on from an earlier one by a
    session ticket."""
    ours, theirs = Folder(tmp_path / "m", authority), Folder(tmp_path / "s", authority)
    slave = make_slave(Worker, tls=theirs.tls(), fast_road=False)
    master = make_master(Master, tls=ours.tls())
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}
    for years, told in ((1000, "has expired on "), (-50, "do the clocks differ?")):
        with monkeypatch.context() as patch:
            patch.setattr(certificates, "time", Clock(time.time() + years * 366 * 86_400))
            with pytest.raises(SlaveCertificateInvalid, match=told):
                connection.new_task({"a": 1, "b": 2}).start()
    assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}
