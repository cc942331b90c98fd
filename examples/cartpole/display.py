"""What is shown while a training goes on: a table that lives in a terminal, and a line now and then anywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .dispatch import Loss, Played
from .processes import SlaveProcess
from .report import ASCII, EIGHTHS, bars, unicode_fits
from .settings import Settings
from .train import Generation, Watch

LINES = 10  # how many progress lines a training gets where there is no terminal


class LineDisplay(Watch):
    """A line at every tenth of the way, and at every event."""

    def __init__(self, console: Console, settings: Settings) -> None:
        self._console = console
        self._settings = settings
        self._killed_at: float | None = None

    def generation(self, generation: Generation) -> None:
        """A line, if it is time for one."""
        done, all_of_them = generation.number + 1, self._settings.generations
        if done * LINES // all_of_them != generation.number * LINES // all_of_them:
            self._console.print(f"Generation {done} of {all_of_them}: mean return {generation.mean:.1f}")

    def killed(self, slave: SlaveProcess) -> None:
        """A line."""
        self._killed_at = time.perf_counter()
        self._say(f"Killed {slave.name} (process {slave.pid}, SIGKILL) in the middle of a task.")

    def lost(self, loss: Loss) -> None:
        """A line."""
        after = "" if self._killed_at is None else f" after {1000 * (time.perf_counter() - self._killed_at):.0f} ms"
        self._say(f"Lost {loss.slave}{after} ({loss.reason}): {loss.message}. Its task goes to another slave.")

    def _say(self, sentence: str) -> None:
        self._console.print(sentence, style="red", markup=False, soft_wrap=not self._console.is_terminal)


class LiveDisplay(LineDisplay):
    """A table of the slaves, a bar, and the curve so far; events scroll by above it."""

    def __init__(self, console: Console, settings: Settings) -> None:
        super().__init__(console, settings)
        self._slaves: Sequence[SlaveProcess] = ()
        self._tasks: dict[str, int] = {}
        self._steps: dict[str, int] = {}
        self._lost: dict[str, str] = {}
        self._means: list[float] = []
        self._began = 0.0

    @contextmanager
    def watching(self, slaves: Sequence[SlaveProcess]) -> Iterator[None]:
        """Show the table until the block ends."""
        self._slaves = slaves
        self._tasks = dict.fromkeys((slave.name for slave in slaves), 0)
        self._steps = dict(self._tasks)
        self._began = time.perf_counter()
        with Live(get_renderable=self._render, console=self._console, refresh_per_second=5):
            yield

    def generation(self, generation: Generation) -> None:
        """Count it; the next refresh shows it."""
        self._means.append(generation.mean)

    def played(self, played: Played) -> None:
        """Count it. Each slave has a thread of its own, which alone changes its entries."""
        self._tasks[played.slave] += 1
        self._steps[played.slave] += sum(played.result["steps"])

    def lost(self, loss: Loss) -> None:
        """Show it above the table, and in it."""
        self._lost[loss.slave] = loss.reason
        super().lost(loss)

    def _render(self) -> RenderableType:
        seconds = time.perf_counter() - self._began
        means, total = list(self._means), self._settings.generations
        head = Table.grid(padding=(0, 1))
        head.add_row(
            f"Generation {len(means)} of {total}",
            ProgressBar(total, len(means), width=30),
            f"{seconds:.0f} s",
        )
        glyphs = EIGHTHS if unicode_fits(self._console) else ASCII
        width = min(len(means), max(self._console.width - 24, 1))
        so_far = bars(means, 500, width, 1, glyphs)[0] if means else ""
        line = Text.assemble("Mean return ", (so_far, "green"), f" {means[-1]:.1f}" if means else "")
        return Group(head, self._table(seconds), line)

    def _table(self, seconds: float) -> Table:
        table = Table("slave", "process", "port")
        for title in ("tasks", "steps/s"):
            table.add_column(title, justify="right", min_width=7)
        table.add_column("state", min_width=14)
        for slave in self._slaves:
            name = slave.name
            reason = self._lost.get(name)
            state = Text("plays", "green") if reason is None else Text(f"lost: {reason}", "red")
            rate = f"{self._steps[name] / seconds:,.0f}" if reason is None and seconds > 0 else ""
            table.add_row(name, str(slave.pid), str(slave.port), str(self._tasks[name]), rate, state)
        return table


def display_for(console: Console, settings: Settings) -> Watch:
    """The display that fits where the output goes."""
    lives = console.is_terminal and not console.is_dumb_terminal
    return (LiveDisplay if lives else LineDisplay)(console, settings)
