"""How a simulated slave comes to a session, as `interaction.slave.opening` and `.proof` have it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from interaction.core.engagement import Claim, Verdict, crowded
from interaction.core.model import ConnectAnswer, HeldTask
from interaction.exception import ResponseException, SlaveSlaveAlreadyConnected, SlaveSlaveConnectionRefused
from tests.sim.stream import Stream
from tests.sim.world import Later

if TYPE_CHECKING:
    from tests.sim.slave import SimSlave

RETRY_PAUSE = 0.05
A_LONG_TIME = 40.0  # seconds that the user takes for an answer where he is asked to
MASTER, NOBODY, OWN = "the master", "nobody", "its own"  # what is at the address that a call names
GONE = SlaveSlaveConnectionRefused("nobody is there")


class SimOpenings:
    """The claims of one process of a slave's."""

    def __init__(self, slave: SimSlave) -> None:
        self._slave = slave
        self._world = slave.world
        self._tenancy = slave.tenancy
        self._engagement = slave.tenancy.engagement
        self._streams: dict[Claim, Stream] = {}
        self._later: dict[Claim, Later] = {}
        self.since: dict[Claim, float] = {}
        self.left: dict[Claim, float] = {}  # when nobody waited for it any more
        self._draw = random.Random(f"{slave.name} {slave.life} {self._world.seed}")
        self._slow: set[Claim] = set()
        self.told: set[str] = set()  # the tokens of which it was heard that nobody wants them

    def connect(
        self, token: str, previous: str | None, lease: float, *, where: str, patience: float, slow: bool
    ) -> object:
        """A master calls, and hangs up after so many seconds. At its address is the master where that is MASTER, itself
        where it is OWN, and else nobody. `slow`: the user is to take his time."""
        slave, dead = self._slave, where != MASTER
        slave.let_go_if_due()
        verdict = self._verdict(token, None if slave.forgetful else previous, lease, where)
        if verdict is Verdict.REPEAT:
            return self._engagement.answer_to(token)
        if verdict is Verdict.RESUME:
            return slave.resume(token, lease)
        claim = self._engagement.claim_of(token)
        assert claim is not None
        if verdict is Verdict.PROVE:
            if claim.displaced is not None:
                self.judge_displaced(claim, claim.displaced)
                self._end(claim.displaced, None, crowded())
            self._later[claim] = Later()
            self.since[claim] = self._world.now
            self._slow |= {claim} if slow else set()
            self._watch(claim)
            if where == OWN:
                self._streams[claim] = Stream(token, dead=True)
                self._world.on(slave, self._world.now + self._world.delay(), partial(self._answers_itself, claim))
            else:
                self._open(claim, dead)
        claim.called()
        self.left.pop(claim, None)
        self._world.on(slave, self._world.now + patience, partial(self._hang_up, claim))
        return self._later[claim]

    def _verdict(self, token: str, previous: str | None, lease: float, address: str) -> Verdict:
        engagement = self._engagement
        free = not engagement.open and engagement.asking is None
        try:
            return engagement.connect(token, previous, lease, self._world.now, address, self._draw.random())
        except SlaveSlaveAlreadyConnected:
            if free:
                self._slave.history.wrong(self._world.now, f"{self._slave.name} is free, and turns a master away")
            raise

    def judge_displaced(self, newest: Claim, claim: Claim) -> None:
        """One that gave way to another: not the master's, where somebody names one other address all the time."""
        others = [one.address for one in self._engagement.claims if one is not newest]
        if claim.address == MASTER and others and others.count(MASTER) < len(others) / 2 and len(set(others)) <= 2:
            self._slave.history.wrong(self._world.now, "who names one address again and again displaces a master")

    def answer(self, held: Sequence[HeldTask] = ()) -> ConnectAnswer:
        """What a master is answered that has the slave now."""
        slave, admission = self._slave, self._tenancy.admission
        return ConnectAnswer(slave.incarnation, {}, admission.slots, admission.backlog, slave.features, tuple(held))

    def _answers_itself(self, claim: Claim) -> None:
        if claim in self._later:
            claim.lease.acknowledged(claim.lease.beat(self._world.now))
            self._proved(claim)

    def _hang_up(self, claim: Claim) -> None:
        claim.hung_up(self._world.now)
        if claim.forsaken_at is not None:
            self.left[claim] = self._world.now
        self._look_at(claim)

    def _look_at(self, claim: Claim) -> None:
        if claim not in self._later or claim.forsaken_at is None:
            return
        if claim.forsaken(self._world.now):
            self._end(claim, None, GONE)
        else:
            self._world.on(self._slave, claim.forsaken_at, partial(self._look_at, claim))

    def _watch(self, claim: Claim) -> None:
        """Until it is proved, and then by the lease of the session."""
        if claim.proved or claim not in self._later:
            return
        if claim.lease.expired(self._world.now):
            self._end(claim, GONE, GONE)
        else:
            self._world.on(self._slave, claim.lease.expires_at, partial(self._watch, claim))

    def _end(self, claim: Claim, remembered: ResponseException | None, answer: object) -> None:
        if claim in self._later:
            self._engagement.drop(claim, remembered)
            self._streams.pop(claim).break_for(self._slave)
            del self.since[claim]
            self.left.pop(claim, None)
            self._later.pop(claim).give(answer)

    # Beats.

    def _open(self, claim: Claim, dead: bool) -> None:
        stream = self._streams[claim] = Stream(claim.token, dead=dead)
        stream.open(self._slave, partial(self._not_opened, claim, stream))
        self._beat(claim, stream)

    def _not_opened(self, claim: Claim, stream: Stream) -> None:
        if self._streams.get(claim) is stream:
            claim.cut_off = True
            self._look_at(claim)
            self._world.on(self._slave, self._world.now + RETRY_PAUSE, partial(self._open_again, claim, stream))

    def _open_again(self, claim: Claim, stream: Stream) -> None:
        if self._streams.get(claim) is stream:
            self._open(claim, stream.dead)

    def _beat(self, claim: Claim, stream: Stream) -> None:
        if self._streams.get(claim) is stream and not claim.lease.expired(self._world.now):
            stream.beat(self._slave, claim.lease.beat(self._world.now))
            pause = claim.lease.pause(self._world.random.random())
            self._world.on(self._slave, self._world.now + pause, partial(self._beat, claim, stream))

    def acknowledged(self, stream: Stream, sequence: int) -> bool:
        """The master's answer; False where it is about no claim."""
        claim = next((one for one, other in self._streams.items() if other is stream), None)
        if claim is None:
            return False
        before = claim.proved
        claim.lease.acknowledged(sequence)
        if claim.proved:
            claim.cut_off = False
        if claim.proved and not before:
            self._proved(claim)
        return True

    def over(self, token: str) -> None:
        """The master at the address says that it knows nothing of that, or wants it no more."""
        claim = self._engagement.claim_of(token)
        if claim is not None:
            self.told.add(token)
            self._end(claim, GONE, GONE)

    def break_stream(self, token: str) -> None:
        """Something between has broken the stream of a claim."""
        claim = self._engagement.claim_of(token)
        if claim is not None and claim in self._streams:
            stream = self._streams[claim]
            stream.break_for(self._slave)
            again = partial(self._open_again, claim, stream)
            self._world.on(self._slave, self._world.now + self._world.delay(), again)

    # The user.

    def _proved(self, claim: Claim) -> None:
        try:
            self._engagement.proved(claim)
        except ResponseException as late:
            self._end(claim, None, late)
            return
        if claim.address != OWN:
            self._slave.judge_begins(claim.token, "its user is asked about")
        decided = partial(self._decided, claim)
        if claim in self._slow:
            self._world.on(self._slave, self._world.now + A_LONG_TIME, decided)
        else:
            self._slave.later(decided)

    def _decided(self, claim: Claim) -> None:
        if claim not in self._later:
            return
        if self._world.random.random() < 0.05:
            refusal = SlaveSlaveConnectionRefused("no")
            self._end(claim, refusal, refusal)
            return
        answer = self.answer()
        self._tenancy.opened(answer, self._world.now)
        stream, later = self._streams.pop(claim), self._later.pop(claim)
        del self.since[claim]
        self._slave.begin(claim.token, stream)
        later.give(answer)
