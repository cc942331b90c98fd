"""interaction.aio: the end of a slave, of a master on its journal, of the loop, and of the process."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interaction import TaskStatus, aio
from interaction.exception import LossReason, TaskLost
from tests.contract.aio_running import become, new_master, run
from tests.contract.conftest import ROOT, MakeSlave, SlaveProcess, Worker
from tests.contract.hands import WAITS
from tests.contract.slave_programs import WAIT

# Loss, and a journal.


def test_a_slave_that_dies(slave_process: Callable[..., SlaveProcess]) -> None:
    async def main() -> None:
        process = slave_process()
        async with new_master() as master, master.new_connection("one", "127.0.0.1", process.port) as connection:
            failed: list[Any] = []
            task = connection.new_task(WAITS).on_fail(lambda data, result: failed.append((data, result)))
            await task.start()
            process.kill()
            assert (await task.join(WAIT)).status is TaskStatus.LOST
            assert isinstance(task.error, TaskLost)
            assert task.error.reason is LossReason.EXITED
            assert failed == [(WAITS, None)]
            assert "one" not in master

    run(main)


class Mourning(aio.Master):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.losses: list[tuple[str, LossReason]] = []

    async def _lost_slave(self, name: str, reason: LossReason) -> None:
        await asyncio.sleep(0)
        self.losses.append((name, reason))


ENDS_BY_ITSELF = """
import asyncio, sys
from interaction import aio

async def main():
    master = aio.Master("127.0.0.1", 0, 60.0, channel=7, journal=sys.argv[1])
    await master.start()
    for name, port in (("one", sys.argv[2]), ("other", sys.argv[3])):
        await master.new_connection(name, "127.0.0.1", int(port)).connect()
    await master["one"].new_task({"wait": 1}).start()

asyncio.run(main())
"""


def test_a_master_goes_on_where_a_journal_ends(slave: Worker, make_slave: MakeSlave, tmp_path: Path) -> None:
    other = make_slave(Worker)
    journal = f"sqlite:///{tmp_path / 'master.db'}"
    assert ends(ENDS_BY_ITSELF, journal, str(slave.port), str(other.port)) == (0, "", "")

    async def main() -> None:
        async with new_master(Mourning, journal=journal) as master:
            assert isinstance(master, Mourning)
            assert {one.name for one in await master.wait_until_resumed(WAIT)} == {"one", "other"}
            await asyncio.to_thread(other.close)  # it has had no task: no user has touched its connection yet
            await become(lambda: master.losses)
            assert master.losses == [("other", LossReason.DRAINED)]
            (task,) = master.tasks()
            results: list[Any] = []
            task.on_complete(lambda _, result: results.append(result))
            slave.go_on.set()
            await task.join(WAIT)
            assert results == [{"waited": 1}]
        async with new_master(journal=journal) as third:  # the journal is closed by then
            assert await third.wait_until_resumed(WAIT) == []
            assert third.tasks() == []

    run(main)
    assert slave.ran == [WAITS]


# A process whose loop ends.


def ends(script: str, *arguments: str, interrupt: bool = False) -> tuple[int, str, str]:
    """Run it with the arguments. Returns its exit code, and what it has printed and complained of."""
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        if interrupt:
            assert process.stdout is not None
            assert process.stdout.readline() == "running\n"
            process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=2 * WAIT)
    finally:
        process.kill()
        process.wait()
    return process.returncode, output, errors


NOBODY_CLOSES_IT = """
import asyncio, sys
from interaction import aio

async def main():
    master = aio.Master("127.0.0.1", 0, 0.9, channel=7)
    await master.start()
    connection = master.new_connection("one", "127.0.0.1", int(sys.argv[1]))
    await connection.connect()
    await connection.new_task({"wait": 1}).start()
    future = aio.SlavePool(master).submit({"a": 1, "b": 2})
    await asyncio.sleep(float(sys.argv[2]))
    kept.extend([master, connection, future])
    if sys.argv[3]:
        raise ValueError("a mistake")

kept = []
asyncio.run(main())
"""


@pytest.mark.parametrize("after", ["0", "0.3"])
@pytest.mark.parametrize("mistake", ["", "mistake"])
def test_a_loop_that_ends_before_its_master_is_shut_down(slave: Worker, after: str, mistake: str) -> None:
    code, output, complaints = ends(NOBODY_CLOSES_IT, str(slave.port), after, mistake)
    assert output == ""
    *errors, warning = complaints.splitlines()
    assert "WARNING interaction.aio: the loop of the master at port" in warning
    if mistake:
        assert code == 1
        assert errors.count("Traceback (most recent call last):") == 1
        assert errors[-1] == "ValueError: a mistake"
    else:
        assert (code, errors) == (0, [])
    assert slave.lost_connection.wait(WAIT)


CLOSED_LOOP = """
import asyncio
from interaction import aio

async def main():
    master = aio.Master("127.0.0.1", 0, channel=7)
    await master.start()
    return master

loop = asyncio.new_event_loop()
master = loop.run_until_complete(main())
loop.close()
"""


def test_a_loop_that_is_just_closed_does_not_keep_its_process_alive() -> None:
    code, output, _ = ends(CLOSED_LOOP)  # asyncio complains of what it has not ended
    assert (code, output) == (0, "")


INTERRUPTED = """
import asyncio, itertools, signal, sys
from interaction import aio
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell ignores in the background

async def main():
    data = ({"a": n, "b": 1} for n in itertools.count())
    async with aio.Master("127.0.0.1", 0, channel=7) as master:
        async with master.new_connection("one", "127.0.0.1", int(sys.argv[1])):
            async with aio.SlavePool(master) as pool:
                given = 0
                async for _ in pool.map(data):
                    given += 1
                    if given == 10:
                        print("running", flush=True)
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c(make_slave: MakeSlave) -> None:
    slave = make_slave(Worker, backlog=2)
    code, output, errors = ends(INTERRUPTED, str(slave.port), interrupt=True)
    assert (code, output) == (0, "interrupted\n")
    assert not errors or sys.version_info < (3, 11)  # there asyncio raises it in any task, and complains
    assert slave.lost == []
