"""Slaves that die at a named point of a task's life."""

from __future__ import annotations

import random
from pathlib import Path

from interaction import TaskStatus
from interaction.exception import LossReason
from tests.chaos.findings import Findings
from tests.chaos.scene import Scene, Seat

# How the task may end at which its slave dies. The slave's answer to NewTask may die with it until a result has come.
MAY_END = {
    "asked": {TaskStatus.START_FAILED},
    "accepted": {TaskStatus.START_FAILED, TaskStatus.LOST},
    "running": {TaskStatus.START_FAILED, TaskStatus.LOST},
    "computed": {TaskStatus.START_FAILED, TaskStatus.LOST},
    "reporting": {TaskStatus.START_FAILED, TaskStatus.LOST, TaskStatus.COMPLETED},
    "acknowledged": {TaskStatus.COMPLETED},
}
KNOWN_WITHIN = 5.0  # seconds; the tolerance is 15 s, and scripts/chaos shows how long it takes


def die_at_failpoints(folder: Path, seed: int) -> Findings:
    """One slave dies at each point, after a few tasks that go well."""
    with Scene(folder, seed, slaves=0, longest=0.005) as scene:
        for number, point in enumerate(MAY_END):
            after = random.Random(seed * 100 + number).randrange(8)
            with scene.process(die_at=point, die_after=after) as process:
                _die(Seat(scene, point, process, seed), point, after)
    return scene.findings


def _die(seat: Seat, point: str, after: int) -> None:
    scene, found = seat.scene, seat.scene.findings
    with seat.working():
        died_at = seat.process.take("dying")["at"]
        loss = scene.master.loss(seat.name)
    found.count(hits=1)
    if loss is None or loss[1] is not LossReason.EXITED:
        found.is_wrong(f"a slave that died at {point!r} was lost as {loss}")
    else:
        found.known(loss[0] - died_at, KNOWN_WITHIN, point)
    task = [record.task for record in scene.load.records if record.slave == seat.name][after]
    if task.status not in MAY_END[point]:
        found.is_wrong(f"the task at which its slave died at {point!r} is {task.status.name}")
