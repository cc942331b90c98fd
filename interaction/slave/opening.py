"""How a slave comes to a session: whoever wants it proves himself, then the user is asked, then it begins."""

from __future__ import annotations

import asyncio
import logging
import random
from functools import partial
from typing import Protocol

from interaction.address import Endpoint
from interaction.config import SlaveOptions
from interaction.core.engagement import Claim, Verdict, crowded
from interaction.core.model import ConnectAnswer, ConnectOffer, Data
from interaction.core.tenancy import Tenancy
from interaction.exception import ResponseException, SlaveSlaveConnectionRefused, SlaveSystemShuttingDown
from interaction.rpc.convert import SizedReport
from interaction.rpc.insist import insist
from interaction.rpc.seldom import Seldom
from interaction.slave.decisions import Decisions, failed
from interaction.slave.proof import Proof
from interaction.slave.user import User

_log = logging.getLogger("interaction.slave")


class OpeningOwner(Protocol):
    """The desk."""

    @property
    def closing(self) -> bool:
        """Whether the slave shuts down."""

    def answer(self, said: Data) -> ConnectAnswer:
        """What a master is answered whom the user takes, and tells that."""

    def begin(self, offer: ConnectOffer, master: Endpoint, proof: Proof) -> None:
        """The session is open: begin it."""

    def end_session_of(self, token: str) -> None:
        """Let go of what there is of that session."""


class Openings:
    """The claims of a slave, on the loop. The core decides about them."""

    def __init__(
        self,
        owner: OpeningOwner,
        user: User,
        options: SlaveOptions,
        tenancy: Tenancy[SizedReport],
        decisions: Decisions,
        background: set[asyncio.Future[None]],
    ) -> None:
        self._owner = owner
        self._user = user
        self._options = options
        self._tenancy = tenancy
        self._engagement = tenancy.engagement
        self._decisions = decisions
        self._background = background
        self._proofs: dict[Claim, Proof] = {}
        self._unheard = Seldom(_log)

    def called(self, offer: ConnectOffer) -> Verdict:
        """A master calls. Raises a ResponseException."""
        now, chance = asyncio.get_running_loop().time(), random.random()  # noqa: S311 - not a secret
        return self._engagement.connect(
            offer.token, offer.previous_token, offer.lease, now, offer.master_address, chance
        )

    async def open(self, offer: ConnectOffer, master: Endpoint) -> ConnectAnswer:
        """A master has a claim from now on. Raises a ResponseException."""
        claim = self._claim_of(offer.token)
        if claim.displaced is not None:
            self._give_way(claim.displaced)
        try:
            deciding = self._decisions.begin(offer.token, self._not_opened, self._decide, claim, offer, master)
        except BaseException as error:
            insist(self._not_opened, offer.token, error)
            raise
        return await self._heard(claim, deciding)

    async def wait(self, token: str) -> ConnectAnswer:
        """It calls again, and hears what comes of its claim."""
        return await self._heard(self._claim_of(token), self._decisions.under_way(token))

    def _claim_of(self, token: str) -> Claim:
        claim = self._engagement.claim_of(token)
        assert claim is not None, "the engagement has said so"
        return claim

    async def _heard(self, claim: Claim, deciding: asyncio.Task[ConnectAnswer]) -> ConnectAnswer:
        claim.called()
        try:
            return await self._decisions.heard(deciding, SlaveSlaveConnectionRefused)
        finally:
            claim.hung_up(asyncio.get_running_loop().time())
            self._look_at(claim)

    def _give_way(self, claim: Claim) -> None:
        """There were too many."""
        proof = self._proofs.get(claim)
        if proof is not None:
            proof.end(crowded())

    def _look_at(self, claim: Claim) -> None:
        """Whether anybody is there for whom it could still be, or may come again."""
        proof, loop = self._proofs.get(claim), asyncio.get_running_loop()
        if proof is None or claim.forsaken_at is None:
            return
        if claim.forsaken(loop.time()):
            self._engagement.drop(claim, None)
            proof.end(SlaveSlaveConnectionRefused("who asked for it is gone"))
        else:
            loop.call_at(claim.forsaken_at, insist, self._look_at, claim)

    async def _decide(self, claim: Claim, offer: ConnectOffer, master: Endpoint) -> ConnectAnswer:
        proof = None
        try:
            if claim.given_way:  # before it was looked at
                raise crowded()
            look = partial(self._look_at, claim)
            proof = self._proofs[claim] = Proof(claim, offer, master, self._options, look, self._unheard.warn)
            self._look_at(claim)
            await proof.proved()
            self._engagement.proved(claim)
            asking = self._user.ask(
                "_before_connection", offer.data, SlaveSlaveConnectionRefused, offer.max_message_bytes
            )
            said = await proof.while_it_lasts(asking)
            if self._owner.closing:
                raise SlaveSystemShuttingDown("shutting down")
            answer = self._owner.answer(said)
            self._tenancy.opened(answer, asyncio.get_running_loop().time())
            proof.taken_over()
            self._owner.begin(offer, master, proof)
        except ResponseException as refusal:
            self._engagement.drop(claim, refusal if isinstance(refusal, SlaveSlaveConnectionRefused) else None)
            _log.info("refused a connection from %s: %s", offer.master_address, refusal.code.name)
            raise
        finally:
            self._proofs.pop(claim, None)
            if proof is not None:
                proof.stop(self._background)
        _log.info("connected to the master at %s", offer.master_address)
        return answer

    def _not_opened(self, token: str, error: BaseException) -> None:
        """Something of our own was raised half-way: there is no session that nobody has."""
        self._tenancy.not_opened(token, failed(SlaveSlaveConnectionRefused, error))
        self._owner.end_session_of(token)

    def stop(self) -> None:
        """The slave shuts down."""
        for proof in list(self._proofs.values()):
            proof.stop(self._background)
