"""Virtual time and a network that loses, delays, duplicates and reorders, all from one seed.

Nothing here is a thread, a socket or a clock: a run is a heap of events, and the same seed gives the same run.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from interaction.exception import RequestException, ResponseException

CALL_TIMEOUT = 1.0  # seconds, of one try
CALL_SECONDS = 6.0  # of a request with all its tries, and within which a task is answered
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
    snap: float = 0.0  # probability, of each message on a stream of tasks, that the stream breaks


class World:
    """The clock, the events to come, and the network."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.now = 0.0
        self.weather = Weather()
        self.cut: set[tuple[str, str]] = set()  # directions in which nothing passes
        self._events: list[tuple[float, int, Node | None, int, Work]] = []
        self._count = 0

    def at(self, time: float, work: Work) -> None:
        """Have something happen then; of two things at one time the first that was said comes first."""
        self._push(time, None, 0, work)

    def on(self, node: Node, time: float, work: Work) -> None:
        """Have a process do something then, if it lives that long; while it stands still its work waits."""
        self._push(time, node, node.life, work)

    def _push(self, time: float, node: Node | None, life: int, work: Work) -> None:
        self._count += 1
        heapq.heappush(self._events, (time if time > self.now else self.now, self._count, node, life, work))

    def run(self, until: float) -> None:
        """Let time pass."""
        events = self._events
        while events and events[0][0] <= until:
            self.now, _, node, life, work = heapq.heappop(events)
            if node is None:
                work()
            elif node.up and node.life == life:
                if self.now < node.paused_until:
                    self._push(node.paused_until, node, life, work)
                else:
                    work()
        self.now = until

    # The network.

    def send(self, source: Node, target: Node, deliver: Work, not_there: Work | None = None) -> None:
        """One message, any number of times at any later moment. `not_there`: what the sender hears of a dead target."""
        copies = 1 + (self.random.random() < self.weather.duplicate)
        for _ in range(copies):
            if (source.name, target.name) in self.cut or self.random.random() < self.weather.drop:
                continue
            self.at(self.now + self.delay(), partial(self._arrive, source, target, deliver, not_there))

    def delay(self) -> float:
        """How long a message takes."""
        return self.weather.slowest * self.random.random() ** 3

    def _arrive(self, source: Node, target: Node, deliver: Work, not_there: Work | None) -> None:
        if target.up and self.now >= target.paused_until:
            deliver()
        elif target.up:
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

    def request(
        self, source: Node, target: Node, handle: Callable[[], object], done: Reply, deadline: float | None = None
    ) -> None:
        """A unary RPC with its tries: again where the transport failed, until its time is over."""
        until = self.now + CALL_SECONDS if deadline is None else deadline

        def attempt() -> None:
            self.call(source, target, handle, answered, CALL_TIMEOUT)

        def answered(answer: object) -> None:
            if isinstance(answer, RequestException) and self.now + CALL_TIMEOUT < until:
                self.on(source, self.now + 0.2, attempt)
            else:
                done(answer)

        attempt()


class Later:
    """An answer that a handler gives when it is ready."""

    def __init__(self) -> None:
        self.listeners: list[Reply] = []

    def give(self, answer: object) -> None:
        """Answer all who wait."""
        for listener in self.listeners:
            listener(answer)
        self.listeners.clear()
