"""Goes round the faults until the time is over, and adds up what came of each."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.chaos.faults import FAULTS
from tests.chaos.findings import Findings
from tests.chaos.network import NoNetwork


class Rounds:
    """Rounds of the faults of those names, in turn: for so many minutes, or so many rounds of each, whatever is first.

    `watch` is called with the next fault's name, and how much of all is done, 0 to 1. `left_out` says which can't be
    done here, and why.
    """

    def __init__(
        self,
        names: Sequence[str],
        seed: int,
        *,
        minutes: float | None = None,
        rounds: int | None = None,
        watch: Callable[[str, float], object] = lambda name, share: None,
    ) -> None:
        self._names = list(names)
        self._seed = seed
        self._seconds = None if minutes is None else 60 * minutes
        self._rounds = rounds
        self._watch = watch
        self._began = time.monotonic()
        self.findings = {name: Findings() for name in names}
        self.left_out: dict[str, str] = {}

    def run(self) -> None:
        """Do it. KeyboardInterrupt leaves what was found so far."""
        number = 0
        while self._names:
            for name in list(self._names):
                share = self._share(number)
                if share >= 1:
                    return
                self._watch(name, share)
                self._round(name, number)
            number += 1

    def _share(self, number: int) -> float:
        by_time = 0.0 if self._seconds is None else (time.monotonic() - self._began) / self._seconds
        by_rounds = 0.0 if self._rounds is None else number / self._rounds
        return max(by_time, by_rounds)

    def _round(self, name: str, number: int) -> None:
        seed = self._seed + number
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = FAULTS[name](Path(folder), seed)
            except NoNetwork as reason:
                self.left_out[name] = str(reason)
                self._names.remove(name)
                del self.findings[name]
                return
            except Exception as error:  # noqa: BLE001 - a round that breaks is a finding, and the others go on
                self.findings[name].rounds += 1
                self.findings[name].is_wrong(f"seed {seed}: the round broke: {type(error).__name__}: {error}")
                return
        found.wrong = [f"seed {seed}: {sentence}" for sentence in found.wrong]
        self.findings[name].add(found)

    @property
    def violations(self) -> list[str]:
        """What went wrong, in sentences. Where nothing was done, nothing was shown either."""
        if not any(found.rounds for found in self.findings.values()):
            return ["no round was finished"]
        return [f"{name}: {sentence}" for name, found in self.findings.items() for sentence in found.violations]

    def figures(self) -> dict[str, object]:
        """All of it as JSON takes it."""
        faults = {name: found.figures() for name, found in self.findings.items()}
        seconds = time.monotonic() - self._began
        return {"seed": self._seed, "seconds": seconds, "left_out": self.left_out, "faults": faults}
