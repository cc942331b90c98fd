"""A slave's heartbeat, on a loop that stood still."""

from __future__ import annotations

import asyncio
from typing import Any

from interaction.core.lease import Lease
from interaction.slave.heartbeat import Heart
from tests.unit.listening import Listening


class Stream:
    """A heartbeat stream on which nothing comes."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.first = asyncio.Event()

    def heartbeat(self) -> Stream:
        return self

    async def send(self, sequence: int) -> None:
        self.sent.append(sequence)
        self.first.set()

    async def receive(self) -> Any:
        await asyncio.Event().wait()

    def cancel(self) -> None:
        """As a call."""


def heart_of(stream: Stream, lease: Lease, listener: Listening, pacemaker: Any = None) -> Heart:
    client: Any = stream
    heart = Heart(client, lease, listener)
    heart.serve(listener, pacemaker)
    return heart


def test_no_beat_is_sent_when_the_lease_is_over() -> None:
    """Whatever wakes first: the next beat, or what watches the lease."""

    async def scenario() -> list[int]:
        loop, stream, listener = asyncio.get_running_loop(), Stream(), Listening()
        lease = Lease(0.3, 10.0, loop.time() - 1.0)
        heart = heart_of(stream, lease, listener)
        await listener.over.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        heart.stop()
        return stream.sent

    assert asyncio.run(scenario()) == []


class Understudy:
    """A pacemaker that has beaten while the slave's loop stood still."""

    took_over = True

    def __init__(self, renewed_at: float) -> None:
        self._said: list[list[Any]] = [["beat", 7, renewed_at, 0.3]]
        self.hear: Any = self._hear

    def _hear(self) -> list[list[Any]]:
        said, self._said = self._said, []
        return said

    def pulse(self, lease: Lease) -> None:
        """As a pacemaker."""

    def end(self) -> None:
        """As a pacemaker."""


def test_what_its_pacemaker_has_beaten_meanwhile_counts() -> None:
    async def scenario() -> list[int]:
        loop, stream = asyncio.get_running_loop(), Stream()
        lease = Lease(0.3, 10.0, loop.time() - 1.0)
        heart = heart_of(stream, lease, Listening(), Understudy(loop.time()))
        await asyncio.wait_for(stream.first.wait(), 10.0)
        heart.stop()
        return stream.sent

    assert asyncio.run(scenario()) == [8]


def test_a_beat_is_sent_at_once_while_the_lease_runs() -> None:
    async def scenario() -> list[int]:
        loop, stream = asyncio.get_running_loop(), Stream()
        heart = heart_of(stream, Lease(10.0, 10.0, loop.time()), Listening())
        await asyncio.wait_for(stream.first.wait(), 10.0)
        heart.stop()
        return stream.sent

    assert asyncio.run(scenario()) == [1]
