"""A master with a journal that is killed, again and again, while its slaves work: what became of every task.

python -m tests.chaos.masters --kills 300
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.kills import ROOT, Process

LONGEST = 1.0  # seconds that a master lives once it works


@dataclass
class Outcome:
    """What is known at the end. `back_after` are the seconds from each start until all slaves were there again."""

    kills: int = 0
    tasks: int = 0
    told: Counter[str] = field(default_factory=Counter)
    cut_off: int = 0  # callbacks that a kill came before; the ends are in the journal
    lost: int = 0  # started, and without an end that anybody can learn, or with the end LOST
    run_twice: int = 0
    callbacks_doubled: int = 0
    wrong_results: int = 0
    back_after: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def figures(self) -> dict[str, object]:
        """All of it as JSON takes it; `back_after` by its percentiles."""
        back = sorted(self.back_after)
        places = {f"p{share}": min(len(back) * share // 100, len(back) - 1) for share in (50, 99, 100)}
        times = {name: round(back[place], 3) for name, place in places.items()} if back else {}
        return {**vars(self), "told": dict(self.told), "back_after": times}

    @property
    def unexpected(self) -> list[str]:
        """What went wrong, in sentences."""
        names = ("lost", "run_twice", "callbacks_doubled", "wrong_results")
        return [f"{name.replace('_', ' ')}: {getattr(self, name)}" for name in names if getattr(self, name)]


class MasterLife:
    """One master process."""

    def __init__(self, folder: Path, name: str, port: int, slaves: dict[str, int]) -> None:
        self.began = time.monotonic()
        arguments = [str(folder), name, str(port), *(f"{slave}={number}" for slave, number in slaves.items())]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.master", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.port = int(self.line())

    def line(self) -> str:
        """What it says next."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """See that it is gone."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def run(
    folder: Path, kills: int, slaves: int, seed: int, watch: Callable[[int], object] = lambda kills: None
) -> Outcome:
    """Do it, and look at what is left."""
    outcome, draw, began = Outcome(), random.Random(seed), time.monotonic()
    with ExitStack() as stack:
        executed = folder / "executed"
        executed.touch()
        processes = {f"slave-{n}": Process(executed) for n in range(slaves)}
        for process in processes.values():
            stack.callback(process.close)
        ports, port = {name: process.port for name, process in processes.items()}, 0
        for number in range(kills):
            life = MasterLife(folder, f"life{number}", port, ports)
            stack.callback(life.close)
            port = life.port
            if draw.random() < 0.8:  # else it is killed while it still comes back
                assert life.line().strip() == "ready"
                outcome.back_after.append(time.monotonic() - life.began)
            time.sleep(draw.uniform(0.0, LONGEST))  # the moment of death is what is drawn; nothing is waited for
            life.kill()
            outcome.kills += 1
            watch(outcome.kills)
        last = MasterLife(folder, "last", port, ports)
        stack.callback(last.close)
        outcome.cut_off = len(found := set(json.loads(last.line())))
    judge(folder, outcome, found)
    outcome.seconds = time.monotonic() - began
    return outcome


def judge(folder: Path, outcome: Outcome, found: set[str]) -> None:
    """Compare what was started, what ran, and what was told."""
    started = [line.split()[0] for line in (folder / "started").read_text().splitlines()]
    told = [line.split() for line in (folder / "told").read_text().splitlines()]
    outcome.tasks = len(started)
    outcome.told = Counter(status for _, status, _ in told)
    outcome.wrong_results = sum(status == "COMPLETED" and verdict != "right" for _, status, verdict in told)
    outcome.callbacks_doubled = sum(count > 1 for count in Counter(number for number, _, _ in told).values())
    ended = {number for number, _, _ in told} | found
    lost = {number for number, status, _ in told if status != "COMPLETED"} & set(started)
    outcome.lost = len(set(started) - ended) + len(lost)
    executed = Counter((folder / "executed").read_text().split())
    outcome.run_twice = sum(count > 1 for count in executed.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--slaves", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(Path(folder), told.kills, told.slaves, told.seed)
    print(json.dumps(outcome.figures(), indent=1))
    return 1 if outcome.unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
