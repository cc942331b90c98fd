"""Where the time of one round trip goes, from stamp to stamp; and what the processor does in it, and in many tasks."""

from __future__ import annotations

import statistics
import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from bench.measure import Book, Profile
from bench.process import Process
from bench.stamps import Stamp
from bench.work import work_of

MICRO = 1e6
_ROUNDS = 5
_SECONDS = 1.0  # of a round
_BURST = 2000  # tasks

# What happens on the way of a task, in order, and what the time until then is spent with.
WAY = (
    ("task written", "master: start() until the task is handed to gRPC"),
    ("task read", "gRPC: to the slave"),
    ("task begins", "slave: until the task runs"),
    ("task ends", "the task itself"),
    ("result written", "slave: until the result is handed to gRPC"),
    ("result read", "gRPC: to the master"),
    ("joined", "master: until join() returns"),
)


def take(book: Book) -> None:
    """Measure, and write it down."""
    with _driver("facade") as facade:
        stages_of_trips, total, limit = _trips(facade)

        def trips(seconds: float) -> int:
            return len(facade.ask("round_trips", seconds=seconds)["seconds"])

        works = [work_of("a round trip", facade, trips)]
    with _driver("pool") as pool:

        def bursts(seconds: float) -> int:
            count, until = 0, time.monotonic() + seconds
            while time.monotonic() < until:
                pool.ask("burst", count=_BURST)
                count += _BURST
            return count

        bursts(_SECONDS)
        works.append(work_of("one of many tasks in a pool", pool, bursts))
    book.profile = Profile(stages_of_trips, total, limit, works)


def _trips(facade: Process) -> tuple[list[tuple[str, float]], float, float]:
    """The stages of a round trip, the whole without stamps, and the bare limit: medians in µs, measured in turn."""
    totals: list[float] = []
    limits: list[float] = []
    trips: list[list[float]] = []
    with _driver("facade-stamped") as stamped, _driver("grpc-stream") as bare:
        for process in (stamped, facade, bare):
            process.ask("round_trips", seconds=_SECONDS)
        for _ in range(_ROUNDS):
            stamped.ask("stamps")
            stamped.ask("round_trips", seconds=_SECONDS)
            trips += stages([(when, what) for when, what in stamped.ask("stamps")["stamps"]])
            totals.append(statistics.median(facade.ask("round_trips", seconds=_SECONDS)["seconds"]))
            limits.append(statistics.median(bare.ask("round_trips", seconds=_SECONDS)["seconds"]))
    medians = [statistics.median(column) * MICRO for column in zip(*trips, strict=True)]
    named = [(name, median) for (_, name), median in zip(WAY, medians, strict=True)]
    return named, statistics.median(totals) * MICRO, statistics.median(limits) * MICRO


def _driver(system: str) -> Process:
    return Process("bench.driver", {"system": system, "workers": 1})


def stages(stamps: Sequence[Stamp]) -> list[list[float]]:
    """Seconds of each stage of the way, for each round trip. One that lacks a stamp is left out.

    Trips go one after another, from `started` to `joined`; within one, each stamp is the first after the one before.
    """
    ordered = sorted(stamps)
    starts = [when for when, what in ordered if what == "started"]
    found = []
    for start, end in zip(starts, [*starts[1:], float("inf")], strict=True):
        first, last = bisect_left(ordered, (start, "")), bisect_right(ordered, (end, ""))
        trip = _stages_of(ordered[first:last], start)
        if trip is not None:
            found.append(trip)
    return found


def _stages_of(stamps: Sequence[Stamp], start: float) -> list[float] | None:
    durations, before = [], start
    for wanted, _ in WAY:
        when = next((when for when, what in stamps if what == wanted and when >= before), None)
        if when is None:
            return None
        durations.append(when - before)
        before = when
    return durations
