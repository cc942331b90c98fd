"""`interaction.aio` on its user's loop: life, hooks and callbacks. What names `plain_and_aio` is for both facades."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping
from typing import Any

import pytest

import interaction
from interaction import aio
from interaction.exception import LossReason, RequestException, SlaveSlaveNotConnected
from tests.contract.aio_running import become, new_master, run
from tests.contract.conftest import CHANNEL, MakeSlave, Worker
from tests.contract.hands import SUM
from tests.contract.slave_programs import WAIT

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


def test_a_subclass_may_call_its_own_attributes_what_it_likes() -> None:
    from tests.contract.test_subclasses import DOCUMENTED

    taken = {name for name in dir(aio.Master("127.0.0.1", 0)) if not name.startswith("__")}
    assert taken <= DOCUMENTED
