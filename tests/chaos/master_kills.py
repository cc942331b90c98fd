"""A master with a journal that is killed, again and again, while its slaves work; and what became of every task."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.chaos.findings import Findings, executed_twice
from tests.chaos.process import PATIENCE, Process

LONGEST = 1.0  # seconds that a master lives once it works
SOON = 0.2  # the share of the masters that are killed while they still come back to their slaves


def kill_masters(folder: Path, seed: int, kills: int = 5, slaves: int = 3) -> Findings:
    """A few kills."""
    return MasterKills(folder, kills, slaves, seed).run()


class MasterKills:
    """`kills` kills in all of a master with `slaves` slaves. `watch` is called after each, with the count.

    After each nobody is there for `away` seconds. `known_after` are the seconds from each start of a master but the
    first until all slaves were there again.
    """

    def __init__(
        self,
        folder: Path,
        kills: int,
        slaves: int,
        seed: int,
        *,
        away: float = 0.0,
        watch: Callable[[int], object] = lambda kills: None,
    ) -> None:
        self._folder = folder
        self._kills = kills
        self._slaves = slaves
        self._away = away
        self._watch = watch
        self._dice = random.Random(seed)
        self._began = time.monotonic()
        self.findings = Findings(rounds=1)

    def run(self) -> Findings:
        """Do it, and look at what is left."""
        log = self._folder / "executed"
        log.touch()
        with ExitStack() as stack:
            ports = {}
            for number in range(self._slaves):
                slave = stack.enter_context(Process("tests.chaos.slave", {"log": str(log)}))
                ports[f"slave-{number}"] = slave.port
            port = 0
            for number in range(self._kills):
                port = self._live(f"life{number}", port, ports)
                if number == 0:  # in which the sessions were opened
                    self.findings.known_after.clear()
                self.findings.count(hits=1)
                self._watch(self.findings.hits)
            with self._master("last", port, ports) as last:
                found = set(last.take("found", 2 * PATIENCE)["numbers"])
        self.findings.executed_twice = executed_twice([log])
        self._judge(found)
        self.findings.seconds = time.monotonic() - self._began
        return self.findings

    def _master(self, life: str, port: int, slaves: dict[str, int]) -> Process:
        told = {"folder": str(self._folder), "life": life, "port": port, "slaves": slaves, "last": life == "last"}
        return Process("tests.chaos.journaled", told)

    def _live(self, life: str, port: int, slaves: dict[str, int]) -> int:
        """One life of the master; returns its port."""
        began = time.monotonic()
        with self._master(life, port, slaves) as master:
            if self._away or self._dice.random() >= SOON:
                there = master.take("working", 2 * PATIENCE)["at"]
                self.findings.known_after.append(there - began)
            time.sleep(self._dice.uniform(0.0, LONGEST))  # the moment of death is what is drawn: nothing is waited for
            master.kill()
        time.sleep(self._away)  # that nobody is there is the fault
        return master.port

    def _judge(self, found: set[str]) -> None:
        """Compare what was started and what was told. `found` by their ids are those whose callbacks were cut off."""
        findings = self.findings
        started = [line.split()[0] for line in (self._folder / "started").read_text().splitlines()]
        told = [line.split() for line in (self._folder / "told").read_text().splitlines()]
        calls = Counter(number for number, _, _ in told)
        known = {number: status for number, status, _ in told} | dict.fromkeys(found, "COMPLETED")
        findings.tasks = len(known.keys() | set(started))
        findings.ended = Counter(known.values())
        findings.doubled_callbacks = sum(count > 1 for count in calls.values())
        findings.wrong_results = sum(verdict != "right" for _, _, verdict in told)
        findings.hanging = len(set(started) - known.keys())
        lost = [number for number in started if known.get(number, "COMPLETED") != "COMPLETED"]
        if lost:
            findings.is_wrong(f"{len(lost)} tasks whose start had returned were lost, and no slave was")
