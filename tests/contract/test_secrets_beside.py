"""What other processes, and what is shown of objects, have of a slave's and a master's secrets: its tokens, and the key
of its TLS. The secret itself has tests of its own, in `test_secret_beside.py`."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from interaction import TLS, Master, SlaveConnectionProxy
from interaction.secret import VARIABLE
from tests.contract.conftest import MakeSlave, Worker
from tests.contract.holding import children_of, wait_until
from tests.contract.isolated_slave import Isolated
from tests.contract.signing import SECRET
from tests.contract.slave_programs import CHANNEL, WAIT

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
MARK = "to-be-found-" + "m" * 20


def programs() -> set[int]:
    """The children that are programs of their own by now; between its fork and that each is what we are."""
    own = command_line(os.getpid())
    return {one for one in children_of(os.getpid()) if command_line(one) not in (own, b"")}


def command_line(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:  # one of another test, which has ended meanwhile
        return b""


def lines_of(pem: bytes) -> list[bytes]:
    """Pieces of it, each of which is nowhere else."""
    return [line for line in pem.splitlines() if len(line) == 64]


def memory_of(process: int) -> Iterator[bytes]:
    """All that a process may write to, piece by piece."""
    with open(f"/proc/{process}/mem", "rb", buffering=0) as memory:
        for region in Path(f"/proc/{process}/maps").read_text().splitlines():
            place, rights = region.split()[:2]
            if rights.startswith("rw"):
                first, last = (int(number, 16) for number in place.split("-"))
                memory.seek(first)
                try:
                    yield memory.read(last - first)
                except OSError:  # such as what the kernel maps
                    continue


def holds(process: int, *needles: bytes) -> list[bytes]:
    return [needle for needle in needles if any(needle in piece for piece in memory_of(process))]


@pytest.fixture(scope="module")
def tls() -> TLS:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    return TLS(
        issued.cert_chain_pems[0].bytes() + issued.private_key_pem.bytes(),  # in one file, as some have it
        issued.private_key_pem.bytes(),
        authority.cert_pem.bytes(),
        mutual=True,
    )


def token_of(connection: SlaveConnectionProxy) -> str:
    token: Any = connection._link.token  # type: ignore[union-attr]  # what a thief would have
    assert isinstance(token, str)
    assert len(token) >= 32
    return token


@linux
def test_the_process_of_tasks_knows_neither_key_nor_token_nor_secret(
    tls: TLS, make_slave: Callable[..., Isolated], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in its memory, not in its environment, and not on its command line."""
    monkeypatch.setenv(VARIABLE, SECRET)
    before = programs()
    slave = make_slave(Isolated, tls=tls, backlog=1, labels={"mark": MARK}, pacemaker=True)
    assert tls.key is not None
    assert tls.certificate is not None
    with Master("127.0.0.1", 0, channel=slave.channel, tls=tls) as master:
        connection = master.new_connection("conn", "127.0.0.1", slave.port, https=True)
        connection.connect()
        tasks = connection.new_task({"do": "tell"}).start().join(WAIT).result["pid"]
        assert holds(tasks, MARK.encode()) == [MARK.encode()], "so this test finds what is there"
        certificate, key = lines_of(tls.certificate)[0], lines_of(tls.key)[1:]
        assert holds(tasks, certificate) == [certificate], "it has the object, as the constructor was given it"
        secret = [*key, token_of(connection).encode(), SECRET.encode()]
        assert holds(tasks, *secret) == []
        assert holds(os.getpid(), *secret) == secret
        wait_until(lambda: any(b"pacemaker" in command_line(one) for one in programs() - before))
        beside = programs() - before
        assert tasks in beside
        for process in beside:
            folder = Path(f"/proc/{process}")
            shown = command_line(process) + folder.joinpath("environ").read_bytes()
            assert [needle for needle in secret if needle in shown] == []


OTHERS = (functools.partial, asyncio.Handle, asyncio.Task, BaseException)  # whose `repr` is made of what they hold


def shown_objects() -> Iterator[str]:
    """What `repr` makes of every object of ours, and of what holds such."""
    for it in gc.get_objects():
        module = getattr(type(it), "__module__", None)
        ours = isinstance(module, str) and module.partition(".")[0] == "interaction"
        if ours or isinstance(it, OTHERS):
            try:
                yield repr(it)
            except Exception:  # noqa: BLE001 - another test's, half made
                continue


def test_no_object_of_ours_shows_a_token(
    make_slave: MakeSlave, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of those that are there while a task runs, by the fast road, signed, with a journal."""
    monkeypatch.setenv(VARIABLE, SECRET)
    slave = make_slave(Worker, backlog=1)
    with Master("127.0.0.1", 0, channel=CHANNEL, journal=f"sqlite:///{tmp_path / 'j.db'}") as master:
        connection = master.new_connection("conn", "127.0.0.1", slave.port)
        connection.connect()
        task = connection.new_task({"wait": 1}).start()
        assert slave.running.wait(WAIT)
        token = token_of(connection)
        shown = list(shown_objects())
        assert any(one.startswith("<SlaveConnectionProxy 'conn'") for one in shown), "so this test sees them"
        assert [one for one in shown if token in one or SECRET in one] == []
        slave.go_on.set()
        task.join(WAIT)
