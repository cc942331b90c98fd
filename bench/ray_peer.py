"""Ray: actors, whose calls are pipelined where there are many."""

from __future__ import annotations

import itertools
import os
import tempfile
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # else it reports to its makers

import ray

from bench.system import Data, PlainSystem, check, task

_STORE_BYTES = 512 * 1024 * 1024


class Adder:
    """An actor that does nothing."""

    def add(self, given: Data) -> Data:
        """The task."""
        return {"sum": given["a"] + given["b"]}

    def carry(self, content: Any) -> Any:
        """Give it back."""
        return content


class Ray(PlainSystem):
    """A cluster on this machine, with an actor for each worker."""

    def open(self) -> None:
        """Start the cluster and its actors."""
        folder = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True))
        self.stack.callback(ray.shutdown)
        ray.init(
            num_cpus=self.workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=_STORE_BYTES,
            _temp_dir=folder,
        )
        actor = ray.remote(Adder)
        self._actors = [actor.remote() for _ in range(self.workers)]
        for one in self._actors:
            check(0, ray.get(one.add.remote(task(0))))

    def round_trip(self, number: int) -> None:
        """One call."""
        check(number, ray.get(self._actors[0].add.remote(task(number))))

    def many(self, count: int) -> None:
        """All calls at once, to the actors in turn, and all results at once."""
        turns = itertools.cycle(self._actors)
        calls = [next(turns).add.remote(task(number)) for number in range(count)]
        for number, result in enumerate(ray.get(calls)):
            check(number, result)

    def carry(self, content: Any) -> None:
        """As a call's argument, and as its result."""
        assert ray.get(self._actors[0].carry.remote(content)).nbytes == content.nbytes
