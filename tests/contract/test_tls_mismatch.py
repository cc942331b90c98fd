"""TLS on one side alone, and certificates that don't fit: told as that, at once where it is certain."""

from __future__ import annotations

import asyncio
import datetime
import logging
import re
import socket
import time
from dataclasses import replace

import pytest
import trustme

from interaction import TLS, Master, RequestException
from interaction.address import Endpoint
from interaction.exception import SlaveSlaveConnectionRefused
from interaction.rpc import handshake
from interaction.rpc.watch import Watch
from tests.contract.conftest import MakeMaster, MakeSlave, Worker, plain_and_aio
from tests.contract.slave_programs import WAIT
from tests.contract.test_nobody_there import closed_port
from tests.contract.test_tls import identity, pem_of

__all__ = ["closed_port"]  # a fixture
facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)

OURS, STRANGER = trustme.CA(), trustme.CA()
SERVED = identity(OURS, mutual=False)
MUTUAL = identity(OURS, mutual=True)
ELSEWHERE = identity(OURS, mutual=False, name="other.example")
TRUSTS = TLS(authority=pem_of(OURS))
TRUSTS_OTHERS = TLS(authority=pem_of(STRANGER))
EXPECTS_ANOTHER = TLS(authority=pem_of(OURS), server_name="third.example")
EXPIRED = OURS.issue_cert("127.0.0.1", not_after=datetime.datetime(2020, 1, 1))
OLD = TLS(EXPIRED.cert_chain_pems[0].bytes(), EXPIRED.private_key_pem.bytes(), pem_of(OURS))
TOO_EARLY = OURS.issue_cert(
    "127.0.0.1", not_before=datetime.datetime(2200, 1, 1), not_after=datetime.datetime(2300, 1, 1)
)
YOUNG = TLS(TOO_EARLY.cert_chain_pems[0].bytes(), TOO_EARLY.private_key_pem.bytes(), pem_of(OURS))
ITS_CERTIFICATE = r"the certificate of the {who} at 127\.0\.0\.1:\d+ "


@pytest.fixture(autouse=True)
def started_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has expired by now had not when it was started: later it does not start."""

    async def check(self: Watch) -> None:
        """Passed."""

    monkeypatch.setattr(Watch, "check", check)


# What the server serves, what the client dials by, and what is said of it.
CERTAIN: dict[str, tuple[TLS | None, TLS | None, str]] = {
    "plain to TLS": (SERVED, None, r"the {who} at 127\.0\.0\.1:\d+ serves TLS, and is dialled without: .*https"),
    "plain to mutual TLS": (MUTUAL, None, r"the {who} at 127\.0\.0\.1:\d+ serves TLS, and is dialled without: .*https"),
    "TLS to plain": (
        None,
        TRUSTS,
        r"the {who} at 127\.0\.0\.1:\d+ serves without TLS, and is dialled by it: give it .*tls=\), .*plain_peers=True",
    ),
    "TLS to plain that is permitted": (
        None,
        replace(TRUSTS, plain_peers=True),
        r"the {who} at 127\.0\.0\.1:\d+ serves without TLS, and is dialled by it: leave https.*tls=\)",
    ),
    "another authority": (
        SERVED,
        TRUSTS_OTHERS,
        ITS_CERTIFICATE + r"can't be verified \(.*issuer certificate\): the authority in .*tls=\) has to be",
    ),
    "no authority": (SERVED, TLS(), ITS_CERTIFICATE + r"can't be verified \(.*\): the authority in .*tls=\) has to be"),
    "expired": (OLD, TRUSTS, ITS_CERTIFICATE + r"can't be verified \(certificate has expired\): it needs a new one"),
    "too early": (
        YOUNG,
        TRUSTS,
        ITS_CERTIFICATE
        + r"can't be verified \(certificate is not yet valid\): do the clocks of the two machines differ",
    ),
    "another name": (ELSEWHERE, TRUSTS, ITS_CERTIFICATE + r"is not for '127\.0\.0\.1': .*server_name="),
    "another name expected": (
        SERVED,
        EXPECTS_ANOTHER,
        ITS_CERTIFICATE + r"is not for 'third\.example': .*server_name=",
    ),
}
LIKELY: dict[str, tuple[TLS | None, TLS | None, str]] = {
    "no certificate": (
        MUTUAL,
        TRUSTS,
        r"the {who} at 127\.0\.0\.1:\d+ takes TLS, and then closes: it may demand a certificate \(mutual TLS\), and "
        r"none is shown: give .*tls=\) a certificate",
    ),
    "a stranger's certificate": (
        MUTUAL,
        identity(STRANGER, mutual=False, trusted=OURS),
        r"the {who} at 127\.0\.0\.1:\d+ takes TLS, and then closes: it may demand a certificate \(mutual TLS\), and "
        r"does not trust the one that is shown: give .*tls=\) a certificate",
    ),
}


@pytest.mark.parametrize("case", CERTAIN)
def test_a_master_says_at_once_how_tls_keeps_it_from_a_slave(
    make_master: MakeMaster, make_slave: MakeSlave, case: str
) -> None:
    """Before, it tried for five seconds, and then had no word for it."""
    serves, dials, told = CERTAIN[case]
    slave = make_slave(Worker, tls=serves)
    master = make_master(Master, client_tls=dials, request_retries=1000, request_retry_waiting=1.0, request_timeout=600)
    began = time.monotonic()
    with pytest.raises(RequestException) as said:
        master.new_connection("conn", "127.0.0.1", slave.port, https=dials is not None).connect()
    assert time.monotonic() - began < WAIT
    assert re.fullmatch(told.format(who="slave") + ".*", str(said.value))
    assert said.value.code == "UNAVAILABLE"


@pytest.mark.parametrize("case", LIKELY)
def test_where_it_may_be_tls_it_is_tried_again_and_said(
    make_master: MakeMaster, make_slave: MakeSlave, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    serves, dials, told = LIKELY[case]
    slave = make_slave(Worker, tls=serves)
    master = make_master(Master, client_tls=dials, request_retries=2, request_retry_waiting=0.05)
    with pytest.raises(RequestException) as said:
        master.new_connection("conn", "127.0.0.1", slave.port, https=True).connect()
    assert re.fullmatch(told.format(who="slave") + ".*", str(said.value))
    assert [message for message in caplog.messages if message.startswith(str(said.value) + " - trying again")]


FOR_SLAVES = {
    **{name: CERTAIN[name] for name in CERTAIN if name != "no authority"},
    "no TLS of its own": (SERVED, None, CERTAIN["no authority"][2]),
    "a stranger's certificate": LIKELY["a stranger's certificate"],
}


def serving(tls: TLS | None) -> TLS | None:
    """The same with a certificate of ours, where it has none: a slave serves by what it dials by."""
    return tls if tls is None or tls.certificate else replace(tls, certificate=SERVED.certificate, key=SERVED.key)


@pytest.mark.parametrize("case", FOR_SLAVES)
def test_a_slave_says_at_once_how_tls_keeps_it_from_its_master(
    make_master: MakeMaster, make_slave: MakeSlave, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    """No session begins that could only be lost."""
    serves, dials, told = FOR_SLAVES[case]
    door = make_slave(Worker, tls=serving(serves))  # stands where the master is said to be
    slave = make_slave(Worker, tls=serving(dials))
    address = f"{'http' if case.startswith('plain') else 'https'}://127.0.0.1:{door.port}"
    trusts = TLS(authority=pem_of(OURS) + pem_of(STRANGER), server_name="127.0.0.1", plain_peers=True)
    master = make_master(Master, client_tls=trusts, my_address=address)
    connection = master.new_connection("conn", "127.0.0.1", slave.port, https=dials is not None)
    with pytest.raises(SlaveSlaveConnectionRefused) as caught:
        connection.connect()
    unreached, why = caught.value.message.split(": ", 1)
    assert f"{unreached}: " == f"the slave can't reach the master at {address.removeprefix('http://')}: "
    assert re.fullmatch(told.format(who="master") + ".*", why)
    warned = [record for record in caplog.records if record.getMessage() == f"no heartbeat gets to the master: {why}"]
    assert [(record.name, record.levelno) for record in warned] == [("interaction.slave", logging.WARNING)]
    assert (connection.is_connected, slave.lost) == (False, [])


def test_a_slave_says_that_nobody_is_where_its_master_is_said_to_be(
    make_master: MakeMaster, make_slave: MakeSlave, closed_port: int
) -> None:
    slave = make_slave(Worker)
    master = make_master(Master, my_address=f"127.0.0.1:{closed_port}")
    nobody = f"nobody listens at 127.0.0.1:{closed_port}: does the master run, and is its address right"
    with pytest.raises(SlaveSlaveConnectionRefused, match=nobody):
        master.new_connection("conn", "127.0.0.1", slave.port).connect()


# What only looks as if it were TLS.


def answer_to_tls(answer: bytes) -> tuple[object, object]:
    """What is made of a server that answers so, and then closes: dialled by TLS, and without."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        await writer.drain()
        writer.close()

    async def look() -> tuple[object, object]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            found = [
                await handshake.mismatch_at(Endpoint("127.0.0.1", port, tls), None, "Socket closed", REMEDIES, WAIT)
                for tls in (True, False)
            ]
        return found[0], found[1]

    return asyncio.run(look())


REMEDIES = handshake.Remedies("the slave", "1", "2", "3", "4", "5", "6")


@pytest.mark.parametrize("words", [b"", b"\x16", b"\x15\x03\x03\x00\x02\x02\x28", b"\x16\x03\x03" + 64000 * b"x"])
def test_who_says_little_by_tls_is_believed_no_more_than_that(words: bytes) -> None:
    by_tls, without = answer_to_tls(words)
    assert by_tls is None or not by_tls.final  # type: ignore[attr-defined]
    assert (without is None) == (words == b"")


def test_who_is_silent_is_left_after_a_while() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = Endpoint("127.0.0.1", server.getsockname()[1])
        assert asyncio.run(handshake.mismatch_at(endpoint, None, "Socket closed", REMEDIES, 0.05)) is None


@pytest.mark.parametrize("tls", [None, SERVED, MUTUAL], ids=["plain", "TLS", "mutual"])
def test_a_server_that_takes_who_dials_it_rightly_is_not_suspected(make_slave: MakeSlave, tls: TLS | None) -> None:
    """A call to it has failed for a reason of another kind."""
    slave = make_slave(Worker, tls=tls)
    endpoint = Endpoint("127.0.0.1", slave.port, tls is not None)
    found = asyncio.run(handshake.mismatch_at(endpoint, tls, "Socket closed", REMEDIES, WAIT))
    assert found is None or (tls is MUTUAL and not found.final)
