"""gevent and eventlet: where they have patched what a loop on a thread needs, `start()` says so, and does not hang."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.contract.conftest import ROOT

GEVENT = "from gevent import monkey; monkey.patch_all({})"
EVENTLET = "import eventlet; eventlet.monkey_patch({})"
REMEDIES = {
    GEVENT: "thread=False, select=False, queue=False, subprocess=False",
    EVENTLET: "thread=False",
}


def need(module: str) -> None:
    """Skip the test where that is not installed. It is not imported here: eventlet warns of every later fork."""
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=40
    )


@pytest.fixture(params=[GEVENT, EVENTLET], ids=["gevent", "eventlet"])
def patch(request: pytest.FixtureRequest) -> str:
    need("gevent" if request.param == GEVENT else "eventlet")
    return str(request.param)


@pytest.mark.parametrize("kind", ["Master", "Adder"])
def test_where_threads_are_patched_start_says_so_with_the_remedy(patch: str, kind: str) -> None:
    done = run(
        f"{patch.format('')}\nfrom interaction import Master, Slave\n"
        "class Adder(Slave):\n    def _process_task(self, task): ...\n"
        f"{kind}('127.0.0.1', 0).start()"
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("RuntimeError: ")
    assert f"this {kind} needs Python's own: call" in last
    assert f"({REMEDIES[patch]})" in last


def test_so_it_does_on_a_loop_of_the_users() -> None:
    need("gevent")
    script = """
from gevent import monkey
import asyncio
from interaction import aio
async def main():
    master = aio.Master("127.0.0.1", 0)
    monkey.patch_thread()
    try:
        await master.start()
    except RuntimeError as error:
        print(error)
asyncio.run(main())
"""
    assert run(script).stdout.startswith("gevent has patched threading, and this Master needs")


def test_with_the_remedy_all_works(patch: str) -> None:
    script = f"""
{patch.format(REMEDIES[patch])}
from interaction import Master, Slave, SlavePool
class Echo(Slave):
    def _process_task(self, task):
        return task["number"]
with Echo("127.0.0.1", 0, slots=2, backlog=8) as slave, Master("127.0.0.1", 0) as master:
    with master.new_connection("slave", "127.0.0.1", slave.port) as connection:
        print(connection.new_task({{"number": 1}}).start().join(20).status.name)
        with SlavePool(master) as pool:
            print(list(pool.map({{"number": number}} for number in range(100))) == list(range(100)))
"""
    done = run(script)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["COMPLETED", "True"], "")


# As gevent's: a pair of sockets whose descriptors never block, whatever is asked of them.
NON_BLOCKING = """
import socket
plain = socket.socketpair
class Green(socket.socket):
    def setblocking(self, flag): ...
def socketpair(*arguments):
    pair = [Green(fileno=end.detach()) for end in plain(*arguments)]
    for end in pair:
        socket.socket.setblocking(end, False)
    return tuple(pair)
socket.socketpair = socketpair
"""


@pytest.mark.parametrize("kind", ["non-blocking", "gevent"])
def test_where_sockets_are_patched_a_child_process_runs_one_task_after_the_other(kind: str, tmp_path: Path) -> None:
    """It died at each pause between two tasks, by a read that did not wait."""
    if kind == "gevent":
        need("gevent")
    script = tmp_path / "script.py"
    script.write_text(f"""
{NON_BLOCKING if kind == "non-blocking" else GEVENT.format(REMEDIES[GEVENT])}
import os
from interaction import Master, Slave
class Echo(Slave):
    def _process_task(self, task):
        return {{"pid": os.getpid(), "bytes": task["bytes"]}}
if __name__ == "__main__":
    with Echo("127.0.0.1", 0, isolation="process") as slave, Master("127.0.0.1", 0) as master:
        with master.new_connection("slave", "127.0.0.1", slave.port) as connection:
            large = b"1" * 4_000_000  # more than a pipe holds
            done = [connection.new_task({{"bytes": large}}).start().get(20) for _ in range(4)]
            print(len({{result["pid"] for result in done}}), all(result["bytes"] == large for result in done))
""")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["1", "True"], "")
