"""A master that stands still (SIGSTOP) for longer than its slaves' lease, and wakes among slaves that let go."""

from __future__ import annotations

import random
import threading
import time
from functools import partial
from pathlib import Path

from tests.chaos.distant import Distant
from tests.chaos.findings import Findings
from tests.chaos.process import Process
from tests.chaos.scene import CHECK_SPAN, GRACE


def stop_master(folder: Path, seed: int, slaves: int = 3) -> Findings:
    """Once for more than the lease, and once for more than the tolerance."""
    dice = random.Random(seed)
    tolerance = dice.uniform(1.0, 2.0)
    with Distant(folder, seed, slaves, heartbeat_tolerance=tolerance, longest=0.2, request_timeout=5.0) as distant:
        for share in (dice.uniform(0.75, 0.95), dice.uniform(1.5, 2.0)):
            _stop(distant, dice.uniform(0.1, 0.5), share * tolerance, tolerance)
    return distant.findings


def _stop(distant: Distant, delay: float, seconds: float, tolerance: float) -> None:
    threading.Event().wait(delay)  # the moment of the fault, not a condition
    distant.findings.count(hits=1)
    distant.master.stop()
    stopped_at = time.monotonic()
    try:
        threading.Event().wait(seconds)
    finally:
        woken_at = time.monotonic()
        distant.master.go_on()
    distant.together(partial(_end, distant, tolerance, stopped_at, woken_at))


def _end(distant: Distant, tolerance: float, stopped_at: float, woken_at: float, name: str, slave: Process) -> None:
    """What came of it at one slave."""
    let_go, known = slave.take("lost"), distant.loss(name)
    distant.findings.first(known["known_at"] - let_go["at"], name)
    distant.findings.known(known["known_at"] - woken_at, tolerance + CHECK_SPAN + GRACE, name)
    lease_over = stopped_at + tolerance * 2 / 3
    if let_go["error"] != "LeaseExpired" or not let_go["at"] <= lease_over + GRACE:
        late = let_go["at"] - lease_over
        distant.findings.is_wrong(f"{name} let go {late:.2f} s after its lease, because of {let_go['error']}")
    distant.connected(name)  # of use again
