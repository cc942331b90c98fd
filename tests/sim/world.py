"""Virtual time and a network that loses, delays, duplicates and reorders, all from one seed.

Nothing here is a thread, a socket or a clock: a run is a heap of events, and the same seed gives the same run.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from interaction.exception import RequestException, ResponseException

Work = Callable[[], object]
Reply = Callable[[object], None]


class Node(Protocol):
    """A process. `up` is false while it is dead, `paused_until` is ahead of time while it stands still."""

    name: str
    up: bool
    life: int  # counts its starts: what was set going in an earlier life does not happen in this one
    paused_until: float


@dataclass(frozen=True)
class Weather:
    """How bad the network is. Probabilities are of each message, requests and replies alike."""

    drop: float = 0.0
    duplicate: float = 0.0
    slowest: float = 0.02  # seconds that a message may take


class World:
    """The clock, the events to come, and the network."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.weather = Weather()
        self.cut: set[tuple[str, str]] = set()  # directions in which nothing passes
        self._events: list[tuple[float, int, Work]] = []
        self._count = 0

    def at(self, time: float, work: Work) -> None:
        """Have something happen then; of two things at one time the first that was said comes first."""
        self._count += 1
        heapq.heappush(self._events, (max(time, self.now), self._count, work))

    def run(self, until: float) -> None:
        """Let time pass."""
        while self._events and self._events[0][0] <= until:
            self.now, _, work = heapq.heappop(self._events)
            work()
        self.now = until

    def on(self, node: Node, time: float, work: Work) -> None:
        """Have a process do something then, if it lives that long; while it stands still its work waits."""
        life = node.life

        def act() -> None:
            if not node.up or node.life != life:
                return
            if self.now < node.paused_until:
                self.at(node.paused_until, act)
            else:
                work()

        self.at(time, act)

    # The network.

    def send(self, source: Node, target: Node, deliver: Work, not_there: Work | None = None) -> None:
        """One message, any number of times at any later moment. `not_there`: what the sender hears of a dead target."""
        copies = 1 + (self.random.random() < self.weather.duplicate)
        for _ in range(copies):
            if (source.name, target.name) in self.cut or self.random.random() < self.weather.drop:
                continue
            self.at(self.now + self.delay(), lambda: self._arrive(source, target, deliver, not_there))

    def delay(self) -> float:
        """How long a message takes."""
        return self.weather.slowest * self.random.random() ** 3

    def _arrive(self, source: Node, target: Node, deliver: Work, not_there: Work | None) -> None:
        if target.up:
            self.on(target, self.now, deliver)
        elif not_there is not None and (target.name, source.name) not in self.cut:
            self.on(source, self.now + self.delay(), not_there)

    def call(self, source: Node, target: Node, handle: Callable[[], object], done: Reply, timeout: float) -> None:
        """One unary RPC. `handle` runs at the target and returns or raises the answer; `done` gets it, once.

        An answer that comes when the caller has been restarted is nobody's.
        """
        answered, life = False, source.life

        def finish(answer: object) -> None:
            nonlocal answered
            if not answered and source.life == life:
                answered = True
                done(answer)

        def serve() -> None:
            try:
                answer: object = handle()
            except ResponseException as refusal:
                answer = refusal
            if isinstance(answer, Later):
                answer.listeners.append(reply)
            else:
                reply(answer)

        def reply(answer: object) -> None:
            self.send(target, source, lambda: finish(answer))

        self.send(source, target, serve, lambda: finish(RequestException("nobody", "UNAVAILABLE")))
        self.on(source, self.now + timeout, lambda: finish(RequestException("late", "DEADLINE_EXCEEDED")))


class Later:
    """An answer that a handler gives when it is ready."""

    def __init__(self) -> None:
        self.listeners: list[Reply] = []

    def give(self, answer: object) -> None:
        """Answer all who wait."""
        for listener in self.listeners:
            listener(answer)
        self.listeners.clear()
