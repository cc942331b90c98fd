"""What is done to a master with many slaves, one phase after the other, and what each has shown."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

from bench.scale.echo import PATH
from bench.scale.process import Cost, Process

KIB = 1024
Figures = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What is measured, by the command line."""

    slaves: int
    minutes: float
    generators: int
    tolerance: float
    span: float  # seconds between two beats of a slave
    echo_streams: int
    echo_seconds: float
    task_rate: float
    task_seconds: float
    aftermath: float  # seconds for which the rest is watched after a loss
    settling: float  # seconds after the last Connect before memory and processor are looked at


def counts_of(generators: Sequence[Process]) -> Counter[str]:
    """What has happened in all of them so far."""
    total: Counter[str] = Counter()
    for generator in generators:
        total.update(generator.ask("figures")["counts"])
    return total


def slowest_of(generators: Sequence[Process]) -> Figures:
    """The longest time to an acknowledgement, and by how much the slaves' own clock came late, since asked before."""
    told = [generator.ask("figures")["slowest"] for generator in generators]
    return {
        "slowest acknowledgement, s": max(one["acknowledgement"] for one in told),
        "slaves' own timer late by, s": max(one["turn"] for one in told),
    }


def echo(plan: Plan) -> Figures:
    """The processor time that a message costs bare grpc.aio, at the rate of the beats of all slaves."""
    span = plan.span * plan.echo_streams / plan.slaves
    with ExitStack() as stack:
        server = stack.enter_context(Process("bench.scale.echo"))
        generators = [stack.enter_context(Process("bench.scale.generator", span=span)) for _ in range(plan.generators)]
        baseline = server.cost()
        for generator in generators:
            count = plan.echo_streams // plan.generators
            address = f"127.0.0.1:{server.ready['port']}"
            generator.ask("open", 600.0, count=count, path=PATH, address=address, lease=1000.0, each=0.002)
        time.sleep(min(plan.settling, 5.0))
        before, counted = server.cost(), counts_of(generators)
        time.sleep(plan.echo_seconds)
        after, counts = server.cost(), counts_of(generators)
        messages = counts["acknowledgements"] - counted["acknowledgements"]
        return {
            "streams": counts["streams"],
            "messages/s": messages / (after.at - before.at),
            "cores": after.cores_since(before),
            "CPU per message, us": (after.cpu - before.cpu) / messages * 1e6,
            "memory per stream, KiB": (before.resident - baseline.resident) / counts["streams"] / KIB,
        }


class Scene:
    """One master, and its slaves from several processes. Use it with `with`."""

    def __init__(self, plan: Plan, tell: Callable[[str], object]) -> None:
        self.plan = plan
        self.figures: Figures = {}
        self._tell = tell
        self._stack = ExitStack()

    def __enter__(self) -> Scene:
        start, plan = self._stack.enter_context, self.plan
        try:
            self.master = start(Process("bench.scale.master", tolerance=plan.tolerance))
            self.generators = [start(Process("bench.scale.generator", span=plan.span)) for _ in range(plan.generators)]
        except BaseException:
            self._stack.close()
            raise
        self._empty = self.master.cost()
        self._empty_generators = [generator.cost() for generator in self.generators]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self) -> Figures:
        """All phases."""
        for phase in (self._connect, self._idle, self._beat, self._tasks, self._kill, self._silence):
            name = phase.__name__.lstrip("_")
            self._tell(name)
            self.figures[name] = phase()
        return self.figures

    def _connect(self) -> Figures:
        ports = [generator.ready["port"] for generator in self.generators]
        answer = self.master.ask("connect", 1800.0, ports=ports, count=self.plan.slaves)
        after = self.master.cost()
        generators = sum(g.cost().cpu - b.cpu for g, b in zip(self.generators, self._empty_generators, strict=True))
        return {
            "connected": answer["connected"],
            "errors": answer["errors"],
            "seconds": answer["seconds"],
            "Connects/s": self.plan.slaves / answer["seconds"],
            "master's CPU per Connect, ms": (after.cpu - self._empty.cpu) / self.plan.slaves * 1e3,
            "slaves' CPU per Connect, ms": generators / self.plan.slaves * 1e3,
            **self._health(),
            **self._held(after),
        }

    def _health(self) -> Figures:
        slowest, counts = slowest_of(self.generators), counts_of(self.generators)
        told = {"streams": counts["streams"], "broken streams": counts["broken"]}
        return {**told, "leases that ran out": counts["lapsed"], **slowest}

    def _held(self, master: Cost) -> Figures:
        slaves = [generator.cost() for generator in self.generators]
        empty = sum(cost.resident for cost in self._empty_generators)
        return {
            "master's memory per slave, KiB": (master.resident - self._empty.resident) / self.plan.slaves / KIB,
            "master's memory, MiB": master.resident / KIB / KIB,
            "slaves' memory each, KiB": (sum(cost.resident for cost in slaves) - empty) / self.plan.slaves / KIB,
            "master's descriptors": master.descriptors,
            "slaves' descriptors": [cost.descriptors for cost in slaves],
            "master's threads": master.threads,
        }

    def _idle(self) -> Figures:
        """What is held when nothing has been sent to the slaves for a while."""
        time.sleep(self.plan.settling)
        return {**self._health(), **self._held(self.master.cost())}

    def _beat(self) -> Figures:
        before, counted = self.master.cost(), counts_of(self.generators)
        slaves = [generator.cost() for generator in self.generators]
        peak, until = 0.0, before.at + self.plan.minutes * 60
        last = before
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 10.0))
            now = self.master.cost()
            peak, last = max(peak, now.cores_since(last)), now
        slowest = slowest_of(self.generators)
        after, counts = self.master.cost(), counts_of(self.generators)
        counts.subtract(counted)
        return {
            "minutes": self.plan.minutes,
            **self._losses(),
            "broken streams": counts["broken"],
            "leases that ran out": counts["lapsed"],
            **slowest,
            "beats/s": counts["beats"] / (after.at - before.at),
            "acknowledgements/s": counts["acknowledgements"] / (after.at - before.at),
            "master's cores": after.cores_since(before),
            "master's cores, most in 10 s": peak,
            "CPU per beat, us": (after.cpu - before.cpu) / counts["beats"] * 1e6,
            "slaves' cores": sum(g.cost().cores_since(b) for g, b in zip(self.generators, slaves, strict=True)),
            **self._held(after),
        }

    def _losses(self) -> Figures:
        told = self.master.ask("figures")
        reasons = Counter(reason for _, _, reason in told["losses"])
        return {"false losses": len(told["losses"]), "their reasons": reasons, "connected": told["connected"]}

    def _tasks(self) -> Figures:
        before = self.master.cost()
        answer = self.master.ask("tasks", 600.0, rate=self.plan.task_rate, seconds=self.plan.task_seconds)
        trips = answer["trips"]
        cuts = quantiles(trips, n=100) if len(trips) > 1 else [float("nan")] * 99
        return {
            "tasks": len(trips),
            "wrong": answer["wrong"],
            "round trip p50, ms": cuts[49] * 1e3,
            "round trip p99, ms": cuts[98] * 1e3,
            "master's cores": self.master.cost().cores_since(before),
            **self._losses(),
        }

    def _kill(self) -> Figures:
        """One process is killed, and with it its share of the slaves."""
        victim = self.generators.pop()
        port = victim.ready["port"]
        before, counted, began = self.master.cost(), counts_of(self.generators), time.monotonic()
        victim.kill()
        return self._after_loss(f"{port}/", began, before, counted)

    def _after_loss(self, prefix: str, began: float, before: Cost, counted: Counter[str]) -> Figures:
        time.sleep(5.0)
        soon = self.master.cost()
        time.sleep(max(0.0, self.plan.aftermath - 5.0))
        told, counts = self.master.ask("figures"), counts_of(self.generators)
        counts.subtract(counted)
        mine = sorted((at - began, reason) for at, name, reason in told["losses"] if name.startswith(prefix))
        others = [loss for loss in told["losses"] if not loss[1].startswith(prefix)]
        return {
            "lost": Counter(reason for _, reason in mine),
            "known after, s (first, p50, last)": [mine[k][0] for k in (0, len(mine) // 2, -1)] if mine else [],
            "lost of the others": len(others),
            "broken streams of the others": counts["broken"],
            "leases of the others that ran out": counts["lapsed"],
            "connected": told["connected"],
            "master's cores in the 5 s after": soon.cores_since(before),
        }

    def _silence(self) -> Figures:
        """A tenth of one process's slaves beat no more; their streams stay open."""
        generator = self.generators[0]
        before, counted, began = self.master.cost(), counts_of(self.generators), time.monotonic()
        count = self.plan.slaves // self.plan.generators // 10
        generator.ask("mute", count=count)
        figures = self._after_loss(f"{generator.ready['port']}/", began, before, counted)
        return {"silent": count, **figures}
