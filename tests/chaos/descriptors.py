"""Processes that may open no further file descriptor while they work, and then may again."""

from __future__ import annotations

import random
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from interaction import RequestException
from interaction.exception import LossReason, SlaveResponseException
from tests.chaos.distant import Distant
from tests.chaos.findings import Findings
from tests.chaos.load import Mourning, quick
from tests.chaos.process import PATIENCE, Process
from tests.chaos.proxy import Proxy
from tests.chaos.scene import CHECK_SPAN, GRACE, Scene, Seat

NONE_FREE = 3  # the limit: 0, 1 and 2 are taken
MOST_WORDS = 20_000  # bytes on standard error: more would be a storm


@contextmanager
def exhausted(process: Process) -> Iterator[None]:
    """The process keeps the descriptors that it has, and gets no new one meanwhile."""
    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (NONE_FREE, hard))
    try:
        yield
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (soft, hard))


def _judge(words: str, who: str, found: Findings) -> None:
    if "Traceback" in words or len(words) > MOST_WORDS:
        found.is_wrong(f"{who} without descriptors wrote {len(words)} bytes to standard error: {words[-500:]}")


def exhaust_slaves(folder: Path, seed: int, slaves: int = 1) -> Findings:
    """First nothing happens, for what is open stays open. Then all connections are reset, and none can be opened."""
    tolerance = random.Random(seed).uniform(1.0, 2.0)
    with ExitStack() as stack:
        back = stack.enter_context(Proxy())
        make = partial(
            quick,
            Mourning,
            heartbeat_tolerance=tolerance,
            heartbeat_check_span=CHECK_SPAN,
            my_address=f"127.0.0.1:{back.port}",
            request_timeout=5.0,
        )
        scene = stack.enter_context(Scene(folder, seed, slaves=slaves, options={"pacemaker": False}, make_master=make))
        back.target = scene.master.port
        there = {seat.name: stack.enter_context(Proxy(seat.process.port)) for seat in scene.seats}
        scene.together(lambda seat: _exhaust(seat, there[seat.name], back, tolerance))
    return scene.findings


@contextmanager
def _worked(seat: Seat) -> Iterator[None]:
    """Once a task is completed, both ways between slave and master are open."""
    if not seat.scene.load.completes(seat.name):
        seat.scene.findings.is_wrong(f"{seat.name} completes nothing")
    yield


def _exhaust(seat: Seat, there: Proxy, back: Proxy, tolerance: float) -> None:
    scene, found = seat.scene, seat.scene.findings
    seat.port = there.port
    with seat.working(), _worked(seat), exhausted(seat.process):
        found.count(hits=1)
        if not scene.load.completes(seat.name):
            found.is_wrong(f"{seat.name} completes nothing over what it has open")
        for proxy in (there, back):
            proxy.reset()
        reset_at = time.monotonic()
        loss = scene.master.loss(seat.name)
        if loss is None or loss[1] is not LossReason.SILENT:
            found.is_wrong(f"a slave without descriptors was lost as {loss}")
        else:
            found.known(loss[0] - reset_at, tolerance + CHECK_SPAN + GRACE, "no descriptors")
        seat.process.take("lost")
    _recover(seat)
    _judge(seat.process.errors(), seat.name, found)


def _recover(seat: Seat) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with seat.working():
                if not seat.scene.load.completes(seat.name):
                    seat.scene.findings.is_wrong(f"{seat.name} has descriptors again, and completes nothing")
            return
        except (RequestException, SlaveResponseException):
            if time.monotonic() > deadline:
                raise
            threading.Event().wait(0.1)  # before the next attempt


def exhaust_master(folder: Path, seed: int, slaves: int = 2) -> Findings:
    """What is open works; a slave that is lost meanwhile can't be dialled; and is, as soon as that is possible."""
    tolerance = random.Random(seed).uniform(1.0, 2.0)
    with Distant(folder, seed, slaves, heartbeat_tolerance=tolerance, request_timeout=5.0) as distant:
        (name, slave), *others = distant.slaves.items()
        with exhausted(distant.master):
            distant.findings.count(hits=1)
            slave.stop()
            stopped_at = time.monotonic()
            try:
                known = distant.loss(name)
            finally:
                slave.go_on()
            distant.findings.known(known["known_at"] - stopped_at, tolerance + CHECK_SPAN + GRACE, "stopped")
            slave.take("lost")
            threading.Event().wait(tolerance)  # attempts to dial that must fail
            if distant.master.take_all("connected"):
                distant.findings.is_wrong("the master dialled without a descriptor: the fault was none")
        distant.connected(name)
        for other, process in others:
            if process.take_all("lost"):
                distant.findings.is_wrong(f"{other} let go, although its connection was open all the time")
        _judge(distant.master.errors(), "the master", distant.findings)
    return distant.findings
