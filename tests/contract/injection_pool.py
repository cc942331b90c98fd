"""An exception at every call of a pool's life: jobs that are done, done again, cancelled, and wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from interaction import SlavePool, TaskFail, aio
from tests.contract.injection import AioHome, Call, Hang, Injected, PlainHome, Scene, Watch, Worker, until

RETRIES = 1


class Unsteady(Worker):
    """Fails as often as it is told, and only then does it."""

    def _process_task(self, task: Mapping[str, Any]) -> Any:
        result = super()._process_task(task)
        if self.ran[task["number"]] <= task.get("fails", 0):
            raise TaskFail(result, "not yet")
        return result


class PoolScene(Scene):
    """A pool of that master's, which lives as long."""

    def __init__(self, watch: Watch, home: PlainHome | AioHome, slave: Worker) -> None:
        super().__init__(watch, home, slave)
        self.pool: Any = self._new_pool()

    def _new_pool(self) -> Any:
        kind: Any = SlavePool if isinstance(self.home, PlainHome) else aio.SlavePool
        return self.home.do(lambda: kind(self.home.master, retries=RETRIES, retry_failed=True))

    def live(self, at: Call | None, kind: type[BaseException] = Injected) -> Counter[str]:
        """A job that is done, one that fails first, and one that is cancelled before a slave has it."""
        jobs: list[_Job] = []
        with self._watch.life(at, kind) as calls:
            jobs += [self._submit(), self._submit(fails=1), self._submit()]
            self._try(jobs[-1].cancel)
            self._all_end(jobs)
        self._judge_all(jobs)
        return calls

    def live_between_sessions(self, at: Call | None, kind: type[BaseException] = Injected) -> Counter[str]:
        """Jobs that wait for a slave, which comes, and goes again."""
        self.leave()
        self._names += 1
        name = f"slave-{self._names}"
        self.connection = self.home.do(lambda: self.home.master.new_connection(name, "127.0.0.1", self.slave.port))
        jobs: list[_Job] = []
        with self._watch.life(at, kind) as calls:
            jobs += [self._submit(), self._submit()]
            self._try(self.connection.connect)
            self.connect()
            self._all_end(jobs)
            self._try(self.connection.disconnect)
        self._judge_all(jobs)
        return calls

    def live_to_its_end(self, at: Call | None, kind: type[BaseException] = Injected) -> Counter[str]:
        """A pool that is closed over jobs of which one has not begun."""
        pool, self.pool = self.pool, self._new_pool()
        jobs: list[_Job] = []
        number = self._number
        with self._watch.life(at, kind) as calls:
            jobs += [self._submit(pool=pool), self._submit(pool=pool)]
            for _ in range(3):  # who is interrupted may close it once more
                if self._try(lambda: pool.close(wait=number % 2 == 0)) is None:
                    break
            self._all_end(jobs)
        self._judge_all(jobs)
        return calls

    def _submit(self, fails: int = 0, pool: Any = None) -> _Job:
        self._number += 1
        job = _Job(self._number)
        self._try(lambda: job.begin(pool or self.pool, fails, self._watch))
        return job

    def _try(self, step: Callable[[], object]) -> BaseException | None:
        try:
            self.home.do(step)
        except Hang:
            raise
        except BaseException as error:  # noqa: BLE001 - what is raised to who calls is his; the jobs are looked at
            return error
        return None

    def _all_end(self, jobs: list[_Job]) -> None:
        def all_ended() -> bool:
            self.connect()  # what was raised may have cost the session: jobs wait for a slave then, as they are to
            return all(job.ended for job in jobs)

        until(all_ended, "a job does not end")

    def _judge_all(self, jobs: list[_Job]) -> None:
        until(lambda: all(job.told for job in jobs), "the callback of a job is not called")
        assert all(self.slave.ran[job.number] <= 1 + RETRIES for job in jobs), "a job ran too often"
        self.home.do(lambda: None)  # who was called twice has been by now
        assert all(job.calls <= 0 for job in jobs), "a callback was called twice"

    def go_on(self) -> None:
        """All is as it was: the pool has its slave, with all of its places, and as many jobs are done."""
        self.home.arm(self._watch)
        loop = self.slave._interaction._loop
        assert loop is not None
        loop.call(self._watch.arm)
        self.connect()
        until(lambda: len(self.pool) == 1, f"the pool has {len(self.pool)} slaves")
        places = self.slave._interaction._desk._tenancy.admission
        assert self.pool.places == places.slots + places.backlog
        jobs = [self._submit() for _ in range(self.pool.places + 1)]
        self._all_end(jobs)
        for job in jobs:
            assert job.result == {"number": job.number}
        assert not self.pool._crew._unfinished


class _Job:
    """What became of one `submit()`."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.future: Any = None
        self.calls = 0

    def begin(self, pool: Any, fails: int, watch: Watch) -> None:
        watch.arm()
        future = pool.submit({"number": self.number, "fails": fails})
        with suppress(BaseException):  # then there is no callback
            future.add_done_callback(self._call)
            self.calls -= 1  # until it is called
        self.future = future

    def _call(self, _: object) -> None:
        self.calls += 1

    def cancel(self) -> None:
        if self.future is not None:
            self.future.cancel()

    @property
    def ended(self) -> bool:
        return self.future is None or bool(self.future.done())

    @property
    def told(self) -> bool:
        return self.calls >= 0

    @property
    def result(self) -> Any:
        assert self.future is not None, "it was refused"
        return self.future.result()
