"""Certificates that end, and files that change while masters and slaves run."""

from __future__ import annotations

import datetime
import logging
import os
import socket
import ssl
import time
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from interaction import TLS, Master, TaskStatus
from interaction.rpc import watch
from interaction.rpc.pacemaker import beat
from tests.contract.conftest import MakeMaster, MakeSlave, Worker, plain_and_aio
from tests.contract.holding import wait_until
from tests.contract.slave_programs import WAIT
from tests.contract.test_tls import assert_works

facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)
DAY = datetime.timedelta(days=1)


class Folder:
    """The files of one side, and their TLS."""

    def __init__(self, folder: Path, authority: trustme.CA, days: float = 30) -> None:
        self.folder = folder
        folder.mkdir()
        self.write(authority, days)

    def write(self, authority: trustme.CA, days: float = 30, parts: str = "certificate key authority") -> None:
        """New ones, each put in its place at once."""
        now = datetime.datetime.now(datetime.timezone.utc)
        issued = authority.issue_cert("127.0.0.1", not_before=now - 60 * DAY, not_after=now + days * DAY)
        contents = {
            "certificate": issued.cert_chain_pems[0].bytes(),
            "key": issued.private_key_pem.bytes(),
            "authority": authority.cert_pem.bytes(),
        }
        for part in parts.split():
            (self.folder / "new").write_bytes(contents[part])
            os.replace(self.folder / "new", self.folder / f"{part}.pem")

    def tls(self, *, mutual: bool = True) -> TLS:
        paths = {part: self.folder / f"{part}.pem" for part in ("certificate", "key", "authority")}
        return TLS.from_files(mutual=mutual, **paths)  # type: ignore[arg-type]  # the keys are the names


@pytest.fixture(autouse=True)
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK", 0.02)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def serial_at(port: int) -> int:
    """The serial number of the certificate that a server shows to anybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=WAIT) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
    ):
        return x509.load_der_x509_certificate(wrapped.getpeercert(True) or b"").serial_number


def serial_in(folder: Folder) -> int:
    return x509.load_pem_x509_certificate((folder.folder / "certificate.pem").read_bytes()).serial_number


def lines(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if words in record.getMessage()]


# What has expired, and what soon will have.


@pytest.mark.parametrize("role", ["tls", "client_tls"])
def test_a_master_does_not_start_with_what_has_expired(
    make_master: MakeMaster, tmp_path: Path, authority: trustme.CA, role: str
) -> None:
    """Before, it started, and no peer would take it."""
    folder = Folder(tmp_path / "me", authority, days=-1)
    tls = folder.tls()
    told = rf"the TLS certificate \({folder.folder}/certificate\.pem\) has expired on 20.*: it needs a new one"
    with pytest.raises(ValueError, match=told):
        make_master(Master, **{role: tls})
    folder.write(authority)
    assert make_master(Master, **{role: tls}).ping()


def test_a_slave_does_not_start_with_what_has_expired(tmp_path: Path, authority: trustme.CA) -> None:
    folder = Folder(tmp_path / "me", authority, days=-1)
    slave = Worker("127.0.0.1", 0, tls=folder.tls())
    with pytest.raises(ValueError, match=r"certificate\.pem\) has expired on .*: it needs a new one"):
        slave.start()
    folder.write(authority)
    with Worker("127.0.0.1", 0, tls=folder.tls()) as renewed:
        assert renewed.ping()


@pytest.mark.parametrize(("days", "warns"), [(3, True), (10, False)])
def test_a_warning_comes_seven_days_before(
    make_master: MakeMaster,
    tmp_path: Path,
    authority: trustme.CA,
    caplog: pytest.LogCaptureFixture,
    days: float,
    warns: bool,
) -> None:
    make_master(Master, tls=Folder(tmp_path / "me", authority, days).tls())
    told = lines(caplog, "expires on")
    assert len(told) == warns
    assert all("certificate.pem) expires on 20" in line and line.endswith("as soon as it is there") for line in told)


def test_what_ends_while_it_is_used_is_told_while_it_is_used(
    make_slave: MakeSlave, tmp_path: Path, authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Folder(tmp_path / "me", authority)
    slave = make_slave(Worker, tls=folder.tls())
    assert lines(caplog, "expires on") == []
    folder.write(authority, days=2)
    wait_until(lambda: len(lines(caplog, "expires on")) == 1)
    folder.write(authority, days=-1)
    wait_until(lambda: lines(caplog, "has expired") != [])
    (told,) = lines(caplog, "has expired")  # what was between the old pair and the new one may have been told, too
    assert told.startswith("the TLS files have changed; what they held before stays in use, for the TLS certificate (")
    assert slave.ping()


def test_a_certificate_that_has_ended_meanwhile_is_an_error_once_a_day(
    make_slave: MakeSlave,
    tmp_path: Path,
    authority: trustme.CA,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_slave(Worker, tls=Folder(tmp_path / "me", authority, days=3).tls())
    real = time.time

    class Later:
        strftime, gmtime = staticmethod(time.strftime), staticmethod(time.gmtime)

        @staticmethod
        def time() -> float:
            return real() + 4 * 86_400

    monkeypatch.setattr(watch, "time", Later)
    wait_until(lambda: len(lines(caplog, "has expired on")) == 1)
    (record,) = [record for record in caplog.records if "has expired on" in record.getMessage()]
    assert (record.name, record.levelno) == ("interaction.tls", logging.ERROR)
    assert record.getMessage().endswith(
        ": new connections fail, until there is a new one, which is read as soon as it is there"
    )


@pytest.mark.parametrize("before", [0.5, 1, 23.5, 24, 3 * 24, 10 * 24], ids=lambda hours: f"started {hours} h before")
def test_the_error_of_an_end_comes_at_the_end(
    tmp_path: Path, authority: trustme.CA, caplog: pytest.LogCaptureFixture, before: float
) -> None:
    """Before, a warning of the same day was taken for it: the log was silent for up to a day."""
    tls = Folder(tmp_path / "me", authority).tls()
    end = min(tls.ends())[0]
    watching = watch.Watch([tls])
    told: list[tuple[int, float]] = []
    now = end - before * 3600
    while now < end + 2 * 86_400:
        caplog.clear()
        watching._tell(now)
        told += [(record.levelno, now) for record in caplog.records if "certificate.pem" in record.getMessage()]
        now += 450.0
    errors = [when - end for level, when in told if level == logging.ERROR]
    assert errors == [0.0, 86_400.0]
    warned = [end - when for level, when in told if level == logging.WARNING]
    first = min(before * 3600, 7 * 86_400)
    assert warned == [first - day for day in range(0, int(first), 86_400)]


# Files that change.


def test_what_is_shown_is_what_the_files_hold(
    make_master: MakeMaster, make_slave: MakeSlave, tmp_path: Path, authority: trustme.CA
) -> None:
    """At both sides, and nothing is started again for it."""
    one, other = Folder(tmp_path / "one", authority), Folder(tmp_path / "other", authority)
    master, slave = make_master(Master, tls=one.tls()), make_slave(Worker, tls=other.tls())
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        for _ in range(2):
            for folder, port in ((one, master.port), (other, slave.port)):
                folder.write(authority)
                wait_until(lambda port=port, folder=folder: serial_at(port) == serial_in(folder))  # type: ignore[misc]
            assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}
        assert connection.is_connected
    assert slave.lost == []


def test_a_session_goes_on_when_its_authority_is_another(
    make_master: MakeMaster, make_slave: MakeSlave, tmp_path: Path, authority: trustme.CA
) -> None:
    """What is called from then on is called with the new certificate: by the old one nothing would get through."""
    one, other, after = Folder(tmp_path / "one", authority), Folder(tmp_path / "other", authority), trustme.CA()
    master = make_master(Master, tls=one.tls(), heartbeat_tolerance=3.0)
    slave = make_slave(Worker, tls=other.tls(), heartbeat_span=0.2)
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        waiting = connection.new_task({"wait": 1}).start()
        assert slave.running.wait(WAIT)
        for folder in (one, other):
            folder.write(after)
        for folder, port in ((one, master.port), (other, slave.port)):
            wait_until(lambda port=port, folder=folder: serial_at(port) == serial_in(folder))  # type: ignore[misc]
        slave.go_on.set()
        assert waiting.join(WAIT).status is TaskStatus.COMPLETED
        assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}
    assert slave.lost == []


@pytest.mark.parametrize("parts", ["certificate", "key"])
def test_half_of_a_new_pair_changes_nothing(
    make_slave: MakeSlave,
    make_master: MakeMaster,
    tmp_path: Path,
    authority: trustme.CA,
    caplog: pytest.LogCaptureFixture,
    parts: str,
) -> None:
    folder, masters = Folder(tmp_path / "me", authority), Folder(tmp_path / "master", authority)
    slave = make_slave(Worker, tls=folder.tls())
    before = serial_at(slave.port)
    folder.write(authority, parts=parts)
    wait_until(lambda: lines(caplog, "have changed; ") != [])
    assert serial_at(slave.port) == before
    assert_works(make_master(Master, tls=masters.tls()).new_connection("conn", "127.0.0.1", slave.port))
    (told,) = lines(caplog, "have changed; ")
    assert "is not the key of the TLS certificate" in told
    folder.write(authority)
    wait_until(lambda: serial_at(slave.port) == serial_in(folder))


def test_files_that_are_gone_change_nothing(
    make_slave: MakeSlave, tmp_path: Path, authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Folder(tmp_path / "me", authority)
    slave = make_slave(Worker, tls=folder.tls())
    before = serial_at(slave.port)
    (folder.folder / "key.pem").unlink()
    wait_until(lambda: lines(caplog, "have changed; ") != [])
    assert "the TLS key can't be read" in lines(caplog, "have changed; ")[0]
    assert serial_at(slave.port) == before


def test_a_pacemaker_shows_what_the_files_hold_by_then(tmp_path: Path, authority: trustme.CA) -> None:
    """Its session may be older than the slave's certificate."""
    folder = Folder(tmp_path / "me", authority)
    then = folder.tls()
    folder.write(authority)
    pems = [pem.decode("latin-1") for pem in (then.certificate, then.key, then.authority) if pem is not None]
    assert beat.tls_of([*pems, dict(then.files), True, "name"]) == replace(folder.tls(), server_name="name")
    (folder.folder / "key.pem").write_bytes(b"half of")
    assert beat.tls_of([*pems, dict(then.files), True, "name"]) == replace(then, server_name="name")
    assert beat.tls_of([*pems, {}, True, None]) == then
    assert beat.tls_of(None) is None
