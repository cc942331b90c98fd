"""What came of a fault: counted, added up, and judged by the promise."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

_lock = threading.Lock()


@dataclass
class Findings:
    """What is known after one or more rounds of a fault."""

    rounds: int = 0
    hits: int = 0  # how often the fault struck: kills, stops, cuts, ...
    tasks: int = 0
    ended: Counter[str] = field(default_factory=Counter)  # by status
    reasons: Counter[str] = field(default_factory=Counter)  # of the losses
    hanging: int = 0
    doubled_callbacks: int = 0
    executed_twice: int = 0
    wrong_results: int = 0
    stale_offered: int = 0  # results that a slave reported after its session had ended
    stale_accepted: int = 0
    known_after: list[float] = field(default_factory=list)  # seconds from each strike until its loss was known
    margins: list[float] = field(default_factory=list)  # seconds by which the slave let go before its master did
    children: Counter[str] = field(default_factory=Counter)  # that were started and have ended, by the way of it
    wrong: list[str] = field(default_factory=list)  # what else must not be, in sentences
    seconds: float = 0.0

    # What several threads may tell at once.

    def count(self, **numbers: int) -> None:
        """Add to the numbers of those names."""
        with _lock:
            for name, number in numbers.items():
                setattr(self, name, getattr(self, name) + number)

    def is_wrong(self, sentence: str) -> None:
        """Something is not as promised."""
        with _lock:
            self.wrong.append(sentence)

    def known(self, seconds: float, limit: float, what: str) -> None:
        """A loss was known so long after its cause."""
        with _lock:
            self.known_after.append(seconds)
        if seconds > limit:
            self.is_wrong(f"{what}: the loss was known after {seconds:.2f} s, where {limit:.2f} s is the limit")

    def first(self, margin: float, what: str) -> None:
        """The slave let go so many seconds before its master did."""
        with _lock:
            self.margins.append(margin)
        if margin <= 0:
            self.is_wrong(f"{what}: the master gave the slave up {-margin:.3f} s before the slave let go")

    # The end.

    def add(self, other: Findings) -> None:
        """Count another's in."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def percentile(self, share: float) -> float:
        """Of `known_after`; NaN where nothing was lost."""
        ordered = sorted(self.known_after)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else float("nan")

    def figures(self) -> dict[str, object]:
        """All of it as JSON takes it; the lists of seconds by what is asked of them."""
        lists = {"known_after", "margins"}
        figures: dict[str, object] = {name: value for name, value in vars(self).items() if name not in lists}
        if self.known_after:
            shares = (0.5, 0.9, 0.99, 1.0)
            figures["known_after"] = {f"p{round(100 * share)}": round(self.percentile(share), 4) for share in shares}
        if self.margins:
            figures["least_margin"] = round(min(self.margins), 4)
        return figures

    def nothing_but_completed(self) -> None:
        """Each task must have been completed: the fault is none that a task should notice."""
        others = {status: number for status, number in self.ended.items() if status != "COMPLETED"}
        if others or not self.ended:
            self.is_wrong(f"not every task was completed, although no slave was to be lost: {others}")

    @property
    def violations(self) -> list[str]:
        """What went wrong, in sentences."""
        counts = {
            "tasks without an end": self.hanging,
            "tasks whose callbacks ran twice": self.doubled_callbacks,
            "tasks that were executed twice": self.executed_twice,
            "tasks with a wrong result": self.wrong_results,
            "stale results that were accepted": self.stale_accepted,
        }
        return [f"{what}: {number}" for what, number in counts.items() if number] + self.wrong


def executed_twice(logs: Iterable[Path]) -> int:
    """How many tasks were begun more than once, by the logs that the slaves wrote."""
    begun = Counter(number for log in logs for number in log.read_text().split())
    return sum(count > 1 for count in begun.values())
