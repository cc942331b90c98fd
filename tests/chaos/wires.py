"""Bad wires that last for less than the tolerance: nothing is lost, nothing runs twice, and the results arrive."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.chaos.findings import Findings
from tests.chaos.load import Mourning, quick
from tests.chaos.proxy import Proxy, can_destroy_sockets, destroy_sockets
from tests.chaos.scene import CHECK_SPAN, Scene, Seat

TOLERANCE = 4.0
LONGEST = 1.0  # seconds that a wire is bad: less than the lease allows between two beats
PADDING = 20_000  # bytes of each task and each result, so that a slow wire is felt


def spoil_wires(folder: Path, seed: int, slaves: int = 2, faults: int = 7) -> Findings:
    """Every slave has a proxy before it, and the master one for all; each wire is spoilt in every way."""
    with ExitStack() as stack:
        back = stack.enter_context(Proxy())
        make = partial(
            quick,
            Mourning,
            heartbeat_tolerance=TOLERANCE,
            heartbeat_check_span=CHECK_SPAN,
            my_address=f"127.0.0.1:{back.port}",
            request_retries=30,
            request_retry_waiting=0.2,
        )
        scene = stack.enter_context(Scene(folder, seed, slaves=slaves, padding=PADDING, make_master=make))
        back.target = scene.master.port
        there = {seat.name: stack.enter_context(Proxy(seat.process.port)) for seat in scene.seats}
        kernel = can_destroy_sockets()
        scene.together(lambda seat: _spoil(seat, there[seat.name], back, faults, kernel))
    scene.findings.nothing_but_completed()
    return scene.findings


def _spoil(seat: Seat, there: Proxy, back: Proxy, faults: int, kernel: bool) -> None:
    seat.port = there.port
    names = [*WAYS, *(["destroy"] if kernel else [])]
    seat.dice.shuffle(names)
    with seat.working():
        for name in (names * faults)[:faults]:
            proxy = seat.dice.choice((there, back))
            if name == "destroy":
                destroy_sockets(seat.process.port)
            else:
                WAYS[name](proxy, seat)
            seat.scene.findings.count(hits=1)
            if not seat.scene.load.completes(seat.name):
                seat.scene.findings.is_wrong(f"{seat.name} completes nothing after {name!r}")
        if seat.process.take_all("lost") or seat.scene.master.loss(seat.name, 0.0):
            seat.scene.findings.is_wrong(f"{seat.name} was lost, or let go, although its wire was bad for a short time")


def _for_a_while(seat: Seat) -> None:
    threading.Event().wait(seat.dice.uniform(0.2, LONGEST))  # as long as the fault lasts


def _delay(proxy: Proxy, seat: Seat) -> None:
    proxy.delay = seat.dice.uniform(0.02, 0.2)
    _for_a_while(seat)
    proxy.delay = 0.0


def _throttle(proxy: Proxy, seat: Seat) -> None:
    proxy.rate = seat.dice.uniform(50_000, 500_000)
    _for_a_while(seat)
    proxy.rate = None


def _swallow(proxy: Proxy, seat: Seat) -> None:
    direction = seat.dice.choice(("there", "back"))
    proxy.swallow(direction, True)
    try:
        _for_a_while(seat)
    finally:
        proxy.swallow(direction, False)


def _half_close(proxy: Proxy, seat: Seat) -> None:
    proxy.half_close(seat.dice.choice(("there", "back")))


def _reset(proxy: Proxy, seat: Seat) -> None:
    proxy.reset()


WAYS: dict[str, Callable[[Proxy, Seat], None]] = {
    "delay": _delay,
    "throttle": _throttle,
    "swallow": _swallow,
    "half-close": _half_close,
    "reset": _reset,
}
