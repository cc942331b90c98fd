"""Celery: a worker with a child process for each of its tasks at once, behind a Redis."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

from celery.exceptions import TimeoutError as NotYet

from bench import redis
from bench.process import ROOT
from bench.system import PlainSystem, check, task

_STARTING = 60.0  # seconds until the first task is done


class Celery(PlainSystem):
    """A worker, and a Redis that is its broker and keeps its results."""

    def __init__(self, workers: int, serializer: str = "json") -> None:
        super().__init__(workers)
        self._serializer = serializer

    def open(self) -> None:
        """Start Redis and the worker."""
        os.environ["BENCH_REDIS"] = str(self.stack.enter_context(redis.running()))
        os.environ["BENCH_SERIALIZER"] = self._serializer
        from bench import celery_app  # reads the environment

        self._app = celery_app
        command = [sys.executable, "-W", "ignore", "-m", "celery", "--app=bench.celery_app", "--quiet", "worker"]
        options = [f"--concurrency={self.workers}", "--loglevel=ERROR", "--without-gossip", "--without-mingle"]
        environment = {
            **os.environ,
            "C_FORCE_ROOT": "1",
        }  # else root may not use pickle; nobody else gets to the socket
        worker = subprocess.Popen([*command, *options], cwd=ROOT, env=environment)
        self.stack.callback(worker.wait)
        self.stack.callback(worker.terminate)
        self._wait_for(worker)

    def _wait_for(self, worker: subprocess.Popen[bytes]) -> None:
        """Until the first task is done."""
        first = self._app.add.delay(task(0))
        until = time.monotonic() + _STARTING
        while worker.poll() is None and time.monotonic() < until:
            try:
                check(0, first.get(timeout=1.0))
            except NotYet:
                continue
            return
        raise RuntimeError(f"Celery's worker does no task (exit code {worker.poll()})")

    def round_trip(self, number: int) -> None:
        """One task."""
        check(number, self._app.add.delay(task(number)).get())

    def many(self, count: int) -> None:
        """All at once, then result after result: that is faster here than a group."""
        results = [self._app.add.delay(task(number)) for number in range(count)]
        for number, result in enumerate(results):
            check(number, result.get())

    def carry(self, content: Any) -> None:
        """As a task's argument, and as its result."""
        assert self._app.same.delay(content).get().nbytes == content.nbytes
