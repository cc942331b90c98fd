"""What is on the screen of somebody who has set up no logging: what went wrong, once, and else nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from tests.contract.conftest import ROOT, SlaveProcess

BEGINNING = """
import os, signal, sys, threading
from interaction import Master, Slave, TaskFail, aio
from tests.contract.isolated_slave import Isolated

running = threading.Event()

class Worker(Slave):
    def _process_task(self, task):
        if "wait" in task:
            running.set()
            threading.Event().wait(30)
        if "fail" in task:
            raise TaskFail()
        raise ValueError("no such layer")

    def _before_task(self, data):
        if "refuse" in data:
            raise KeyError("no such layer")
"""


def screen(program: str, *arguments: object) -> str:
    """What a program writes to standard error."""
    command = [sys.executable, "-c", BEGINNING + program, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    return done.stderr


def lines(shown: str) -> list[str]:
    """The lines that were logged, without their times and what belongs to them."""
    return [line.split(" ", 2)[2] for line in shown.splitlines() if " interaction." in line[:50]]


@pytest.mark.parametrize("facade", ["plain", "aio"])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_a_slave_that_is_lost(slave_process: Callable[..., SlaveProcess], facade: str, busy: bool) -> None:
    slave = slave_process()
    task = "{'wait': 1}"
    plain = f"""
lost = threading.Event()
class Mine(Master):
    def _lost_slave(self, name, reason): lost.set()

with Mine("127.0.0.1", 0, channel=7) as master:
    connection = master.new_connection("conn\\n", "127.0.0.1", int(sys.argv[1]))
    connection.connect()
    task = connection.new_task({task}).start() if {busy} else None
    os.kill(int(sys.argv[2]), signal.SIGKILL)
    assert lost.wait(20)
"""
    asyncio = f"""
import asyncio
async def main():
    lost = asyncio.Event()
    class Mine(aio.Master):
        def _lost_slave(self, name, reason): lost.set()

    async with Mine("127.0.0.1", 0, channel=7) as master:
        connection = master.new_connection("conn\\n", "127.0.0.1", int(sys.argv[1]))
        await connection.connect()
        task = await connection.new_task({task}).start() if {busy} else None
        os.kill(int(sys.argv[2]), signal.SIGKILL)
        await lost.wait()
asyncio.run(main())
"""
    shown = lines(screen(plain if facade == "plain" else asyncio, slave.port, slave.process.pid))
    (line,) = [line for line in shown if "lost" in line]
    assert line.startswith("WARNING interaction.master: connection 'conn\\\\n' is lost (EXITED): ")
    assert line.endswith(f"unfinished tasks: {int(busy)}")
    assert shown == [line]


@pytest.mark.parametrize("kind", ["Worker", "Isolated"])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"do": "raise"}, "ERROR interaction.slave: task {} raised "),
        ({"fail": True, "do": "fail"}, None),
    ],
    ids=["an accident", "declared"],
)
def test_a_task_that_fails_shows_at_its_slave_once(kind: str, data: dict[str, object], said: str | None) -> None:
    shown = screen(f"""
if __name__ == "__main__":
    with {kind}("127.0.0.1", 0) as slave, Master("127.0.0.1", 0) as master:
        with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
            task = connection.new_task({data}).start().join()
    sys.stderr.write(task.id)
""")
    if said is None:
        assert lines(shown) == []
        return
    task_id = shown[-36:]
    (line,) = lines(shown)
    assert line.startswith(said.format(task_id))
    assert shown.count("Traceback (most recent call last)") == 1
    assert 'File "' in shown
    assert "_process_task" in shown


def test_what_else_raises_shows_once() -> None:
    shown = screen("""
done = threading.Event()
class Mine(Master):
    def _lost_slave(self, name, reason): raise ValueError("no such hook")

class Losing(Worker):
    def _lost_connection(self, address, error):
        done.set()
        raise ValueError("no such end")

def broken(*_): raise ValueError("no such callback")

slave = Losing("127.0.0.1", 0)
slave.start()
with Mine("127.0.0.1", 0) as master:
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    connection.new_task({"fail": 1}).on_fail(broken).start().join()
    try: connection.new_task({"refuse": 1}).start()
    except Exception as refused: assert "KeyError: 'no such layer'" in str(refused)
done.wait(20)
slave.close()
with Worker("127.0.0.1", 0) as slave, Mine("127.0.0.1", 0) as master:
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    slave.close()
""")
    raised = [
        "ValueError: no such callback",
        "ValueError: no such end",
        "ValueError: no such hook",
        "KeyError: 'no such layer'",
    ]
    assert [shown.count(f"\n{what}\n") for what in raised] == [1, 1, 1, 1], shown
    assert [line.split(": ")[0].split()[0] for line in lines(shown)].count("ERROR") == 4


@pytest.mark.parametrize(("busy", "seen"), [(False, 0), (True, 1)], ids=["idle", "busy"])
def test_a_slave_that_leaves_in_order_is_no_news_unless_it_leaves_work(busy: bool, seen: int) -> None:
    shown = screen(f"""
slave = Worker("127.0.0.1", 0)
slave.start()
lost = threading.Event()
class Mine(Master):
    def _lost_slave(self, name, reason): lost.set()

with Mine("127.0.0.1", 0) as master:
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    task = connection.new_task({{"wait": 1}}).start() if {busy} else None
    assert task is None or running.wait(20)  # else it is handed back, which is no loss of work
    slave.shutdown()
    assert lost.wait(20)
""")
    assert len(lines(shown)) == seen
    assert shown.count("is lost (DISCONNECTED)") == seen


@pytest.mark.parametrize(("busy", "seen"), [(False, 0), (True, 1)], ids=["idle", "busy"])
def test_a_master_that_just_ends_is_no_news_unless_it_leaves_work(busy: bool, seen: int) -> None:
    shown = screen(f"""
lost = threading.Event()
class Mine(Worker):
    def _lost_connection(self, address, error): lost.set()

slave = Mine("127.0.0.1", 0)
slave.start()
with Master("127.0.0.1", 0) as master:
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    task = connection.new_task({{"wait": 1}}).start() if {busy} else None
assert lost.wait(20)
slave.shutdown()
""")
    assert len(lines(shown)) == seen
    assert shown.count("WARNING interaction.slave: lost the connection to the master at 127.0.0.1:") == seen


TLS = "TLS(open('me.pem', 'rb').read(), open('me.key', 'rb').read(), open('ca.pem', 'rb').read(), mutual={})"


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ("Master('0.0.0.0', 0)", ["neither a secret nor TLS", 'Master("127.0.0.1")', "tls=TLS(...)"]),
        ("Worker('0.0.0.0', 0)", ["neither a secret nor TLS", 'Slave("127.0.0.1")', "mutual=True"]),
        ("Worker('::', 0)", ["neither a secret nor TLS", 'Slave("127.0.0.1")', "mutual=True"]),
        (f"Worker('0.0.0.0', 0, tls={TLS.format(False)})", ["not mutual", "mutual=True"]),
        (f"Worker('0.0.0.0', 0, tls={TLS.format(True)})", None),
        (f"Master('0.0.0.0', 0, tls={TLS.format(False)})", None),
        ("Master('127.0.0.1', 0)", None),
        ("Worker('localhost', 0)", None),
    ],
)
def test_a_server_that_others_can_reach_unguarded_says_so_once_with_the_remedy(
    made: str, words: list[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "me.key"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "me.pem"))
    shown = lines(screen(f"from interaction import TLS\nos.chdir({str(tmp_path)!r})\nwith {made} as it: it.ping()"))
    assert len(shown) == (words is not None)
    for word in words or []:
        assert word in shown[0]


def test_what_nobody_closed_is_quiet_where_the_stream_of_the_log_was() -> None:
    """As under pytest, which closes what it has caught before the process ends."""
    shown = screen("""
import io, logging
stream = io.StringIO()
logging.getLogger("interaction").addHandler(logging.StreamHandler(stream))
logging.getLogger("interaction").setLevel(logging.DEBUG)
slave = Worker("127.0.0.1", 0)
slave.start()
master = Master("127.0.0.1", 0)
master.start()
connection = master.new_connection("conn", "127.0.0.1", slave.port)
connection.connect()
slave.close()  # which would keep the process alive
stream.close()
""")
    assert shown == ""
