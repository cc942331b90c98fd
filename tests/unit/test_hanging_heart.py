"""A slave's heartbeat whose stream is open and brings no acknowledgement: when it tries another, and what it keeps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from interaction.core.lease import Lease
from interaction.exception import MasterSlaveTokenInvalid, MasterSystemShuttingDown, RequestException
from interaction.rpc.master_client import BeatAnswer
from interaction.slave.heartbeat import Heart
from tests.unit.listening import Listening

LEASE = 1.6  # seconds: it is doubted after 1.2


class Stream:
    """A heartbeat stream that a test answers."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.answers: asyncio.Queue[BeatAnswer | Exception | None] = asyncio.Queue()
        self.cancelled = False

    async def send(self, sequence: int) -> None:
        self.sent.append(sequence)

    async def receive(self) -> BeatAnswer | None:
        answer = await self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def cancel(self) -> None:
        self.cancelled = True

    def acknowledge(self) -> None:
        self.answers.put_nowait(BeatAnswer(self.sent[-1], None, None))


class Client:
    """The calls to a master: its connections, with the streams of each."""

    def __init__(self) -> None:
        self.connections: list[list[Stream]] = [[]]
        self.let_go_of = 0

    def heartbeat(self) -> Stream:
        self.connections[-1].append(Stream())
        return self.connections[-1][-1]

    def dial_again(self) -> None:
        self.connections.append([])

    async def let_go(self) -> None:
        self.let_go_of = len(self.connections) - 1

    @property
    def streams(self) -> list[Stream]:
        return [stream for streams in self.connections for stream in streams]


class Scene:
    """A heart that beats on a client's streams."""

    def __init__(self, lease: float) -> None:
        self.client, listening = Client(), Listening()
        self.over, self.ends = listening.over, listening.ends
        self.lease = Lease(lease, 10.0, asyncio.get_running_loop().time())
        client: Any = self.client
        self.heart = Heart(client, self.lease, listening)

    async def stream(self, number: int) -> Stream:
        """The stream of that number, from 1, with a beat on it."""
        await until(lambda: len(self.client.streams) >= number and bool(self.client.streams[number - 1].sent))
        return self.client.streams[number - 1]


async def until(true: Callable[[], bool]) -> None:
    async def look() -> None:
        while not true():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(look(), 10.0)


def played(play: Callable[[Scene], Awaitable[None]], lease: float = LEASE) -> None:
    async def main() -> None:
        scene = Scene(lease)
        try:
            await play(scene)
        finally:
            scene.heart.stop()

    asyncio.run(main())


def test_the_newer_one_has_a_connection_of_its_own_and_the_older_is_kept_until_it_is_acknowledged() -> None:
    async def play(scene: Scene) -> None:
        first, second = await scene.stream(1), await scene.stream(2)
        assert [len(streams) for streams in scene.client.connections] == [1, 1]
        assert not first.cancelled
        beats = len(first.sent)
        second.acknowledge()
        await until(lambda: first.cancelled and scene.client.let_go_of == 1)
        await until(lambda: len(second.sent) > 1)
        assert len(first.sent) == beats, "beats go by the newer"
        assert not scene.over.is_set()

    played(play)


def test_an_acknowledgement_on_the_older_counts_and_no_third_is_opened() -> None:
    async def play(scene: Scene) -> None:
        first, second = await scene.stream(1), await scene.stream(2)
        began = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < began + 2 * LEASE:
            first.answers.put_nowait(BeatAnswer(second.sent[-1], None, None))
            await asyncio.sleep(LEASE / 10)
        assert not scene.over.is_set()
        assert len(scene.client.streams) == 2

    played(play)


def test_when_neither_is_acknowledged_the_lease_ends() -> None:
    async def play(scene: Scene) -> None:
        await asyncio.wait_for(scene.over.wait(), 10.0)
        assert len(scene.client.streams) == 2

    played(play)


def test_the_next_one_that_hangs_is_doubted_too() -> None:
    async def play(scene: Scene) -> None:
        (await scene.stream(2)).acknowledge()
        third = await scene.stream(3)
        third.acknowledge()
        await until(lambda: scene.client.let_go_of == 2)

    played(play)


def test_once_it_has_been_doubted_that_one_gave_way_is_an_end_like_others() -> None:
    """What hung comes through late, and the master takes the older stream for the newer."""

    async def play(scene: Scene) -> None:
        second = await scene.stream(2)
        second.answers.put_nowait(RequestException("a newer stream has taken its place", "ABORTED"))
        (await scene.stream(3)).acknowledge()
        await until(lambda: scene.client.streams[0].cancelled)

    played(play)


@pytest.mark.parametrize(
    "said",
    [BeatAnswer(0, None, "enough"), MasterSlaveTokenInvalid("no such session"), None],
    ids=["closing", "refused", "it just ends"],
)
def test_what_the_master_says_on_the_older_is_heard(said: BeatAnswer | Exception | None) -> None:
    async def play(scene: Scene) -> None:
        await scene.stream(2)
        scene.client.streams[0].answers.put_nowait(said)
        if said is None:
            scene.client.streams[1].acknowledge()
            await until(lambda: scene.client.let_go_of == 1)
        else:
            await until(lambda: bool(scene.ends))
        kinds = {BeatAnswer: [MasterSystemShuttingDown], MasterSlaveTokenInvalid: [MasterSlaveTokenInvalid]}
        assert [type(end) for end in scene.ends] == kinds.get(type(said), [])

    played(play)


def test_a_loop_that_stood_still_first_reads_what_has_come() -> None:
    async def play(scene: Scene) -> None:
        first = await scene.stream(1)
        stand_still(2.6)  # it was to be doubted after 2.25
        asyncio.get_running_loop().call_later(0.02, first.acknowledge)  # gRPC's own threads take a moment
        await until(lambda: scene.lease.confirmed)
        await asyncio.sleep(0.5)
        assert len(scene.client.streams) == 1
        assert not scene.over.is_set()

    played(play, lease=3.0)


def stand_still(seconds: float) -> None:
    """As a loop does while a task holds the GIL."""
    time.sleep(seconds)
