"""Slaves whose wire is cut while they work, in either direction or both, and mended again."""

from __future__ import annotations

import random
import threading
import time
from functools import partial
from pathlib import Path

from tests.chaos.distant import Distant
from tests.chaos.findings import Findings
from tests.chaos.network import CUTS, Network
from tests.chaos.process import Process
from tests.chaos.scene import CHECK_SPAN, GRACE


def cut_wires(folder: Path, seed: int, slaves: int = 5) -> Findings:
    """Each slave's wire is cut once, at a moment of its own; every kind of cut has its turn.

    Raises NoNetwork where namespaces can't be made.
    """
    dice = random.Random(seed)
    tolerance = dice.uniform(1.0, 2.0)
    with (
        Network(slaves) as network,
        Distant(
            folder, seed, slaves, network, heartbeat_tolerance=tolerance, longest=0.2, request_timeout=5.0
        ) as distant,
    ):
        plans = {name: (CUTS[(seed + number) % len(CUTS)], dice.random()) for number, name in enumerate(distant.slaves)}
        distant.together(partial(_cut, distant, network, plans, tolerance))
    return distant.findings


def _cut(
    distant: Distant,
    network: Network,
    plans: dict[str, tuple[str, float]],
    tolerance: float,
    name: str,
    slave: Process,
) -> None:
    how, delay = plans[name]
    found = distant.findings
    number = int(name.partition("-")[2])
    threading.Event().wait(delay)  # the moment of the fault, not a condition
    cut_at = time.monotonic()
    network.cut(number, how)
    try:
        known = distant.loss(name)
        let_go = slave.take("lost")
    finally:
        network.heal(number, how)
    found = distant.findings
    found.count(hits=1)
    found.known(known["known_at"] - cut_at, tolerance + CHECK_SPAN + GRACE, how)
    found.first(known["known_at"] - let_go["at"], how)
    if known["reason"] != "SILENT" or let_go["error"] != "LeaseExpired":
        found.is_wrong(f"{how}: lost as {known['reason']}, and let go because of {let_go['error']}")
    distant.connected(name)  # of use again
