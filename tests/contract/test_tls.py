"""TLS and mTLS between master and slave, with certificates that the test makes itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from interaction import TLS, Master, RequestException, SlaveConnectionProxy
from interaction.exception import SlaveSlaveConnectionRefused
from tests.contract.conftest import MakeMaster, MakeSlave, Worker

WAIT = 10.0


def pem_of(authority: trustme.CA) -> bytes:
    return bytes(authority.cert_pem.bytes())


def identity(authority: trustme.CA, *, mutual: bool, name: str = "127.0.0.1", trusted: trustme.CA | None = None) -> TLS:
    issued = authority.issue_cert(name)
    certificate = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    return TLS(certificate, issued.private_key_pem.bytes(), pem_of(trusted or authority), mutual)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def stranger() -> trustme.CA:
    return trustme.CA()


def assert_works(connection: SlaveConnectionProxy) -> None:
    with connection:
        assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}


@pytest.mark.parametrize("mutual", [False, True])
def test_tasks_and_results_go_by_tls_in_both_directions(
    make_master: MakeMaster, make_slave: MakeSlave, authority: trustme.CA, mutual: bool
) -> None:
    slave = make_slave(Worker, tls=identity(authority, mutual=mutual))
    master = make_master(Master, tls=identity(authority, mutual=mutual))
    assert slave.ping()
    assert master.ping()
    assert master.my_address == f"https://127.0.0.1:{master.port}"
    assert_works(master.new_connection("conn", "127.0.0.1", slave.port, https=True))


def test_a_master_without_tls_of_its_own_dials_by_its_client_tls(
    make_master: MakeMaster, make_slave: MakeSlave, authority: trustme.CA
) -> None:
    slave = make_slave(Worker, tls=replace(identity(authority, mutual=False), plain_peers=True))
    master = make_master(Master, client_tls=TLS(authority=pem_of(authority)))
    assert_works(master.new_connection("conn", "127.0.0.1", slave.port, https=True))


def test_a_certificate_for_another_name_is_accepted_only_where_that_name_is_expected(
    make_master: MakeMaster, make_slave: MakeSlave, authority: trustme.CA
) -> None:
    served = replace(identity(authority, mutual=False, name="slave.example"), plain_peers=True)
    slave = make_slave(Worker, tls=served)
    wrong = make_master(Master, client_tls=TLS(authority=pem_of(authority)), request_timeout=3.0)
    with pytest.raises(RequestException):
        wrong.new_connection("conn", "127.0.0.1", slave.port, https=True).connect()
    right = make_master(Master, client_tls=TLS(authority=pem_of(authority), server_name="slave.example"))
    assert_works(right.new_connection("conn", "127.0.0.1", slave.port, https=True))


def test_nobody_gets_in_without_tls_or_a_trusted_certificate(
    make_master: MakeMaster, make_slave: MakeSlave, authority: trustme.CA, stranger: trustme.CA
) -> None:
    asked: list[object] = []

    class Asked(Worker):
        def _before_connection(self, data: object) -> None:
            asked.append(data)

    slave = make_slave(Asked, tls=identity(authority, mutual=True))
    strangers = {
        "no TLS": (make_master(Master, request_timeout=3.0), False),
        "no certificate": (make_master(Master, client_tls=TLS(authority=pem_of(authority)), request_timeout=3.0), True),
        "a stranger's certificate": (
            make_master(Master, client_tls=identity(stranger, mutual=False, trusted=authority), request_timeout=3.0),
            True,
        ),
        "trusts somebody else": (
            make_master(Master, client_tls=identity(authority, mutual=False, trusted=stranger), request_timeout=3.0),
            True,
        ),
    }
    for who, (master, https) in strangers.items():
        with pytest.raises(RequestException):
            master.new_connection(who, "127.0.0.1", slave.port, https=https).connect()
    assert asked == []
    assert_works(
        make_master(Master, tls=identity(authority, mutual=True)).new_connection(
            "friend", "127.0.0.1", slave.port, https=True
        )
    )
    assert len(asked) == 1


def test_a_slave_does_not_believe_a_master_that_it_cant_verify(
    make_master: MakeMaster, make_slave: MakeSlave, authority: trustme.CA, stranger: trustme.CA
) -> None:
    """The master's own server has a stranger's certificate: no heartbeat gets to it, and no session begins."""
    slave = make_slave(Worker, tls=identity(authority, mutual=False))
    master = make_master(
        Master,
        tls=identity(stranger, mutual=False),
        client_tls=TLS(authority=pem_of(authority)),
    )
    with pytest.raises(SlaveSlaveConnectionRefused, match="the slave can't reach the master at"):
        master.new_connection("conn", "127.0.0.1", slave.port, https=True).connect()


def test_the_options_are_read_from_files(tmp_path: Path, authority: trustme.CA) -> None:
    issued = authority.issue_cert("127.0.0.1")
    files = {name: tmp_path / f"{name}.pem" for name in ("certificate", "key", "authority")}
    files["certificate"].write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    files["key"].write_bytes(issued.private_key_pem.bytes())
    files["authority"].write_bytes(pem_of(authority))
    tls = TLS.from_files(**files, mutual=True)  # type: ignore[arg-type]  # mypy does not see that the keys are the names
    with Worker("127.0.0.1", 0, channel=7, tls=tls) as slave, Master("127.0.0.1", 0, channel=7, tls=tls) as master:
        assert_works(master.new_connection("conn", "127.0.0.1", slave.port, https=True))


def test_a_server_without_a_certificate_is_a_mistake(authority: trustme.CA) -> None:
    with pytest.raises(ValueError, match="certificate and a key"):
        Master("127.0.0.1", 0, tls=TLS(authority=pem_of(authority)))
    with pytest.raises(ValueError, match="authority"):
        TLS(mutual=True)
