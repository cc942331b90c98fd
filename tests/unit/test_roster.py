"""How a master paces itself: few of its links connect at once, and few are asked after."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from types import SimpleNamespace
from typing import cast

from interaction.core.session import Await, Lose, Probe, ProbeAnswer, Session
from interaction.exception import LossReason
from interaction.master import roster as module
from interaction.master.link import Link
from interaction.master.roster import Names, Roster


class FakeLink:
    """What a roster knows of a link. Its slave answers, and opens its stream, when it is told."""

    name = "slave"

    def __init__(self) -> None:
        self.session = Session(15.0)
        self.client = self.custody = self
        self.busy = False
        self.stream: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answer: asyncio.Future[ProbeAnswer] = asyncio.get_running_loop().create_future()
        self.asked = False
        self.decisions: list[Probe | Lose | Await | None] = []

    async def streaming(self) -> None:
        await asyncio.shield(self.stream)

    async def probe(self) -> ProbeAnswer:
        self.asked = True
        return await self.answer

    def do(self, decision: Probe | Lose | Await | None) -> None:
        self.decisions.append(decision)


def real(link: FakeLink) -> Link:
    return cast(Link, link)


def on_a_loop(test: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    @wraps(test)
    def run() -> None:
        asyncio.run(test())

    return run


async def settled() -> None:
    """Let everything go on that can."""
    for _ in range(20):
        await asyncio.sleep(0)


@on_a_loop
async def test_few_connect_at_once_and_the_next_begins_when_a_heartbeat_is_there() -> None:
    roster: Roster[SimpleNamespace] = Roster(Names(), 1.0)
    links = [FakeLink() for _ in range(module._MOST_TURNS + 2)]
    turns = [asyncio.ensure_future(roster.turn_to_connect(real(link))) for link in links]
    await settled()
    assert [turn.done() for turn in turns] == [True] * module._MOST_TURNS + [False] * 2
    links[5].stream.set_result(None)
    await settled()
    assert [turn.done() for turn in turns[-2:]] == [True, False]
    for link in links:
        if not link.stream.done():
            link.stream.set_result(None)
    await asyncio.wait_for(asyncio.gather(*turns), 10.0)


@on_a_loop
async def test_a_slave_without_a_heartbeat_makes_room_after_a_while() -> None:
    roster: Roster[SimpleNamespace] = Roster(Names(), 1.0)
    links = [FakeLink() for _ in range(module._MOST_TURNS + 1)]
    await asyncio.wait_for(asyncio.gather(*(roster.turn_to_connect(real(link)) for link in links)), 10.0)
    await roster.settle()


@on_a_loop
async def test_few_are_asked_after_at_once_and_nobody_whose_session_is_over() -> None:
    roster: Roster[SimpleNamespace] = Roster(Names(), 1.0)
    links = [FakeLink() for _ in range(module._MOST_PROBES + 2)]
    for link in links:
        roster.ask_after(real(link), Probe())
    await settled()
    assert sum(link.asked for link in links) == module._MOST_PROBES
    links[-2].session.end(LossReason.DISCONNECTED)
    for link in links:
        link.answer.set_result(ProbeAnswer(nobody=True))
    await settled()
    assert links[-1].decisions
    assert not links[-2].asked
