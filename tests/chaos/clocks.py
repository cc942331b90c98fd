"""The time of the day moves by hours, at a master and at slaves: nothing counts on it."""

from __future__ import annotations

import random
import threading
from pathlib import Path

from tests.chaos.distant import Distant
from tests.chaos.findings import Findings

HOUR = 3600.0


def move_clocks(folder: Path, seed: int, slaves: int = 2) -> Findings:
    """Each process's clock is moved several times, ahead and back, under load."""
    dice = random.Random(seed)
    tolerance = dice.uniform(1.5, 2.0)
    with Distant(folder, seed, slaves, heartbeat_tolerance=tolerance) as distant:
        for process in 2 * [distant.master, *distant.slaves.values()]:
            process.ask("clock", seconds=dice.choice((-1, 1)) * dice.uniform(1, 30) * HOUR)
            distant.findings.count(hits=1)
            threading.Event().wait(dice.uniform(0.1, 0.3))  # of work under that clock
        threading.Event().wait(1.5 * tolerance)  # in which one who counted on it would lose its lease
        lost = [event["reason"] for event in distant.master.take_all("known")]
        lost += [event["error"] for slave in distant.slaves.values() for event in slave.take_all("lost")]
        if lost:
            distant.findings.is_wrong(f"the clock was moved, and with it came losses: {lost}")
    distant.findings.nothing_but_completed()
    return distant.findings
