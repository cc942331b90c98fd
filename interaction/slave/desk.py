"""What a slave's service calls, on the loop: the core decides, users' hooks are asked, one session lives at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from interaction.address import Endpoint
from interaction.config import SlaveOptions
from interaction.core.admission import Ticket
from interaction.core.engagement import Verdict
from interaction.core.model import Body, ConnectAnswer, ConnectOffer, Data, HeldTask, Identity
from interaction.core.outbox import CAPACITY, RETENTION, Outbox
from interaction.core.tenancy import Tenancy
from interaction.exception import (
    LeaseExpired,
    MasterResponseException,
    ResponseException,
    SlaveSlaveDisconnectionRefused,
)
from interaction.rpc.convert import LANGUAGE, SizedReport
from interaction.rpc.insist import attempt, insist, see_through
from interaction.rpc.loop import Loop
from interaction.rpc.strand import Strand
from interaction.slave.decisions import Decisions
from interaction.slave.departure import Departure
from interaction.slave.intake import Intake
from interaction.slave.opening import Openings
from interaction.slave.pacemaker import Pacemaker, pacemaker_for
from interaction.slave.proof import Proof
from interaction.slave.session import Session
from interaction.slave.unheard import expired
from interaction.slave.user import SlaveHooks, User
from interaction.slave.work import WorkStream
from interaction.slave.workshop import Ready, ThreadWorkplace, Workplace, workplace_of
from interaction.version import __version__

_log = logging.getLogger("interaction.slave")
_LEAVE_PATIENCE = 0.5  # seconds that a shutdown waits for the master to know
_FLUSH_PATIENCE = 2.0  # seconds that it waits for results to be acknowledged


class Desk:
    """The slave's side of everything that its master asks."""

    def __init__(
        self,
        hooks: SlaveHooks,
        options: SlaveOptions,
        incarnation: str,
        default: type[SlaveHooks],
        process: Callable[[Ready], Workplace],
    ) -> None:
        self.closing = False
        user = self._user = User(hooks, default, options.hook_timeout)
        self._options = options
        self._incarnation = incarnation
        slots, backlog = options.slots, options.backlog
        self._outbox: Outbox[SizedReport] = Outbox(
            options.request_retries, options.request_retry_waiting, capacity=CAPACITY + slots + backlog
        )
        self._tenancy: Tenancy[SizedReport] = Tenancy(
            incarnation, options.heartbeat_span, self._outbox, slots=slots, backlog=backlog
        )
        self._engagement = self._tenancy.engagement
        self._session: Session | None = None
        make = process if options.isolation == "process" else partial(ThreadWorkplace, hooks._process_task)
        self.workplace = workplace_of([make(self.ready) for _ in range(slots)])
        self._intake = Intake(self, user, self._tenancy, self.workplace)
        self.check_task, self.new_task = self._tenancy.check, self._intake.new_task
        self.told = self._intake.workshop.told
        self._decisions = Decisions()
        self._background: set[asyncio.Future[None]] = set()
        self._pacemaker: Pacemaker | None = None
        self._openings = Openings(self, user, options, self._tenancy, self._decisions, self._background)
        self._drained = False
        self._settled = asyncio.Event()  # something has come to its end that draining may wait for
        self._departure = Departure(self._tenancy, self._settled)

    def start(self, loop: Loop) -> None:
        """Work on this loop, the running one, from now on."""
        self._user.start(loop)
        self._intake.start(loop)
        pacemaker = self._pacemaker = pacemaker_for(self._options, self._incarnation)
        if pacemaker is not None and pacemaker.witness is not None:
            self._tenancy.witnessed(pacemaker.witness.memory)

    @property
    def hooks_strand(self) -> Strand:
        """Where hooks run."""
        return self._user.strand

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def ready(self, ticket: Ticket) -> bool:
        """On the thread of a task: wait until it may begin, and hold the GIL. False where it is not to be run."""
        if self._pacemaker is not None:
            self._pacemaker.wait_until_ready()
        return self._intake.ready(ticket)

    def identity(self) -> Identity:
        """Who is here."""
        return Identity(self._incarnation, LANGUAGE, __version__, self._features)

    @property
    def _features(self) -> tuple[str, ...]:
        work = ("work",) if self._options.fast_road else ()
        return (*work, "witness") if self._tenancy.is_witnessed else work

    def admit(self, method: str, token: str, previous: str | None) -> Body:
        """Admit a call of the session's master, or of one that wants to be."""
        if method == "Connect":
            self.let_go_if_due()
        return self._engagement.body_of(method, token, previous)

    # The session.

    def asks_to_connect(self, token: str, previous: str | None) -> bool:
        """Whether the user may come to be asked about that: what the master says is read for him."""
        self.let_go_if_due()
        return self._engagement.verdict_on(token, previous) is Verdict.PROVE

    async def connect(self, offer: ConnectOffer, master: Endpoint) -> ConnectAnswer:
        """A master wants to open or resume a session."""
        self.let_go_if_due()
        verdict = self._openings.called(offer)
        if verdict is Verdict.RESUME:
            return self._resume(offer, master)
        if verdict is Verdict.PROVE:
            return await self._openings.open(offer, master)
        if verdict is Verdict.WAIT:
            return await self._openings.wait(offer.token)
        return self._engagement.answer_to(offer.token)

    def _resume(self, offer: ConnectOffer, master: Endpoint) -> ConnectAnswer:
        previous = self._engagement.token
        try:
            self._end_session()
            held = self._tenancy.held()
            answer = self.answer({}, held)
            self._tenancy.resumed(offer.token, answer, offer.lease, self._loop.time())
            self.begin(offer, master)
        except BaseException:  # its master may try again
            insist(self._not_resumed, offer.token, previous)
            raise
        _log.info("the master at %s has resumed its session; tasks held: %d", offer.master_address, len(held))
        return answer

    def _not_resumed(self, token: str, previous: str) -> None:
        self._tenancy.not_resumed(token, previous, self._loop.time())
        self.end_session_of(token)
        self._loop.call_later(RETENTION, insist, self._expire)

    def answer(self, said: Data, held: list[HeldTask] | None = None) -> ConnectAnswer:
        """What a master is answered that has the slave now."""
        return ConnectAnswer(
            incarnation=self._incarnation,
            data=said,
            slots=self._tenancy.admission.slots,
            backlog=self._tenancy.admission.backlog,
            features=self._features,
            held=held or (),
            labels=self._options.labels,
        )

    def begin(self, offer: ConnectOffer, master: Endpoint, proof: Proof | None = None) -> None:
        """The engagement is open: the session begins."""
        lease = self._engagement.lease
        assert lease is not None, "the engagement is open"
        self._session = Session(self, offer, master, self._options, lease, self._outbox, self._pacemaker, proof)
        attempt(self._intake.take_turns, self._session.reporter.poke)

    def asks_to_disconnect(self, token: str) -> bool:
        """The same of the end of the session."""
        return self._engagement.verdict_on_end(token) is Verdict.ASK

    async def disconnect(self, token: str, data: Data) -> Data:
        """The master wants to end the session."""
        verdict = self._tenancy.disconnect(token)
        if verdict is Verdict.ASK:
            try:
                asking = self._decisions.begin(token, self._not_closed, self._ask_to_disconnect, token, data)
            except BaseException as error:
                insist(self._not_closed, token, error)
                raise
            return await self._decisions.heard(asking, SlaveSlaveDisconnectionRefused)
        if verdict is Verdict.WAIT:
            asking = self._decisions.under_way(token)
            return await self._decisions.heard(asking, SlaveSlaveDisconnectionRefused)
        return self._engagement.farewell

    async def _ask_to_disconnect(self, token: str, data: Data) -> Data:
        try:
            said = await self._user.ask("_before_disconnection", data, SlaveSlaveDisconnectionRefused, self.room)
        except ResponseException:
            self._engagement.stays(token)
            _log.info("refused the disconnection")
            raise
        if self._tenancy.closed(token, said):
            self._end_session()
            _log.info("disconnected by the master")
        return said

    def _not_closed(self, token: str, error: BaseException) -> None:
        """The same half-way through Disconnect: the session goes on, or is over."""
        self._engagement.stays(token)
        if not self._engagement.owns(token):
            self.end_session_of(token)

    # What the session tells.

    def renewed(self) -> None:
        """The lease goes on."""
        self._intake.take_turns()

    def settled(self) -> None:
        """A result has left the outbox."""
        self._settled.set()

    def failing(self, why: str | None) -> None:
        """The heartbeat has a stream that comes to nothing: the lease tells how long that may go on."""

    def lease_over(self) -> None:
        """It is."""
        self.let_go_if_due()

    # The end of the session by other ways.

    def let_go_if_due(self) -> None:
        """The lease is over: results wait for a master that resumes the session."""
        if self._session is not None:
            self._session.heart.catch_up()
        lease = self._engagement.lease
        if self._engagement.lease_over(self._loop.time()):
            assert lease is not None, "an open engagement has a lease"
            self._loop.call_later(RETENTION, insist, self._expire)
            insist(self._lost, expired(lease, None if self._session is None else self._session.heart.unheard))

    def _expire(self) -> None:
        for task_id in self._outbox.expire(self._loop.time()):
            _log.warning("the result of task %s is given up: nobody has come for it", task_id)

    def ended(self, error: MasterResponseException, heard_at: float) -> None:
        """The master says that the session is over. A lease that had run out before was the end already."""
        lease = self._engagement.lease
        if lease is not None and lease.expired(heard_at):
            self.let_go_if_due()
        if self._tenancy.ended_by_master(self._engagement.token):
            insist(self._lost, error)

    def unbelieved(self, why: str) -> None:
        """The master has taken no result for as long as the lease, and acknowledges beats: it is told that this slave
        lets go, and so knows what becomes of its tasks."""
        session, lease = self._session, self._engagement.lease
        if session is None or lease is None or not self._tenancy.ended_by_master(session.token):
            return
        error = LeaseExpired(f"no result was taken for as long as the lease of {lease.duration:g} s: {why}")
        self._session = None
        attempt(self._settled.set, self._intake.take_turns)
        session.leave(str(error), _LEAVE_PATIENCE, self._background)
        self._user.lost(session.master_address, error, busy=self._tenancy.admission.busy)

    def _lost(self, error: Exception) -> None:
        session = self._session
        self._end_session()
        if session is not None:
            self._user.lost(session.master_address, error, busy=self._tenancy.admission.busy)

    def _end_session(self) -> None:
        session, self._session = self._session, None
        attempt(self._settled.set, self._intake.take_turns)
        if session is not None:
            session.stop(self._background)

    def end_session_of(self, token: str) -> None:
        """Let go of that session, if it is there."""
        if self._session is not None and self._session.token == token:
            self._end_session()

    def open_work(self, token: str, end: Callable[[ResponseException | None], None]) -> WorkStream:
        """The master opens the fast road."""
        self.let_go_if_due()
        self._engagement.check(token)
        session = self._session
        assert session is not None, "the engagement is open"
        stream = WorkStream(
            token,
            session.max_message_bytes,
            self._intake,
            self._tenancy.tempo,
            self._outbox,
            end,
            self._settled.set,
            session.reporter.closed,
        )
        try:
            session.reporter.opened(stream)
        except BaseException:
            stream.close()
            raise
        return stream

    def task_ended(self, *, wanted: bool) -> None:
        """A task has ended, or is not taken; `wanted`: its result is in the outbox."""
        self._settled.set()
        if wanted and self._session is not None:
            self._session.reporter.poke()
        elif wanted:
            self._loop.call_later(RETENTION, insist, self._expire)

    @property
    def room(self) -> int:
        """The longest message that the session's master reads, in bytes."""
        return self._options.max_message_bytes if self._session is None else self._session.max_message_bytes

    async def drain(self, timeout: float | None) -> bool:
        """Hand back what has not begun, and wait for the rest. False where that took more than `timeout`."""
        _log.info("draining")
        self._intake.take_no_more("the slave drains")
        self._drained = await self._departure.drained(timeout)
        return self._drained and not len(self._outbox)

    @property
    def begun(self) -> list[str]:
        """The ids of the tasks that run, or that the user is being asked about. From any thread."""
        return self._departure.begun

    async def shut_down(self) -> None:
        """Take nothing more, report what is there, and leave the session."""
        self.closing = True
        attempt(partial(self._intake.take_no_more, "the slave shuts down"))  # on a stream that is open, too
        if self._session is not None:
            await see_through(partial(self._leave, self._session))
            attempt(self._end_session)
        attempt(self.workplace.stop, self._intake.stop, self._openings.stop, self._decisions.stop)
        if self._pacemaker is not None:
            attempt(self._pacemaker.stop)
        if self._background:
            await asyncio.wait(set(self._background), timeout=_LEAVE_PATIENCE)

    async def _leave(self, session: Session) -> None:
        await self._departure.wait_until(lambda: session.reporter.settled, _FLUSH_PATIENCE)
        self._engagement.end()
        reason = "the slave has drained" if self._drained else "the slave shuts down"
        await session.heart.leave(reason, _LEAVE_PATIENCE, drained=self._drained)
