"""What a process holds: memory, file descriptors, threads, and tasks of the shared loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from interaction.rpc.loop import acquire, release
from tests.chaos.program import descriptors, resident_bytes

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Holding:
    """What one process holds at one moment."""

    at: float  # seconds of the monotonic clock
    resident_bytes: int
    descriptors: int
    asyncio_tasks: int
    threads: int

    def figures(self) -> dict[str, float]:
        return asdict(self)


def holding() -> Holding:
    """What this process holds. One of its masters or slaves runs."""
    thread = acquire("census")
    try:
        tasks = thread.run(_tasks())
    finally:
        release("census")
    return Holding(time.monotonic(), resident_bytes(), descriptors(), tasks, threading.active_count())


async def _tasks() -> int:
    return len(asyncio.all_tasks()) - 1  # the one that counts


def settled(look: Callable[[], Holding], wanted: Holding | None, patience: float) -> Holding:
    """Look until what is held is no more than `wanted` (or, without that, the same twice), at most for so long.

    gRPC lets go of its sockets and threads somewhat after the last call.
    """
    deadline = time.monotonic() + patience
    before, now = None, look()
    while time.monotonic() < deadline:
        if wanted is not None and now.descriptors <= wanted.descriptors and now.asyncio_tasks <= wanted.asyncio_tasks:
            break
        if wanted is None and before is not None and _counts(before) == _counts(now):
            break
        threading.Event().wait(0.5)  # nothing tells when a socket of gRPC's is closed
        before, now = now, look()
    return now


def _counts(held: Holding) -> tuple[int, int, int]:
    return held.descriptors, held.asyncio_tasks, held.threads


def mib_per_hour(samples: Sequence[Holding]) -> float:
    """The slope of the memory, by least squares; NaN for fewer than two samples."""
    if len(samples) < 2:
        return float("nan")
    hours = [sample.at / 3600 for sample in samples]
    sizes = [sample.resident_bytes / MIB for sample in samples]
    middle, mean = sum(hours) / len(hours), sum(sizes) / len(sizes)
    spread = sum((hour - middle) ** 2 for hour in hours)
    return sum((hour - middle) * (size - mean) for hour, size in zip(hours, sizes, strict=True)) / spread
