"""Somebody who reaches the slaves' ports: he gives them the real master's address, a dead one, or for a moment his own.
And he comes again and again."""

from __future__ import annotations

import random
from functools import partial

from interaction.core.engagement import MOST_CLAIMS, PROOF_SECONDS, RETURN_SECONDS
from interaction.core.lease import UNPROVED
from interaction.core.model import TaskOffer
from interaction.exception import ResponseException
from tests.sim.opening import MASTER, NOBODY, OWN
from tests.sim.slave import SimSlave
from tests.sim.world import World

A_DAY = 86400.0
SLACK = 0.5  # seconds
PATIENCE = (0.1, 1.0, 60.0)  # seconds until he hangs up
NAME = "stranger"


class Stranger:
    """A process that is none of the master's, while there is trouble."""

    def __init__(self, world: World, slaves: list[SimSlave], seed: int, until: float) -> None:
        self.name = NAME
        self.up = True
        self.life = 0
        self.paused_until = 0.0
        self._world = world
        self._slaves = slaves
        self._until = until
        self._draw = random.Random(f"{NAME} {seed}")
        self._number = 0
        self._come_soon()

    def _come_soon(self) -> None:
        pause = self._draw.expovariate(0.5)
        if self._world.now + pause < self._until:
            self._world.on(self, self._world.now + pause, self._come)

    def _come(self) -> None:
        """Connect, and a task at the same time, and once more, and again later."""
        slave, where = self._draw.choice(self._slaves), self._draw.choice((MASTER, NOBODY))
        if self._draw.random() < 0.2:
            self._flood(slave, self._world.now + self._draw.choice((1.0, 5.0)))
        if self._draw.random() < 0.1:
            self._have_the_user_asked(slave)
        patience = self._draw.choice(PATIENCE)
        for _ in range(self._draw.choice((1, 1, 4))):
            self._number += 1
            token = f"{NAME}{self._number:040}"
            connect = partial(slave.connect, token, None, A_DAY, where=where, patience=patience)
            self._world.call(self, slave, connect, lambda answer: None, patience)
            offer = TaskOffer(f"{NAME}-{self._number:031}", {"task": NAME}, b"")
            for moment in (0.0, 0.01, 0.5, 3.0):
                self._world.on(self, self._world.now + moment, partial(self._hand_over, slave, token, offer))
        self._come_soon()

    def _flood(self, slave: SimSlave, until: float) -> None:
        """One call after the other, each of which would wait for long, with one dead address."""
        self._number += 1
        connect = partial(slave.connect, f"{NAME}{self._number:040}", None, A_DAY, where=NOBODY, patience=PATIENCE[-1])
        self._world.call(self, slave, connect, lambda answer: None, PATIENCE[-1])
        if self._world.now < until:
            self._world.on(self, self._world.now + self._draw.uniform(0.005, 0.05), partial(self._flood, slave, until))

    def _have_the_user_asked(self, slave: SimSlave) -> None:
        """He answers for himself, has the user think for long, and hangs up."""
        self._number += 1
        token = f"{NAME}{self._number:040}"
        patience = self._draw.choice(PATIENCE[:2])
        connect = partial(slave.connect, token, None, A_DAY, where=OWN, patience=patience, slow=True)
        self._world.call(self, slave, connect, lambda answer: None, patience)

    def _hand_over(self, slave: SimSlave, token: str, offer: TaskOffer) -> None:
        def task() -> object:
            try:
                return slave.new_task(token, offer)
            except ResponseException as refusal:
                return refusal

        self._world.call(self, slave, task, lambda answer: None, 1.0)


def judge(slave: SimSlave) -> str | None:
    """What is wrong with whom a slave lets stand in the way of its master."""
    engagement, now = slave.tenancy.engagement, slave.world.now
    if not slave.up or slave.paused_until > now - SLACK:
        return None
    if engagement.token.startswith(NAME):
        return "has a session with a stranger"
    if engagement.open and engagement.token not in slave.history.answered and now > slave.begun_at + UNPROVED + SLACK:
        return "keeps a session for long whose master has proved nothing"
    for claim, since in slave.openings.since.items():
        if not claim.proved and now > since + PROOF_SECONDS + SLACK:
            return "keeps the claim of a master that proves nothing"
        left = slave.openings.left.get(claim)
        if left is not None and now > left + (RETURN_SECONDS if claim.proved else 0.0) + SLACK:
            return "keeps a claim that nobody waits for"
    if len(engagement.claims) > MOST_CLAIMS:
        return "looks at too many at once"
    return None
