"""Figures that were measured several times: their medians, their spread, and how one stands to another."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Spread:
    """The median of the repeats, and the quartiles around it."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """The median and quartiles of one value or more."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def percentile(values: Sequence[float], percent: int) -> float:
    """The percentile, 1 to 99, of one value or more."""
    return values[0] if len(values) == 1 else statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def ratios(numerator: Sequence[float], denominator: Sequence[float]) -> list[float]:
    """The ratio in each repeat: what disturbs one repeat disturbs both sides of its ratio."""
    return [above / below for above, below in zip(numerator, denominator, strict=False)]


@dataclass
class Series:
    """One figure of one system, once a repeat."""

    experiment: str
    figure: str  # what was measured, such as "p50"
    unit: str
    system: str
    x: float | None = None  # what it depends on, where that is varied: bytes, slaves, tasks
    values: list[float] = field(default_factory=list)

    @property
    def spread(self) -> Spread:
        """Median and quartiles."""
        return spread(self.values)


@dataclass(frozen=True)
class Work:
    """What the processors do for a task."""

    title: str
    threads: list[tuple[str, str, float]]  # process, thread, and its time in µs for a task
    owners: list[tuple[str, str, float]]  # process, whose code, and its share of what was seen of the process
    functions: list[tuple[str, str, float]]  # process, innermost function, and its share
    trouble: str  # why nothing was seen; empty where it was


@dataclass(frozen=True)
class Profile:
    """Where the time goes, in µs."""

    stages: list[tuple[str, float]]  # on the way of a task there and back, each with its median
    total: float  # the median of the round trips
    limit: float  # that of the bare stream, in turn with it
    works: list[Work]


class Book:
    """All that was measured in one run."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str, str, float | None], Series] = {}
        self.missing: list[str] = []  # what is not there to be measured, in sentences
        self.failures: list[str] = []  # what was measured and failed
        self.profile: Profile | None = None
        self.load = os.getloadavg()[0]  # of the machine, before anything was measured

    def add(self, experiment: str, figure: str, unit: str, system: str, value: float, x: float | None = None) -> None:
        """Write down the value of one repeat."""
        key = (experiment, figure, system, x)
        self._series.setdefault(key, Series(experiment, figure, unit, system, x)).values.append(value)

    def misses(self, sentence: str) -> None:
        """Write down what is missing, once."""
        if sentence not in self.missing:
            self.missing.append(sentence)

    def get(self, experiment: str, figure: str, system: str, x: float | None = None) -> Series | None:
        """The series, if anything was measured."""
        return self._series.get((experiment, figure, system, x))

    def of(self, experiment: str, figure: str | None = None) -> Iterator[Series]:
        """The series of an experiment, in the order in which they began."""
        for series in self._series.values():
            if series.experiment == experiment and figure in (None, series.figure):
                yield series

    def __iter__(self) -> Iterator[Series]:
        return iter(self._series.values())


def growth(costs: Sequence[float]) -> float | None:
    """How the last fifth of the costs stands to the first, each by its median. None for fewer than ten costs."""
    if len(costs) < 10:
        return None
    fifth = len(costs) // 5
    return statistics.median(costs[-fifth:]) / statistics.median(costs[:fifth])


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """How much y grows with x, by the line that fits best. NaN where x does not vary."""
    try:
        return statistics.linear_regression(xs, ys).slope
    except statistics.StatisticsError:
        return math.nan
