"""One compromised slave does its worst for some minutes, beside three innocent ones of the same master."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.contract.slave_programs import WAIT
from tests.hostile.conftest import Peer
from tests.hostile.evil_slave import MISDEEDS
from tests.hostile.figures import Effort, Figure

INNOCENT = 3
EACH = 60.0  # seconds more in which each misdeed is done at least once
LAST_TASKS = 90.0  # seconds that the last tasks take at most
MOST_GROWTH = 1024.0  # MiB: four peers' messages of 64 MiB, three times over, and what gRPC holds


class Found:
    """What has come of it."""

    def __init__(self, master: dict[str, Any], let_go: list[list[str]], turns: dict[str, int], grown: float) -> None:
        self.lost: list[str] = master["lost"]
        self.evil: dict[str, int] = master["evil"]
        self.ends: dict[str, int] = master["ends"]
        self.slowest: float = master["slowest"]
        self.let_go = [error for one in let_go for error in one]
        self.turns = turns
        self.grown = grown


def scene(folder: Path, minutes: float) -> tuple[Found, str]:
    """Play it. Returns what has come of it, and the master's log."""
    with ExitStack() as stack:

        def peer(role: str, *arguments: str, program: str = "tests.hostile.beside") -> Peer:
            made = Peer(role, folder / f"{role}.log", *arguments, program=program)
            stack.callback(made.close)
            return made

        innocent = [peer("slave") for _ in range(INNOCENT)]
        evil = peer("evil", program="tests.hostile.evil_slave")
        master = peer("master", *(str(one.port) for one in (evil, *innocent)))
        before = master.memory()
        master.forget_peak()
        end = time.monotonic() + 60 * minutes
        turns: dict[str, int] = {}
        while time.monotonic() < end or (len(turns) < len(MISDEEDS) and time.monotonic() < end + EACH):
            time.sleep(0.5)  # nothing is waited for: this is how long it goes on
            assert master.process.poll() is None, "the master has ended"
            evil.say("turns")
            turns = json.loads(evil.line())
        grown = master.peak() - before
        master.say("over")
        told = json.loads(master.line(LAST_TASKS))
        let_go = []
        for one in innocent:
            one.say("over")
            let_go.append(json.loads(one.line(WAIT)))
        return Found(told, let_go, turns, grown), master.log()


def measure(folder: Path, effort: Effort) -> list[Figure]:
    """For the table."""
    found, _ = scene(folder, effort.minutes)
    ended = sum(found.ends.values())
    undone = ended - found.ends.get("COMPLETED", 0)
    what = f"one compromised slave doing its worst for {effort.minutes:g} minutes beside three innocent ones"
    done = f"{sum(found.turns.values()):,} misdeeds of {len(found.turns)} kinds"
    return [
        Figure(
            f"{what}: lost / that let go",
            "0 / 0",
            f"{len(found.lost)} / {len(found.let_go)}, in {done}",
            not found.lost and not found.let_go,
        ),
        Figure(
            "their tasks that did not complete / the slowest",
            "0",
            f"{undone} of {ended:,} / {found.slowest:.1f} s",
            undone == 0,
        ),
        Figure(
            "the master's memory grew by at most",
            f"{MOST_GROWTH:.0f} MiB",
            f"{found.grown:.0f} MiB",
            found.grown < MOST_GROWTH,
        ),
    ]
