"""Where a master and a slave listen, and where each is told that the other is."""

from __future__ import annotations

import socket

import pytest

from interaction import Master, Slave
from interaction.v1.slave_service_pb2 import ConnectRequest
from tests.contract.conftest import CHANNEL, Worker, plain_and_aio
from tests.contract.scripted_slave import ScriptedSlave
from tests.contract.slave_programs import WAIT

facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)
SERVICES = [Master, Worker]


@pytest.mark.parametrize("kind", SERVICES)
def test_a_free_port_is_bound_for_0_and_can_be_read(kind: type[Master] | type[Slave]) -> None:
    with kind("127.0.0.1", 0) as one, kind("127.0.0.1", 0) as other:
        assert one.port != other.port
        with socket.create_connection(("127.0.0.1", one.port), timeout=5):
            pass


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("kind", SERVICES)
def test_a_port_in_use_is_an_oserror_that_names_it(kind: type[Master] | type[Slave], host: str) -> None:
    with kind("127.0.0.1", 0) as first:
        second = kind(host, first.port)
        with pytest.raises(OSError, match=rf"{first.port}.*in use"):
            second.start()
        assert not second.ping()
        assert first.ping()
        second.close()


@pytest.mark.parametrize("kind", SERVICES)
def test_after_a_port_in_use_the_same_object_can_be_started(kind: type[Master] | type[Slave]) -> None:
    first = kind("127.0.0.1", 0)
    first.start()
    second = kind("127.0.0.1", first.port)
    with pytest.raises(OSError, match="in use"):
        second.start()
    first.close()
    with second:
        assert second.ping()


def test_a_host_that_is_not_this_machines_is_an_oserror() -> None:
    with pytest.raises(OSError, match=r"192\.0\.2\.1"):
        Master("192.0.2.1", 0).start()


def test_listening_beyond_loopback_without_tls_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with Master("0.0.0.0", 0) as master:
        assert master.ping()
        assert f":{master.port}" in master.my_address
    warnings = [record for record in caplog.records if "nor TLS" in record.getMessage()]
    assert [record.levelname for record in warnings] == ["WARNING"]
    caplog.clear()
    with Master("127.0.0.1", 0):
        pass
    assert not [record for record in caplog.records if "nor TLS" in record.getMessage()]


@pytest.mark.parametrize(
    ("host", "my_address", "told"),
    [
        ("127.0.0.1", None, "127.0.0.1:{port}"),
        ("localhost", None, "localhost:{port}"),
        ("0.0.0.0", None, "127.0.0.1:{port}"),
        ("127.0.0.1", "trainer.example:99", "trainer.example:99"),
        ("127.0.0.1", "http://10.0.0.1:99/", "10.0.0.1:99"),
        ("127.0.0.1", "https://10.0.0.1:99", "https://10.0.0.1:99"),
    ],
)
def test_a_slave_is_told_where_its_master_is(
    scripted: ScriptedSlave, host: str, my_address: str | None, told: str
) -> None:
    with Master(host, 0, channel=CHANNEL, my_address=my_address) as master:
        master.new_connection("conn", "127.0.0.1", scripted.port).connect()
        content, _ = scripted.connects.get(timeout=WAIT)
        assert ConnectRequest.FromString(content).master_address == told.format(port=master.port)


def test_a_slave_on_another_interface_is_told_an_address_that_leads_back() -> None:
    with Master("0.0.0.0", 0) as master:
        host, _, port = master.my_address.rpartition(":")
        assert host not in ("0.0.0.0", "")
        with socket.create_connection((host, int(port)), timeout=WAIT):
            pass


def test_a_connection_without_a_port_goes_to_7236(master: Master) -> None:
    assert "slave.example:7236" in repr(master.new_connection("conn", "slave.example"))
