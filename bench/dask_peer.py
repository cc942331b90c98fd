"""Dask: a scheduler, and workers in processes of their own with one thread each."""

from __future__ import annotations

import logging
from typing import Any

from distributed import Client, LocalCluster

from bench.system import Data, PlainSystem, check, task


def add(given: Data) -> Data:
    """The task."""
    return {"sum": given["a"] + given["b"]}


def same(content: Any) -> Any:
    """Give it back."""
    return content


class Dask(PlainSystem):
    """A cluster on this machine."""

    def open(self) -> None:
        """Start scheduler and workers."""
        cluster = self.stack.enter_context(
            LocalCluster(
                n_workers=self.workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                silence_logs=logging.CRITICAL,  # it complains at the end of a busy machine's workers
            )
        )
        self._client = self.stack.enter_context(Client(cluster))
        self._client.wait_for_workers(self.workers)
        self.many(self.workers)

    def round_trip(self, number: int) -> None:
        """One task. `pure=False`: else it would remember results by their arguments."""
        check(number, self._client.submit(add, task(number), pure=False).result())

    def many(self, count: int) -> None:
        """All at once, and all results at once."""
        futures = self._client.map(add, [task(number) for number in range(count)], pure=False)
        for number, result in enumerate(self._client.gather(futures)):
            check(number, result)

    def carry(self, content: Any) -> None:
        """As a task's argument, and as its result."""
        assert self._client.submit(same, content, pure=False).result().nbytes == content.nbytes
