"""The bars that the project set itself, as ratios within one run, and whether they are met."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.measure import Book, Spread, growth, ratios, spread

MIB = 1024 * 1024


@dataclass(frozen=True)
class Bar:
    """One ratio of two systems' figures, what it must be, and what it should be."""

    name: str
    experiment: str
    figure: str
    above: str  # the system in the numerator
    below: str  # the system in the denominator
    bar: float
    aim: float | None
    at_most: bool = True  # else at least
    x: float | None = None

    def verdict(self, ratio: float) -> str:
        """What a ratio is worth: AIM, PASS or MISS."""
        if self.aim is not None and self._meets(ratio, self.aim):
            return "AIM"
        return "PASS" if self._meets(ratio, self.bar) else "MISS"

    def _meets(self, ratio: float, limit: float) -> bool:
        return ratio <= limit if self.at_most else ratio >= limit

    def text(self, limit: float | None) -> str:
        """A limit as people write it."""
        return "-" if limit is None else f"{'≤' if self.at_most else '≥'} {limit:g}"


BARS = (
    Bar("round trip p50, start().join() ÷ bare stream", "roundtrip", "p50", "facade", "grpc-stream", 2.0, 1.5),
    Bar("round trip p50, aio ÷ bare stream", "roundtrip", "p50", "aio", "grpc-stream", 1.4, 1.2),
    Bar("round trip p50, start().join() ÷ Ray", "roundtrip", "p50", "facade", "ray", 0.6, 0.4),
    Bar("throughput, pool ÷ Ray", "throughput", "throughput", "pool", "ray", 8, 12, at_most=False),
    Bar("throughput, pool ÷ Dask", "throughput", "throughput", "pool", "dask", 30, 50, at_most=False),
    Bar("throughput, pool ÷ Celery", "throughput", "throughput", "pool", "celery", 30, 50, at_most=False),
    Bar("1 MiB of NumPy there and back ÷ bare stream", "payload", "p50", "facade", "grpc-stream", 1.3, 1.1, x=MIB),
    Bar(
        "throughput, pool with journal ÷ without",
        "journal",
        "throughput",
        "pool-journal",
        "pool",
        0.4,
        0.7,
        at_most=False,
    ),
    Bar("round trip p50, with a secret ÷ without", "secret", "p50", "facade-secret", "facade", 1.03, None),
    Bar(
        "round trip p50, unary road, with a secret ÷ without",
        "secret",
        "p50",
        "facade-unary-secret",
        "facade-unary",
        1.03,
        None,
    ),
    Bar("throughput, pool without a secret ÷ with", "secret", "throughput", "pool", "pool-secret", 1.03, None),
    Bar(
        "throughput, pool on the unary road, without a secret ÷ with",
        "secret",
        "throughput",
        "pool-unary",
        "pool-unary-secret",
        1.03,
        None,
    ),
)
FLAT = 0.10  # how far the cost of a task may move from the first fifth of a long run to the last


@dataclass(frozen=True)
class Judged:
    """A bar, and what was measured."""

    name: str
    ratio: Spread | None  # None: not measured
    bar: str
    aim: str
    verdict: str


def judge(book: Book) -> Iterator[Judged]:
    """Hold every figure against its bar; of an experiment that was not run, nothing is said."""
    for bar in BARS:
        if any(True for _ in book.of(bar.experiment)):
            yield _judge_one(book, bar)
    if any(True for _ in book.of("growth")):
        yield _judge_growth(book, "time", "time")
        yield _judge_growth(book, "cpu", "processor time")


def _judge_one(book: Book, bar: Bar) -> Judged:
    above, below = (book.get(bar.experiment, bar.figure, system, bar.x) for system in (bar.above, bar.below))
    found = ratios(above.values, below.values) if above is not None and below is not None else []
    if not found:
        return Judged(bar.name, None, bar.text(bar.bar), bar.text(bar.aim), "not measured")
    ratio = spread(found)
    return Judged(bar.name, ratio, bar.text(bar.bar), bar.text(bar.aim), bar.verdict(ratio.median))


def _judge_growth(book: Book, figure: str, words: str) -> Judged:
    name, bar = f"{words} of a task in one pool, last fifth ÷ first fifth", f"1 ± {FLAT:g}"
    costs = [series.spread.median for series in book.of("growth", figure)]
    ratio = growth(costs)
    if ratio is None:
        return Judged(name, None, bar, "-", "not measured")
    return Judged(name, Spread(ratio, ratio, ratio), bar, "-", "PASS" if abs(ratio - 1) <= FLAT else "MISS")
