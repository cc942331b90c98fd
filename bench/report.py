"""What was measured, as tables for people and as JSON for programs."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import redis
from bench.bars import Judged, judge
from bench.catalogue import SYSTEMS
from bench.measure import Book, Profile, Series, ratios, spread

TITLES = {
    "roundtrip": "One task after the other: round trip",
    "throughput": "Many tasks at once",
    "payload": "A NumPy array there and back: p50, by bytes",
    "slaves": "Many tasks at once, by the number of slaves: tasks/s",
    "inflight": "Cost of a task, by how many are in flight: µs; left out where they take longer than 5 s",
    "growth": "A long run through one pool, and all its processes",
    "journal": "With a journal and without",
    "secret": "With a secret and without",
    "memory": "Memory of all processes together",
}
_BY_X = {"payload": "p50", "slaves": "throughput", "inflight": "cost"}  # the figure of a table with a column for each x
_LIMIT = {"roundtrip": "p50", "throughput": "throughput", "journal": "throughput"}  # what is compared with the others
_QUIET = 0.5  # processes that want a processor, on the average
_LEAST_SHARE = 0.01  # of what is shown
_PACKAGES = ("grpcio", "protobuf", "numpy", "ray", "distributed", "celery", "redis")


def number(value: float) -> str:
    """A value with three digits, or all of those before the point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def with_spread(series: Series) -> str:
    """Median and quartiles, such as `501 (488 to 530)`."""
    found = series.spread
    if len(series.values) == 1:
        return number(found.median)
    return f"{number(found.median)} ({number(found.low)} to {number(found.high)})"


def show(book: Book, console: Console) -> None:
    """Print all tables, the bars last, and what a reader has to know about them."""
    for experiment, title in TITLES.items():
        if any(True for _ in book.of(experiment)):
            console.print(_table(book, experiment, title))
    if book.profile is not None:
        for table in _profile_tables(book.profile):
            console.print(table)
    judged = list(judge(book))
    if judged:
        console.print(bars_table(judged))
    for sentence, style in _remarks(book):
        console.print(sentence, style=style, markup=False)


def _remarks(book: Book) -> Iterator[tuple[str, str]]:
    """Sentences about the run, and how they are shown."""
    if book.load > _QUIET:
        yield f"The machine was busy with other work (load {book.load:.1f}), which disturbs all figures.", "yellow"
    if book.profile is not None:
        yield from ((work.trouble, "yellow") for work in book.profile.works if work.trouble)
    yield from ((f"MISSING: {sentence}", "yellow") for sentence in book.missing)
    yield from ((f"FAILED: {sentence}", "red") for sentence in book.failures)


def _table(book: Book, experiment: str, title: str) -> Table:
    if experiment == "growth":
        return _growth_table(book, title)
    if experiment in _BY_X:
        return _table_by_x(book, experiment, title)
    figures = list(dict.fromkeys(series.figure for series in book.of(experiment)))
    limit = _LIMIT.get(experiment)
    below = [name for name in ("grpc-stream", "ray") if limit and book.get(experiment, limit, name)]
    table = Table(title=title, title_justify="left")
    table.add_column("system", no_wrap=True)
    for figure in figures:
        unit = next(book.of(experiment, figure)).unit
        table.add_column(f"{figure}, {unit}" if unit else figure, justify="right")
    for name in below:
        table.add_column(f"÷ {SYSTEMS[name].label}", justify="right")
    for system in systems_of(book, experiment):
        found = [book.get(experiment, figure, system) for figure in figures]
        cells = ["" if series is None else with_spread(series) for series in found]
        table.add_row(SYSTEMS[system].label, *cells, *(_ratio(book, experiment, limit, system, name) for name in below))
    return table


def _ratio(book: Book, experiment: str, figure: str | None, above: str, below: str) -> str:
    series = [book.get(experiment, str(figure), name) for name in (above, below)]
    found = ratios(*(one.values for one in series if one is not None)) if all(series) else []
    return number(spread(found).median) if found else ""


def _table_by_x(book: Book, experiment: str, title: str) -> Table:
    figure = _BY_X[experiment]
    xs = sorted({series.x for series in book.of(experiment, figure) if series.x is not None})
    table = Table("system", title=title, title_justify="left")
    for x in xs:
        table.add_column(f"{x:,.0f}", justify="right")
    for system in systems_of(book, experiment):
        found = [book.get(experiment, figure, system, x) for x in xs]
        table.add_row(SYSTEMS[system].label, *("" if series is None else with_spread(series) for series in found))
    return table


def _growth_table(book: Book, title: str) -> Table:
    figures = ("time", "cpu", "memory")
    table = Table("tasks so far", title=title, title_justify="left")
    for heading in ("time, µs/task", "processor time, µs/task", "memory, MiB"):
        table.add_column(heading, justify="right")
    rows = list(zip(*(book.of("growth", figure) for figure in figures), strict=True))
    for row in rows[:: max(1, len(rows) // 10)]:
        table.add_row(f"{row[0].x:,.0f}", *(number(series.values[0]) for series in row))
    return table


def _profile_tables(profile: Profile) -> Iterator[Table]:
    whole = sum(median for _, median in profile.stages)
    table = Table("on the way of a task", title="Where the time of a round trip goes", title_justify="left")
    for heading in ("µs, median", "share"):
        table.add_column(heading, justify="right")
    for name, median in profile.stages:
        table.add_row(name, number(median), f"{median / whole:.0%}")
    table.add_section()
    table.add_row("round trip, p50", number(profile.total), "")
    table.add_row("bare grpc.aio stream in turn with it, p50", number(profile.limit), "")
    yield table
    for work in profile.works:
        yield _shares_table(f"Processor time of {work.title}, by thread", ("thread", "µs"), work.threads, number)
        for heading, shares in (("whose code", work.owners), ("function", work.functions)):
            if shares:
                title = f"What was seen to run in {work.title}"
                yield _shares_table(title, (heading, "share"), shares, lambda share: f"{share:.0%}")


def _shares_table(
    title: str, headings: tuple[str, str], rows: Sequence[tuple[str, str, float]], text: Callable[[float], str]
) -> Table:
    table = Table("process", headings[0], title=title, title_justify="left")
    table.add_column(headings[1], justify="right")
    for process, name, value in rows:
        if value >= _LEAST_SHARE:
            table.add_row(process, name, text(value))
    return table


def bars_table(judged: Sequence[Judged]) -> Table:
    """The bars, and whether they are met."""
    table = Table("figure", "measured", "quartiles", "bar", "aim", "", title="The bars", title_justify="left")
    styles = {"AIM": "bold green", "PASS": "green", "MISS": "bold red"}
    for one in judged:
        measured = "" if one.ratio is None else number(one.ratio.median)
        quartiles = "" if one.ratio is None else f"{number(one.ratio.low)} to {number(one.ratio.high)}"
        style = styles.get(one.verdict, "yellow")
        table.add_row(one.name, measured, quartiles, one.bar, one.aim, f"[{style}]{one.verdict}[/]")
    return table


def systems_of(book: Book, experiment: str) -> list[str]:
    """The systems that an experiment has figures of, in the catalogue's order."""
    there = {series.system for series in book.of(experiment)}
    return [name for name in SYSTEMS if name in there]


def write_json(book: Book, plan: dict[str, object], output: Path) -> None:
    """Write every value down."""
    series = [{**vars(one), "median": one.spread.median} for one in book]
    bars = [{**vars(one), "ratio": None if one.ratio is None else vars(one.ratio)} for one in judge(book)]
    content = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {**machine(), "load": book.load},
        "versions": dict(versions()),
        "plan": plan,
        "missing": book.missing,
        "failures": book.failures,
        "bars": bars,
        "profile": None if book.profile is None else asdict(book.profile),
        "series": series,
    }
    output.write_text(json.dumps(content, indent=1) + "\n")


def machine() -> dict[str, object]:
    """What it was measured on."""
    cpus = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return {
        "processor": cpus[0] if cpus else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
    }


def versions() -> Iterator[tuple[str, str]]:
    """Of Python, of the packages that matter, and of Redis."""
    yield "python", platform.python_version()
    for package in _PACKAGES:
        try:
            yield package, importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    program = redis.find()
    if program is not None:
        yield "redis-server", redis.version(program)
