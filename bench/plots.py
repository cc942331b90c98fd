"""What was measured, as pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no screen is needed

from matplotlib import pyplot

from bench.catalogue import SYSTEMS
from bench.measure import Book
from bench.report import TITLES, systems_of

_COLOURS = {
    "grpc-unary": "#bdbdbd",
    "grpc-stream": "#6b6b6b",
    "grpc-work": "#949494",
    "facade-unary": "#9ec5fe",
    "facade": "#1f6feb",
    "facade-journal": "#6ea8fe",
    "facade-secret": "#4c8bf5",
    "facade-unary-secret": "#c5dcff",
    "aio": "#0b3d91",
    "pool-unary": "#b39ddb",
    "pool": "#6f42c1",
    "pool-journal": "#9575cd",
    "pool-secret": "#8656d0",
    "pool-unary-secret": "#d1c4e9",
    "aio-pool": "#3d1a78",
    "ray": "#d1495b",
    "dask": "#edae49",
    "celery": "#66a182",
}
_MARKS = "os^Dvx*"


def draw(book: Book, folder: Path) -> list[Path]:
    """Draw every experiment that was run. Returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for experiment, plot in _PLOTS.items():
        if any(True for _ in book.of(experiment)):
            figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
            plot(book, experiment, axes)
            axes.set_title(TITLES[experiment], loc="left")
            axes.grid(True, which="major", alpha=0.3)
            path = folder / f"{experiment}.png"
            figure.savefig(path, dpi=120)
            pyplot.close(figure)
            drawn.append(path)
    return drawn


def _bars(figure: str, label: str) -> Callable[[Book, str, Any], None]:
    """A bar for each system, with the quartiles."""

    def plot(book: Book, experiment: str, axes: Any) -> None:
        systems = [name for name in reversed(systems_of(book, experiment)) if book.get(experiment, figure, name)]
        found = [book.get(experiment, figure, name) for name in systems]
        spreads = [series.spread for series in found if series is not None]
        medians = [one.median for one in spreads]
        errors = [[one.median - one.low for one in spreads], [one.high - one.median for one in spreads]]
        bars = axes.barh(
            [SYSTEMS[name].label for name in systems], medians, xerr=errors, color=[_COLOURS[name] for name in systems]
        )
        axes.bar_label(bars, [f"{median:,.0f}" for median in medians], padding=6)
        axes.set_xscale("log")
        axes.set_xlim(min(medians) / 2, max(medians) * 3)
        axes.set_xlabel(label)

    return plot


def _lines(figure: str, across: str, label: str) -> Callable[[Book, str, Any], None]:
    """A line for each system, with the quartiles around it."""

    def plot(book: Book, experiment: str, axes: Any) -> None:
        for number, system in enumerate(systems_of(book, experiment)):
            mine = [series for series in book.of(experiment, figure) if series.system == system]
            xs = [series.x for series in mine]
            spreads = [series.spread for series in mine]
            mark, colour = _MARKS[number % len(_MARKS)], _COLOURS[system]
            axes.plot(xs, [one.median for one in spreads], color=colour, marker=mark, label=SYSTEMS[system].label)
            axes.fill_between(xs, [one.low for one in spreads], [one.high for one in spreads], color=colour, alpha=0.15)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel(across)
        axes.set_ylabel(label)
        axes.figure.legend(loc="outside right upper")

    return plot


def _growth(book: Book, experiment: str, axes: Any) -> None:
    memory = list(book.of(experiment, "memory"))
    for figure, label, style in (("time", "time", "-"), ("cpu", "processor time, all processes", ":")):
        found = list(book.of(experiment, figure))
        xs, values = [one.x for one in found], [one.values[0] for one in found]
        axes.plot(xs, values, color=_COLOURS["pool"], linestyle=style, label=label)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("tasks so far")
    axes.set_ylabel("µs per task")
    other = axes.twinx()
    other.plot(
        [one.x for one in memory],
        [one.values[0] for one in memory],
        color=_COLOURS["ray"],
        label="memory, all processes",
    )
    other.set_ylim(0, 1.2 * max(one.values[0] for one in memory))
    other.set_ylabel("MiB")
    axes.figure.legend(loc="outside lower center", ncols=3)


_PLOTS = {
    "roundtrip": _bars("p50", "µs, p50"),
    "throughput": _bars("throughput", "tasks/s"),
    "payload": _lines("p50", "bytes each way", "µs, p50"),
    "slaves": _lines("throughput", "slaves", "tasks/s"),
    "inflight": _lines("cost", "tasks in flight", "µs per task"),
    "growth": _growth,
    "journal": _bars("throughput", "tasks/s"),
    "secret": _bars("throughput", "tasks/s"),
    "memory": _bars("after tasks", "MiB"),
}
