"""interaction.aio: its pool."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from interaction import aio
from interaction.exception import TaskFailed
from tests.contract.aio_running import become, new_master, pool_of, run
from tests.contract.conftest import Worker
from tests.contract.hands import SUM, WAITS


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
