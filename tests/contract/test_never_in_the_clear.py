"""Who has TLS talks to nobody in the clear, unless told to: no token of theirs is read on the wire."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from interaction import TLS, Master
from interaction.core.journal import SessionKept, SessionRecord
from interaction.exception import RequestException, SlaveRequestInvalid
from interaction.journal import Journal
from interaction.rpc.convert import pack
from interaction.rpc.payload import encode_mapping
from tests.contract.conftest import MakeMaster, MakeSlave, Worker, plain_and_aio
from tests.contract.slave_programs import WAIT
from tests.contract.test_tls import assert_works, identity, pem_of

facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)

OURS = trustme.CA()
KINDS = {"TLS": identity(OURS, mutual=False), "mutual TLS": identity(OURS, mutual=True)}
CLIENT_HELLO = b"\x16"  # a record of TLS's handshake
TRUSTS = TLS(authority=pem_of(OURS), plain_peers=True)


def permitting(tls: TLS) -> TLS:
    return TLS(tls.certificate, tls.key, tls.authority, tls.mutual, plain_peers=True)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Where nobody is to dial."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


def assert_not_dialled(listener: socket.socket) -> None:
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.mark.parametrize("scheme", ["", "grpc://", "http://"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_slave_with_tls_dials_no_master_in_the_clear(
    make_master: MakeMaster, make_slave: MakeSlave, listener: socket.socket, kind: str, scheme: str
) -> None:
    asked: list[object] = []

    class Asked(Worker):
        def _before_connection(self, data: object) -> None:
            asked.append(data)

    slave = make_slave(Asked, tls=KINDS[kind])
    address = f"{scheme}127.0.0.1:{listener.getsockname()[1]}"
    master = make_master(Master, my_address=address, client_tls=KINDS[kind])
    connection = master.new_connection("conn", "127.0.0.1", slave.port, https=True)
    with pytest.raises(SlaveRequestInvalid, match=r"in the clear: give the master a certificate, .*plain_peers=True"):
        connection.connect()
    assert not connection.is_connected
    assert asked == []
    assert_not_dialled(listener)
    with make_master(Master, tls=KINDS[kind]).new_connection("other", "127.0.0.1", slave.port) as other:
        assert other.is_connected


@pytest.mark.parametrize("kind", KINDS)
def test_a_slave_that_is_told_to_dials_in_the_clear(make_master: MakeMaster, make_slave: MakeSlave, kind: str) -> None:
    slave = make_slave(Worker, tls=permitting(KINDS[kind]))
    master = make_master(Master, client_tls=KINDS[kind])
    assert_works(master.new_connection("conn", "127.0.0.1", slave.port, https=True))


@pytest.mark.parametrize("role", ["tls", "client_tls"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_master_with_tls_dials_no_slave_in_the_clear(
    make_master: MakeMaster, make_slave: MakeSlave, kind: str, role: str
) -> None:
    slave = make_slave(Worker)
    master = make_master(Master, **{role: KINDS[kind]})
    with pytest.raises(RequestException, match="TLS"):
        master.new_connection("conn", "127.0.0.1", slave.port, https=False).connect()
    assert "conn" not in master


@pytest.mark.parametrize("kind", KINDS)
def test_a_master_with_tls_dials_by_it_without_being_told(
    make_master: MakeMaster, make_slave: MakeSlave, kind: str
) -> None:
    slave = make_slave(Worker, tls=KINDS[kind])
    assert_works(make_master(Master, tls=KINDS[kind]).new_connection("conn", "127.0.0.1", slave.port))


def test_a_master_that_is_told_to_dials_in_the_clear(make_master: MakeMaster, make_slave: MakeSlave) -> None:
    slave = make_slave(Worker)
    assert_works(make_master(Master, client_tls=TRUSTS).new_connection("conn", "127.0.0.1", slave.port, https=False))


def test_a_session_of_a_life_without_tls_is_not_resumed_in_the_clear(
    make_master: MakeMaster, listener: socket.socket, tmp_path: Path
) -> None:
    url, token = f"sqlite:///{tmp_path / 'master.db'}", "t" * 43
    record = SessionRecord(
        "conn", "127.0.0.1", listener.getsockname()[1], False, token, "0" * 32, pack(encode_mapping({}, "data"))
    )
    journal = Journal.open(url)
    journal.keep([SessionKept(record)])
    journal.close()
    make_master(Master, tls=KINDS["TLS"], journal=url)
    listener.settimeout(WAIT)
    said, _ = listener.accept()
    with said:
        said.settimeout(WAIT)
        assert said.recv(1) == CLIENT_HELLO
