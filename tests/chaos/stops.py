"""Slaves that stand still (SIGSTOP) while they work, are given up, and go on as if nothing had been."""

from __future__ import annotations

import random
import threading
import time
from functools import partial
from pathlib import Path

from interaction.exception import LossReason
from tests.chaos.findings import Findings
from tests.chaos.load import Mourning, quick
from tests.chaos.scene import CHECK_SPAN, GRACE, Scene, Seat

LONGEST_TASK = 0.3  # so that most stops are in the middle of one


def stop_slaves(folder: Path, seed: int, slaves: int = 4) -> Findings:
    """Stop each of them for twice the tolerance, at a moment of its own."""
    tolerance = random.Random(seed).uniform(1.0, 2.0)
    make = partial(quick, Mourning, heartbeat_tolerance=tolerance, heartbeat_check_span=CHECK_SPAN)
    with Scene(folder, seed, slaves=slaves, options={"zombie": True}, longest=LONGEST_TASK, make_master=make) as scene:
        scene.together(partial(_stop, tolerance=tolerance))
    return scene.findings


def _stop(seat: Seat, tolerance: float) -> None:
    scene, process, found = seat.scene, seat.process, seat.scene.findings
    with seat.working():
        threading.Event().wait(seat.dice.uniform(0.1, 1.0))  # the moment of the fault, not a condition
        process.stop()
        stopped_at = time.monotonic()
        try:
            loss = scene.master.loss(seat.name)
            if loss is None or loss[1] is not LossReason.SILENT:
                found.is_wrong(f"a slave that stood still was lost as {loss}")
            else:
                found.known(loss[0] - stopped_at, tolerance + CHECK_SPAN + GRACE, "stopped")
            threading.Event().wait(stopped_at + 2 * tolerance - time.monotonic())
        finally:
            process.go_on()
        found.count(hits=1)
        process.take("lost")
        answer = process.take("stale")["answer"]
        found.count(stale_offered=1, stale_accepted=answer == "RECORDED")
    with seat.working():
        if not scene.load.completes(seat.name):
            found.is_wrong(f"{seat.name} goes on, is connected again, and completes no task")
