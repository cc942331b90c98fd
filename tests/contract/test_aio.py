"""`interaction.aio` on its user's loop: what is different from the plain facade. Where they are the same, each module
of tests that names `plain_and_aio` is for both."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

import interaction
from interaction import TaskStatus, aio
from interaction.exception import (
    LossReason,
    RequestException,
    SlaveSlaveNotConnected,
    TaskFailed,
    TaskLost,
)
from tests.contract.conftest import CHANNEL, ROOT, MakeSlave, SlaveProcess, Worker
from tests.contract.hands import SUM, WAITS
from tests.contract.slave_programs import WAIT

T = TypeVar("T")


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """`asyncio.run()` in debug mode. Raises AssertionError where the loop complains, or a task is left at the end."""
    complaints: list[str] = []

    async def watched() -> T:
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = 60.0  # the machine may be busy
        loop.set_exception_handler(lambda _, context: complaints.append(str(context)))
        result = await asyncio.wait_for(main(), 2 * WAIT)
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
        return result

    result = asyncio.run(watched(), debug=True)
    gc.collect()
    assert complaints == []
    return result


def new_master(kind: type[aio.Master] = aio.Master, **options: Any) -> aio.Master:
    return kind("127.0.0.1", 0, **{"channel": CHANNEL, "request_retries": 0, **options})


@asynccontextmanager
async def pool_of(slave: Worker, master: aio.Master | None = None) -> AsyncIterator[aio.SlavePool]:
    """A pool that has that slave."""
    async with (
        master or new_master() as master,
        master.new_connection("one", "127.0.0.1", slave.port),
        aio.SlavePool(master) as pool,
    ):
        yield pool


async def become(true: Callable[[], object]) -> None:
    """Wait until it is so."""
    while not true():
        await asyncio.sleep(0.001)


# Its life.


def test_from_start_to_close(slave: Worker) -> None:
    async def main() -> None:
        master = new_master()
        assert not await master.ping()
        async with master, master.new_connection("one", "127.0.0.1", slave.port) as connection:
            assert await master.ping()
            assert master["one"] is connection
            task = connection.new_task(SUM)
            assert await task.start() is task
            assert await task.join() is task
            assert task.result == {"sum": 3}
        assert "one" not in master
        assert not await master.ping()
        await master.close()
        with pytest.raises(RuntimeError, match="was stopped and can't be started again"):
            await master.start()

    run(main)


def test_a_process_may_have_one_loop_after_another(slave: Worker) -> None:
    async def main() -> Any:
        async with new_master() as master, master.new_connection("one", "127.0.0.1", slave.port) as connection:
            task = connection.new_task(SUM)
            await task.start()
            return (await task.join(WAIT)).result

    assert [run(main) for _ in range(3)] == [{"sum": 3}] * 3


def test_plain_masters_and_slaves_beside_it(slave: Worker, make_slave: MakeSlave) -> None:
    """Each of the two loops has calls under way all the time."""
    other = make_slave(Worker, backlog=20)

    def plain(results: list[Any]) -> None:
        with (
            interaction.Master("127.0.0.1", 0, channel=CHANNEL) as master,
            master.new_connection("one", "127.0.0.1", slave.port) as connection,
        ):
            for number in range(100):
                results.append(connection.new_task({"a": number, "b": 0}).start().join(WAIT).result["sum"])

    async def main() -> None:
        results: list[Any] = []
        thread = asyncio.create_task(asyncio.to_thread(plain, results))
        async with new_master() as master, master.new_connection("other", "127.0.0.1", other.port):
            async with aio.SlavePool(master) as pool:
                sums = [one["sum"] async for one in pool.map({"a": number, "b": 1} for number in range(500))]
            await thread
        assert results == list(range(100))
        assert sums == list(range(1, 501))

    run(main)


def test_join_waits_for_the_end_and_for_callbacks(slave: Worker) -> None:
    async def main() -> None:
        order: list[str] = []
        go_on = asyncio.Event()

        async def callback(data: Mapping[str, Any], result: Any) -> None:
            order.append("begun")
            await go_on.wait()
            order.append("called")

        master = new_master()
        await master.join()  # it was never started
        async with master:
            async with master.new_connection("one", "127.0.0.1", slave.port) as connection:
                await connection.new_task(SUM).on_complete(callback).start()
                await become(lambda: order)
            joining = asyncio.create_task(master.join())
            assert await master.ping()
            await master.shutdown()
            assert not joining.done()
            go_on.set()
            await joining
            assert order == ["begun", "called"]

    run(main)


@pytest.mark.parametrize("wait", ["join", "close"])
def test_a_callback_that_would_wait_for_itself_gets_an_error(slave: Worker, wait: str) -> None:
    async def main() -> None:
        async with new_master() as master, master.new_connection("one", "127.0.0.1", slave.port) as connection:
            errors: list[BaseException] = []

            async def callback(data: Mapping[str, Any], result: Any) -> None:
                try:
                    await getattr(master, wait)()
                except RuntimeError as error:
                    errors.append(error)

            await (await connection.new_task(SUM).on_complete(callback).start()).join(WAIT)
            assert len(errors) == 1
            assert "shutdown" in str(errors[0])
            assert await master.ping()  # nothing half done

    run(main)


def test_what_needs_a_running_master_says_so(slave: Worker) -> None:
    async def main() -> None:
        master = new_master()
        connection = master.new_connection("one", "127.0.0.1", slave.port)
        with pytest.raises(RuntimeError, match="not been started"):
            await connection.connect()
        with pytest.raises(RuntimeError, match="not been started"):
            aio.SlavePool(master)
        async with master:
            with pytest.raises(SlaveSlaveNotConnected, match="one"):
                await connection.new_task(SUM).start()
        with pytest.raises(RuntimeError, match="shut down"):
            await connection.connect()

    run(main)


# Hooks and callbacks on the loop.


class Plain(aio.Master):
    """Hooks that are plain functions: they are called on the loop."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.calls: list[tuple[str, int]] = []

    def _note(self, name: str) -> None:
        self.calls.append((name, threading.get_ident()))

    def _before_connect(self) -> Mapping[str, Any]:
        self._note("before connect")
        return {"hello": 1}

    def _after_connect(self, *arguments: Any) -> Any:
        self._note("after connect")
        return "connected"

    def _before_disconnect(self) -> None:
        self._note("before disconnect")

    def _after_disconnect(self, *arguments: Any) -> Any:
        self._note("after disconnect")
        return "disconnected"

    def _before_new_task(self, data: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        self._note("before new task")
        assert data is not None
        return {**data, "b": 10}

    def _after_new_task(self, *arguments: Any) -> Any:
        self._note("after new task")

    def _error_connect(self, error: RequestException) -> Any:
        self._note("error connect")
        return error.code

    def _lost_slave(self, name: str, reason: LossReason) -> None:
        self._note(f"lost {name} {reason.name}")


def test_hooks_may_be_plain_functions(slave: Worker) -> None:
    async def main() -> None:
        async with Plain("127.0.0.1", 0, channel=CHANNEL, request_retries=0) as master:
            connection = master.new_connection("one", "127.0.0.1", slave.port)
            assert await connection.connect() == "connected"
            task = connection.new_task({"a": 1})
            await task.start()
            assert (await task.join(WAIT)).result == {"sum": 11}
            async with aio.SlavePool(master) as pool:
                assert await pool.submit({"a": 2}) == {"sum": 12}
            assert await connection.disconnect() == "disconnected"
            await connection.connect()
            await asyncio.to_thread(slave.close)
            await become(lambda: not connection.is_connected)
            assert await connection.connect() == "UNAVAILABLE"
            await become(lambda: "lost one DRAINED" in dict(master.calls))
        assert [name for name, _ in master.calls[:8]] == [
            *("before connect", "after connect", "before new task", "after new task", "before new task"),
            *("before disconnect", "after disconnect", "before connect"),
        ]
        assert {thread for _, thread in master.calls} == {threading.get_ident()}

    run(main)


def test_callbacks_of_both_kinds_are_called_in_order(slave: Worker, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        calls: list[str] = []

        async def slow(data: Mapping[str, Any], result: Any) -> None:
            calls.append("slow begins")
            await asyncio.sleep(0.02)
            calls.append(f"slow {data} {result}")

        async def broken(data: Mapping[str, Any], result: Any) -> None:
            await asyncio.sleep(0)
            raise SystemExit(1)

        def also_broken(data: Mapping[str, Any], result: Any) -> None:
            raise asyncio.CancelledError

        async with new_master() as master, master.new_connection("one", "127.0.0.1", slave.port) as connection:
            task = connection.new_task(SUM).on_complete(slow).on_complete(broken).on_complete(also_broken)
            task.on_fail(slow).on_complete(lambda *_: calls.append("plain"))
            await (await task.start()).join(WAIT)
            expected = ["slow begins", f"slow {SUM} {{'sum': 3}}", "plain"]
            assert calls == expected
            late = asyncio.Event()
            task.on_complete(slow).on_complete(lambda *_: late.set())
            await late.wait()
            assert calls == [*expected, *expected[:2]]
        logged = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert [(record.name, task.id in record.getMessage()) for record in logged] == [
            ("interaction.master", True)
        ] * 2

    run(main)


def test_a_callback_may_use_the_facade(slave: Worker) -> None:
    async def main() -> None:
        results: list[Any] = []

        async with new_master() as master, master.new_connection("one", "127.0.0.1", slave.port) as connection:

            async def follow(data: Mapping[str, Any], result: Any) -> None:
                again = connection.new_task({"a": result["sum"], "b": 1}).on_complete(
                    lambda _, last: results.append(last)
                )
                results.append((await (await again.start()).join(WAIT)).result)
                results.append((await task.join(WAIT)).id == task.id)

            task = connection.new_task(SUM).on_complete(follow)
            await (await task.start()).join(WAIT)
            await (await connection.new_task(SUM).on_complete(lambda *_: None).start()).join(WAIT)  # queues behind
        assert results == [{"sum": 4}, True, {"sum": 4}]

    run(main)


# Being cancelled.


class Thinking(Worker):
    """Thinks about what it is asked until it is told to go on."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.asked = threading.Event()
        self.thinks_about = "tasks"

    def _think(self, about: str) -> None:
        if about == self.thinks_about:
            self.asked.set()
            assert self.go_on.wait(WAIT)

    def _before_task(self, data: Mapping[str, Any]) -> None:
        self._think("tasks")

    def _before_connection(self, data: Mapping[str, Any]) -> None:
        self._think("connections")

    def _before_disconnection(self, data: Mapping[str, Any]) -> None:
        self._think("disconnections")


def test_a_start_that_is_cancelled(make_slave: MakeSlave) -> None:
    slave = make_slave(Thinking, backlog=1)

    async def main() -> None:
        async with new_master() as master, master.new_connection("one", "127.0.0.1", slave.port) as connection:
            task = connection.new_task(SUM).on_fail(lambda *_: pytest.fail("it has not begun"))
            starting = asyncio.create_task(task.start())
            await become(slave.asked.is_set)
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
            assert (await task.join(WAIT)).status is TaskStatus.START_FAILED
            assert isinstance(task.error, asyncio.CancelledError)
            slave.go_on.set()
            another = connection.new_task({"a": 2, "b": 2})
            await another.start()
            assert (await another.join(WAIT)).result == {"sum": 4}
            assert task.status is TaskStatus.START_FAILED

    run(main)


def test_a_join_that_is_cancelled_or_times_out_leaves_the_task_alone(slave: Worker) -> None:
    async def main() -> None:
        async with new_master() as master, master.new_connection("one", "127.0.0.1", slave.port) as connection:
            task = connection.new_task(WAITS)
            with pytest.raises(TimeoutError, match="IDLE"):
                await task.join(0.01)
            await task.start()
            for _ in range(3):
                with pytest.raises(TimeoutError, match=r"0\.01"):
                    await task.join(0.01)
            joining = asyncio.create_task(task.join())
            await asyncio.sleep(0)
            joining.cancel()
            with pytest.raises(asyncio.CancelledError):
                await joining
            assert task._changed._waiting == {}
            slave.go_on.set()
            assert (await task.join(WAIT)).result == {"waited": 1}

    run(main)


def test_a_connect_that_is_cancelled_leaves_name_and_slave_free(make_slave: MakeSlave) -> None:
    slave = make_slave(Thinking)
    slave.thinks_about = "connections"

    async def main() -> None:
        async with new_master() as master:
            connection = master.new_connection("one", "127.0.0.1", slave.port)
            connecting = asyncio.create_task(connection.connect())
            await become(slave.asked.is_set)
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            assert not connection.is_connected
            slave.thinks_about = ""
            slave.go_on.set()
            while not connection.is_connected:
                try:
                    await connection.connect()
                except interaction.exception.SlaveSlaveAlreadyConnected:
                    await asyncio.sleep(0.01)
            await connection.close()

    run(main)


@pytest.mark.parametrize("end", ["disconnect", "close"])
def test_an_end_that_is_cancelled_can_be_tried_again(make_slave: MakeSlave, end: str) -> None:
    slave = make_slave(Thinking)
    slave.thinks_about = "disconnections"

    async def main() -> None:
        async with new_master() as master, master.new_connection("one", "127.0.0.1", slave.port) as connection:
            ending = asyncio.create_task(getattr(connection, end)())
            await become(slave.asked.is_set)
            ending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await ending
            slave.go_on.set()
        async with new_master() as other, other.new_connection("one", "127.0.0.1", slave.port) as connection:
            assert connection.is_connected

    run(main)


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


# The pool.


def test_a_pool_in_a_few_lines(slave: Worker) -> None:
    async def main() -> None:
        async with pool_of(slave) as pool:
            assert (len(pool), pool.places) == (1, 1)
            futures = [pool.submit({"a": number, "b": 1}) for number in range(5)]
            assert await asyncio.gather(*futures) == [{"sum": number + 1} for number in range(5)]
            assert isinstance(futures[0].task, aio.Task)
            with pytest.raises(TaskFailed, match="A or B"):
                await pool.submit({})
            first = next(asyncio.as_completed([pool.submit(SUM)]))
            assert await first == {"sum": 3}

    run(main)


def test_a_source_may_be_waited_for(slave: Worker) -> None:
    """What is ready is given while the source has nothing: here it makes each item of the result before."""

    async def main(ordered: bool, in_flight: int | None) -> None:
        results: asyncio.Queue[int] = asyncio.Queue()
        ended = False

        async def source() -> AsyncIterator[Mapping[str, Any]]:
            nonlocal ended
            try:
                yield {"a": 0, "b": 1}
                while True:
                    yield {"a": await results.get(), "b": 1}
            finally:
                ended = True

        async with pool_of(slave) as pool:
            given = 0
            async for one in pool.map(source(), ordered=ordered, in_flight=in_flight):
                given += 1
                assert one == {"sum": given}
                if given == 10:
                    break
                results.put_nowait(given)
            await become(lambda: ended)

    for ordered in (True, False):
        for in_flight in (1, None):
            run(lambda ordered=ordered, in_flight=in_flight: main(ordered, in_flight))  # type: ignore[misc]


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "as completed"])
def test_a_source_that_is_waited_for_is_taken_from_lazily_and_may_raise(slave: Worker, ordered: bool) -> None:
    async def main() -> None:
        taken = 0

        async def source() -> AsyncIterator[Mapping[str, Any]]:
            nonlocal taken
            for number in range(20):
                await asyncio.sleep(0)
                taken += 1
                yield {"a": number, "b": 1}
            raise LookupError("no more")

        async with pool_of(slave) as pool:
            given: list[int] = []

            async def take() -> None:
                async for one in pool.map(source(), ordered=ordered, in_flight=3):
                    given.append(one["sum"])
                    assert taken <= len(given) + 3

            with pytest.raises(LookupError, match="no more"):
                await take()
            assert sorted(given) == list(range(1, 21))

    run(main)


def test_what_is_broken_off_complains_of_nothing(slave: Worker) -> None:
    """Neither an iteration that is left, nor failures that nobody has looked at there."""

    async def main() -> None:
        async with pool_of(slave) as pool:
            async for one in pool.map([SUM, *[{}] * 10], in_flight=11):
                assert one == {"sum": 3}
                await become(lambda: len(slave.ran) == 11)
                break
            gc.collect()
            await asyncio.sleep(0.01)

    run(main)


def test_whose_future_is_cancelled_waits_no_more(slave: Worker) -> None:
    async def main() -> None:
        async with pool_of(slave) as pool:
            running, waiting = pool.submit(WAITS), pool.submit(SUM)
            await become(slave.running.is_set)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(waiting), 0.01)
            for future in (running, waiting):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(future, 0.01)
                assert future.cancelled()
            slave.go_on.set()
            assert await pool.submit({"a": 5, "b": 5}) == {"sum": 10}
            assert slave.ran == [WAITS, {"a": 5, "b": 5}]

    run(main)


class Preparing(aio.Master):
    async def _before_new_task(  # type: ignore[override]
        self, data: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        await asyncio.sleep(0.01)
        assert data is not None
        if "stop" in data:
            raise LookupError("not today")
        return {**data, "b": 10}


def test_a_hook_of_a_pool_may_be_waited_for(slave: Worker) -> None:
    async def main() -> None:
        async with pool_of(slave, new_master(Preparing)) as pool:
            good, bad, wrong = pool.submit({"a": 1}), pool.submit({"stop": 1}), pool.submit({"a": {1}})
            cancelled = pool.submit({"a": 2})
            cancelled.cancel()
        assert await good == {"sum": 11}
        with pytest.raises(LookupError, match="not today"):
            await bad
        with pytest.raises(ValueError, match="data"):
            await wrong
        assert slave.ran == [{"a": 1, "b": 10}]

    run(main)


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


def test_a_subclass_may_call_its_own_attributes_what_it_likes() -> None:
    from tests.contract.test_subclasses import DOCUMENTED

    taken = {name for name in dir(aio.Master("127.0.0.1", 0)) if not name.startswith("__")}
    assert taken <= DOCUMENTED
