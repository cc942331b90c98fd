"""Slaves and a master that start processes all the time, while the slaves are killed and their children live on."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Lock

from interaction.exception import LossReason
from tests.chaos.findings import Findings, executed_twice
from tests.chaos.process import PATIENCE, Event, Process
from tests.chaos.scene import CHECK_SPAN

LONGEST = 1.5  # seconds that a slave lives once it works
KINDS: tuple[dict[str, object], ...] = ({}, {"pacemaker": False}, {"isolation": "process"})


def fork_everywhere(folder: Path, seed: int, kills: int = 3, at_once: float = 1.0) -> Findings:
    """So many kills of a slave of each kind. The end of a process must be known within `at_once` seconds."""
    return Forks(folder, seed, kills, at_once).run()


class Forks:
    """One slave of each kind, and a master; each a process of its own."""

    def __init__(self, folder: Path, seed: int, kills: int, at_once: float) -> None:
        self._log = folder / "executed"
        self._log.touch()
        self._seed = seed
        self._kills = kills
        self._at_once = at_once
        self._lock = Lock()
        self._told: list[Process] = []
        self.findings = Findings(rounds=1)

    def run(self) -> Findings:
        """Do it, and judge."""
        began = time.monotonic()
        with ExitStack() as stack:
            self._stack = stack
            with ThreadPoolExecutor(len(KINDS)) as threads:
                slaves = list(threads.map(self._start, KINDS))
            places = [(f"slave-{number}", "127.0.0.1", slave.port) for number, slave in enumerate(slaves)]
            options = {"seed": self._seed, "longest": 0.0, "slaves": places, "heartbeat_check_span": CHECK_SPAN}
            self._master = self._kept(Process("tests.chaos.master", {**options, "forks": True}))
            with ThreadPoolExecutor(len(KINDS)) as threads:
                for living in [threads.submit(self._live, number, slave) for number, slave in enumerate(slaves)]:
                    living.result()
            self._report()
            for process in self._told:
                for event in process.take_all("children"):
                    self._judge(event)
        self.findings.executed_twice = executed_twice([self._log])
        self.findings.seconds = time.monotonic() - began
        return self.findings

    def _start(self, kind: dict[str, object], port: int = 0) -> Process:
        return self._kept(Process("tests.chaos.fork_slave", {"log": str(self._log), "port": port, **kind}))

    def _kept(self, process: Process) -> Process:
        with self._lock:
            self._told.append(process)
            self._stack.enter_context(process)
            self._stack.callback(_end_group, process)  # before it: who holds its pipes would be waited for
        return process

    def _live(self, number: int, slave: Process) -> None:
        """Be killed, and started again at the same port while children of the one before live."""
        name, dice = f"slave-{number}", random.Random(self._seed * 1000 + number)
        for _ in range(self._kills):
            self._connected(name, slave)
            time.sleep(dice.uniform(0.0, LONGEST))  # the moment of death is what is drawn: nothing is waited for
            slave.kill()
            self.findings.count(hits=1)
            known = self._master.take("known", PATIENCE, lambda event: event["name"] == name)
            self.findings.known(known["known_at"] - slave.killed_at, self._at_once, f"{name}, whose children live on")
            if known["reason"] != LossReason.EXITED.name:
                self.findings.is_wrong(f"{name} was killed, and lost as {known['reason']}")
            slave = self._start(KINDS[number], slave.port)
        self._connected(name, slave)

    def _connected(self, name: str, slave: Process) -> None:
        self._master.take("connected", PATIENCE, lambda event: event["name"] == name)
        self._judge(slave.take("children", 2 * PATIENCE))  # there is one by now that lives on

    def _report(self) -> None:
        self._master.tell("report")
        told = self._master.take("report", 3 * PATIENCE)["findings"]
        counted = {name: Counter(told[name]) for name in ("ended", "reasons", "children")}
        self.findings.add(Findings(**{**told, **counted}))

    def _judge(self, event: Event) -> None:
        codes = event["codes"]
        with self._lock:
            self.findings.children[event["way"]] += len(codes)
        dead, hung = [code for code in codes if code], codes.count(None)
        if dead or hung:
            self.findings.is_wrong(f"children by {event['way']}: {hung} hung, others ended with {dead}")


def _end_group(process: Process) -> None:
    """End what it has started, and what lives on without it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
