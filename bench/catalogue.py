"""The systems that are measured: what they are called, where they are, and what they need."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench import redis
from bench.system import System


@dataclass(frozen=True)
class Entry:
    """One system."""

    label: str
    module: str
    name: str  # of its class
    options: dict[str, Any] = field(default_factory=dict)
    peer: str | None = None  # the package that it needs

    def make(self, workers: int, **more: Any) -> System:
        """The system, not open yet."""
        kind: Callable[..., System] = getattr(importlib.import_module(self.module), self.name)
        return kind(workers, **{**self.options, **more})


_SECRET = {"secret": "known-to-everybody-who-has-read-this"}
_POOL = {"backlog": 1000}  # tasks that a slave of a pool takes beyond the one that it runs
SYSTEMS = {
    "grpc-unary": Entry("bare grpc.aio, unary", "bench.echo", "BareUnary"),
    "grpc-stream": Entry("bare grpc.aio, stream", "bench.echo", "BareStream"),
    "grpc-work": Entry("bare grpc.aio, stream of protobufs", "bench.echo", "BareWork"),
    "facade-unary": Entry("interaction, unary road", "bench.ours", "Facade", {"fast_road": False}),
    "facade": Entry("interaction", "bench.ours", "Facade"),
    "facade-stamped": Entry("interaction, with stamps", "bench.ours", "StampedFacade", {"stamps": True}),
    "facade-journal": Entry("interaction, journal", "bench.ours", "Facade", {"journal": True}),
    "facade-secret": Entry("interaction, secret", "bench.ours", "Facade", _SECRET),
    "facade-unary-secret": Entry(
        "interaction, unary road, secret", "bench.ours", "Facade", {"fast_road": False, **_SECRET}
    ),
    "aio": Entry("interaction.aio", "bench.ours", "Aio"),
    "pool-unary": Entry("interaction, pool, unary road", "bench.ours", "Pool", {**_POOL, "fast_road": False}),
    "pool": Entry("interaction, pool", "bench.ours", "Pool", _POOL),
    "pool-journal": Entry("interaction, pool, journal", "bench.ours", "Pool", {**_POOL, "journal": True}),
    "pool-secret": Entry("interaction, pool, secret", "bench.ours", "Pool", {**_POOL, **_SECRET}),
    "pool-unary-secret": Entry(
        "interaction, pool, unary road, secret", "bench.ours", "Pool", {**_POOL, "fast_road": False, **_SECRET}
    ),
    "aio-pool": Entry("interaction.aio, pool", "bench.ours", "AioPool", _POOL),
    "ray": Entry("Ray, actors", "bench.ray_peer", "Ray", peer="ray"),
    "dask": Entry("Dask", "bench.dask_peer", "Dask", peer="distributed"),
    "celery": Entry("Celery", "bench.celery_peer", "Celery", peer="celery"),
}


def missing(name: str) -> str | None:
    """Why a system can't be measured on this machine, in a sentence; None where it can."""
    entry = SYSTEMS[name]
    if entry.peer is not None and importlib.util.find_spec(entry.peer) is None:
        return f"{entry.label} is not installed: pip install '.[bench]'"
    if name == "celery" and redis.find() is None:
        return f"{entry.label} needs a Redis, and there is no redis-server: {redis.HOW_TO_GET}"
    return None
