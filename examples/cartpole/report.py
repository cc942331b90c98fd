"""What is shown at the end: the reward curve, in the terminal and as a PNG, and a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from .train import Generation, Outcome

HEIGHT = 10  # rows of the curve
EIGHTHS = " ▁▂▃▄▅▆▇█"
ASCII = "    ####"  # for terminals without the above: full from half a row on
STEP = 50  # what the top of the curve is a multiple of


def unicode_fits(console: Console) -> bool:
    """Whether the console can show block characters."""
    return not console.options.ascii_only


def bars(values: Sequence[float], top: float, width: int, height: int, glyphs: str = EIGHTHS) -> list[str]:
    """Values from 0 to `top` as columns of text, `height` rows high, the highest first.

    Each value gets as many columns as fit into `width` for all; where there are more values than columns, each column
    is the mean of its share.
    """
    shares = np.array_split(np.asarray(values, float), min(len(values), width))
    columns = np.repeat([share.mean() for share in shares], max(width // len(values), 1))
    full = len(glyphs) - 1
    filled = np.round(np.clip(columns / top, 0, 1) * height * full).astype(int)
    return ["".join(glyphs[min(max(n - row * full, 0), full)] for n in filled) for row in reversed(range(height))]


def curve(outcome: Outcome, console: Console) -> RenderableType:
    """The mean return of each generation."""
    means = [generation.mean for generation in outcome.curve]
    top = STEP * max(math.ceil(max(means) / STEP), 1)
    glyphs = EIGHTHS if unicode_fits(console) else ASCII
    corner, wall, floor = ("└", "┤", "─") if unicode_fits(console) else ("+", "|", "-")
    rows = bars(means, top, min(console.width - 8, 80), HEIGHT, glyphs)
    labels = {0: f"{top:5d}", HEIGHT // 2: f"{top // 2:5d}"}
    lines = [Text(f"{labels.get(n, ''):>5} {wall}").append(row, "green") for n, row in enumerate(rows)]
    width = len(rows[0])
    lines.append(Text(f"{0:5d} {corner}{floor * width}"))
    lines.append(Text(f"       {'generation 1':<{max(width - 4, 13)}}{len(means):>4}"))
    return Group(Text("Mean return of each generation", "bold"), *lines)


def summary(outcome: Outcome) -> Table:
    """The figures of a training."""
    played, losses = outcome.played, outcome.losses
    steps = sum(sum(one.result["steps"]) for one in played)
    trips = 1000 * np.array([one.seconds for one in played])
    waits = trips - 1000 * np.array([one.result["seconds"] for one in played])
    table = Table("Summary", "", title_justify="left")
    table.add_row("tasks done", f"{len(played):,} ({sum(len(one.result['steps']) for one in played):,} episodes)")
    table.add_row("tasks lost", f"{len(losses)}" + "".join(f" ({loss.slave}: {loss.reason})" for _, loss in losses))
    table.add_row("tasks replayed", f"{sum(one.attempts > 1 for one in played)}")
    table.add_row("tasks/s", f"{len(played) / outcome.seconds:,.0f} ({steps / outcome.seconds:,.0f} steps/s)")
    table.add_row("round trip", _percentiles(trips))
    table.add_row("  without the playing", _percentiles(waits))
    table.add_row("time", f"{outcome.seconds:.1f} s")
    table.add_row("mean return", f"{outcome.curve[0].mean:.1f} at first, {outcome.curve[-1].mean:.1f} at last")
    table.add_row("the trained policy", f"{outcome.final:.1f} (500 is the most)")
    return table


def _percentiles(milliseconds: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    p50, p99 = np.percentile(milliseconds, [50, 99])
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def save_png(outcome: Outcome, path: Path) -> None:
    """The curve as a picture: the mean, the range from the worst to the best member, and where a slave was lost."""
    from matplotlib.figure import Figure  # takes a second, and is needed at the end only

    numbers = [generation.number + 1 for generation in outcome.curve]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(
        numbers, _all("worst", outcome.curve), _all("best", outcome.curve), alpha=0.2, label="all members"
    )
    axes.plot(numbers, _all("mean", outcome.curve), linewidth=2, label="mean of the members")
    for number, loss in outcome.losses:
        axes.axvline(number + 1, color="tab:red", linestyle="--", label=f"{loss.slave} is lost ({loss.reason})")
    axes.set(xlabel="generation", ylabel="return", title=f"CartPole-v1, seed {outcome.settings.seed}", ylim=(0, 510))
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def _all(name: str, generations: Sequence[Generation]) -> list[float]:
    return [getattr(generation, name) for generation in generations]
